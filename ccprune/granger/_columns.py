"""Regressions from explicit columns for `ccprune.granger`: ill-conditioned ones, and all options beyond plain tests."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

# A singular value below this, of columns of length 1, counts as 0: the columns are dependent.
_DEPENDENT = 1e-12
# If a diagonal element of R is below this, the rank is determined by singular values.
_DOUBTFUL = 1e-6
# A row that nearly determines a coefficient has almost no residual, and a robust variance would be far too small.
_MOST_LEVERAGE = 0.9


class Sums(NamedTuple):
    """Sums of squares of the regressions with M causes at one lag, each (M,).

    `gain` is the sum of squares that the tested lags explain beyond the other regressors, `own_ssr` and `joint_ssr` are
    the residual sums of squares without and with the tested lags, and `freedom` is the residual degrees of freedom with
    them. With a robust covariance `gain` is the Wald statistic times joint_ssr / T, NaN if unusable.
    """

    gain: Tensor
    own_ssr: Tensor
    joint_ssr: Tensor
    freedom: Tensor


def by_columns(
    effect: Tensor,
    causes: Tensor,
    *,
    deepest: int,
    augment: int,
    covariates: Tensor,
    time_varying: str | None,
    robust: bool,
) -> Iterator[tuple[int, Sums]]:
    """Yield (depth, sums) as `by_depth` does for effect (K,), causes (M, K) and covariates (K, Q)."""
    for depth in range(deepest, augment, -1):
        count, untested = len(effect) - depth, augment
        lags = causes.unfold(1, count, 1)[:, :depth]
        shared = [own_columns(effect, depth), covariates.unfold(0, count, 1)[:depth].flatten(0, 1).T]
        if time_varying is not None:
            time = torch.linspace(-1, 1, count, dtype=effect.dtype, device=effect.device)
            shared.append(time[:, None])
            lags = torch.cat([lags, lags[:, augment:] * time], 1)
            untested = depth if time_varying == "change" else augment
        yield depth, by_projection(torch.cat(shared, 1), effect[depth:], lags, untested, robust=robust)


def own_columns(effect: Tensor, depth: int) -> Tensor:
    """Return the lags, from the largest to the smallest, and a constant: (T, c + 1)."""
    lags = effect.unfold(0, len(effect) - depth, 1)[:depth]
    return torch.cat([lags, torch.ones_like(effect[depth:])[None]]).T


def residual(target: Tensor, basis: Tensor) -> Tensor:
    """Return target (T,) minus its projection on an orthonormal basis (T, c)."""
    return _project_out(target[:, None], basis)[:, 0]


def by_projection(shared: Tensor, target: Tensor, lags: Tensor, untested: int, *, robust: bool = False) -> Sums:
    """Compute the sums from shared columns (T, s), target (T,) and columns of M causes (M, c, T)."""
    common = _orthonormal(_unit(shared))
    lags = _project_out(_unit(lags.mT), common)
    own = _project_out(target[:, None], common).expand(len(lags), -1, -1)
    others = _orthonormal(lags[..., :untested])
    own = _project_out(own, others)
    tested = _orthonormal(_project_out(lags[..., untested:], others))
    joint = _project_out(own, tested)
    ranks = sum(basis.square().sum((-2, -1)).round() for basis in (common, others, tested))
    return Sums(
        gain=_wald(tested, own, joint) if robust else (tested.mT @ own).square().sum((1, 2)),
        own_ssr=own.square().sum((1, 2)),
        joint_ssr=joint.square().sum((1, 2)),
        freedom=target.shape[0] - ranks,
    )


def _wald(tested: Tensor, own: Tensor, joint: Tensor) -> Tensor:
    """Return the Wald statistic (M,) times joint_ssr / T with the covariance of Newey and West (1987).

    The statistic does not depend on the coordinates, so `tested` (M, T, c) may be an orthonormal basis after projecting
    out the other regressors. With Bartlett weights, the covariance of the products with the residual is the mean over
    all stretches of bandwidth + 1 rows, those across both ends included, of the squared sum of a stretch.
    """
    rows = tested.shape[1]
    width = int(4 * (rows / 100) ** (2 / 9)) + 1
    variance = joint.square().mean((1, 2), keepdim=True)
    sums = torch.nn.functional.pad(tested * joint, (0, 0, width, width - 1)).cumsum(1)
    stretches = (sums[:, width:] - sums[:, :-width]) / variance.sqrt()
    absent = (tested.square().sum(1) < 0.5).to(tested.dtype)  # the zero columns of a basis of dependent ones
    factor, failed = torch.linalg.cholesky_ex(stretches.mT @ stretches / width + torch.diag_embed(absent))
    unusable = (failed > 0) | (tested.square().sum(2).amax(1) > _MOST_LEVERAGE)
    solved = torch.linalg.solve_triangular(factor, tested.mT @ own, upper=False)
    return torch.where(unusable, torch.nan, solved.square().sum((1, 2)))


def _unit(columns: Tensor) -> Tensor:
    """Return columns (..., T, c) of length 1, zero ones unchanged."""
    lengths = columns.norm(dim=-2, keepdim=True)
    return columns / torch.where(lengths == 0, 1.0, lengths)


def _orthonormal(columns: Tensor) -> Tensor:
    """Return an orthonormal basis (..., T, c) of the span of columns (..., T, c), with a zero for each dependent one.

    A QR decomposition without pivoting leaves the direction of a dependent column undetermined and would assign parts
    of the following columns to it, so where its diagonal is small singular values are used instead.
    """
    if columns.shape[-1] == 0:
        return columns
    basis, factor = torch.linalg.qr(columns)
    doubtful = factor.diagonal(dim1=-2, dim2=-1).abs().amin(-1) < _DOUBTFUL
    if bool(doubtful.any()):
        vectors, values, _ = torch.linalg.svd(columns[doubtful], full_matrices=False)
        basis[doubtful] = vectors * (values > _DEPENDENT).unsqueeze(-2)
    return basis


def _project_out(columns: Tensor, basis: Tensor) -> Tensor:
    """Subtract from columns (..., T, c) their projection on an orthonormal basis; done twice for accuracy."""
    for _ in range(2):
        columns = columns - basis @ (basis.mT @ columns)
    return columns
