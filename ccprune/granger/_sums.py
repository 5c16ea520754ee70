"""Sums of squares of the regressions behind `ccprune.granger`, for all causes and lags.

The quick way works on sums of products alone. Going from one depth of lags to the next smaller one, the regressions
lose one column per series and gain one row, so those sums are computed once, for the largest depth, and then corrected
by one outer product per depth. Normal equations lose about twice the digits of the condition number; where that could
be felt the columns themselves are projected and orthonormalised instead.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ccprune.granger import _cpu as _granger_cpu

# Condition is measured by the sum of the reciprocals of the shares of variance that the other columns leave of each
# column (the trace of the inverse correlation matrix; single pivots can all look harmless). With a cause's lags as many
# digits are lost as it has, with the effect's own lags half as many. No more than this many shall be lost in all ...
_MOST_LOST = 1e6
# ... nor more than this, squared, by products taken from the sums instead of from the columns; and there the effect's
# own lags must not be dependent. A risk that falls once and then stays is often such a case.
_MOST_LOST_IN_SUMS = 1e7
_MOST_LOST_IN_COLUMNS = 1e12
# A singular value smaller than this, of columns of length 1, is taken for 0: the columns are dependent.
_DEPENDENT = 1e-12


class Sums(NamedTuple):
    """Of the regressions with M causes at one lag, each (M,): what the tested lags explain beyond the others, residual
    sums of squares without and with the tested lags, and residual degrees of freedom with them.
    """

    gain: Tensor
    own_ssr: Tensor
    joint_ssr: Tensor
    freedom: Tensor


class Own(NamedTuple):
    """The effect's own regression on c lags and a constant, which all causes share.

    The effect (K,); of the QR decomposition of its lags (T, c + 1), T = K - c, the triangle and Q' target (c + 1,); the
    residual sum of squares; and the condition of all this. What has T rows is made anew when asked for, because with
    many lags it would take far more memory than the series.
    """

    depth: int
    effect: Tensor
    triangle: Tensor
    fitted: Tensor
    ssr: Tensor
    condition: float

    @property
    def from_columns(self) -> bool:
        """Whether products of the sums would lose too many digits."""
        return not self.condition < _MOST_LOST_IN_SUMS  # written so that NaN counts as ill-conditioned too

    @property
    def target(self) -> Tensor:
        """The effect without its first c rows, (T,)."""
        return self.effect[self.depth :]

    def directions(self) -> tuple[Tensor, Tensor]:
        """Q (T, c + 1), and what the lags leave of the target (T,)."""
        basis, _ = torch.linalg.qr(_columns(self.effect, self.depth))
        return basis, _residual(self.target, basis)


class _Explained(NamedTuple):
    """Of M causes, each (M,): what the tested lags explain, what the untested ones do, and the condition's trace."""

    gain: Tensor
    untested: Tensor
    trace: Tensor


def own_regressions(effect: Tensor, *, deepest: int, augment: int) -> list[Own]:
    """Those of the effect (K,) for depth = deepest, ..., augment + 1 lags."""
    return [_own(effect, depth) for depth in range(deepest, augment, -1)]


def by_depth(effect: Tensor, causes: Tensor, own: Sequence[Own], *, augment: int) -> Iterator[tuple[int, Sums]]:
    """Yields (depth, sums) for effect (K,), its own regressions, and causes (M, K).

    Lags are ordered from the largest to the smallest; the first `augment` of the cause are in the regression but not
    tested. Means do not matter, but without them the sums keep more digits.
    """
    explained = _compiled if causes.device.type == "cpu" else _batched
    for one, found in zip(own, explained(effect, causes, own, augment), strict=True):
        yield one.depth, _sums(one, causes, found, augment)


def _own(effect: Tensor, depth: int) -> Own:
    columns, target = _columns(effect, depth), effect[depth:]
    basis, triangle = torch.linalg.qr(columns)
    ssr = _residual(target, basis).square().sum()
    inverse = torch.linalg.solve_triangular(triangle.T, columns.norm(dim=0).diag(), upper=False)
    condition = float(torch.maximum(inverse.square().sum(), target.square().sum() / ssr))
    return Own(depth, effect, triangle, basis.T @ target, ssr, condition)


def _columns(effect: Tensor, depth: int) -> Tensor:
    """Lags, from the largest to the smallest, and a constant: (T, c + 1)."""
    lags = effect.unfold(0, len(effect) - depth, 1)[:depth]
    return torch.cat([lags, torch.ones_like(effect[depth:])[None]]).T


def _residual(target: Tensor, basis: Tensor) -> Tensor:
    return _project_out(target[:, None], basis)[:, 0]


def _compiled(effect: Tensor, causes: Tensor, own: Sequence[Own], augment: int) -> Iterator[_Explained]:
    """On the CPU: all depths in one call."""
    deepest, count = own[0].depth, len(effect)
    triangles, fits = np.zeros((len(own), deepest + 1, deepest + 1)), np.zeros((len(own), deepest + 1))
    for place, one in enumerate(own):
        width = len(one.fitted)
        triangles[place, :width, :width], fits[place, :width] = one.triangle, one.fitted
    needy = [place for place, one in enumerate(own) if one.from_columns]
    from_columns = np.full(len(own), -1)
    from_columns[needy] = range(len(needy))
    bases, residuals = np.zeros((len(needy), count, deepest + 1)), np.zeros((len(needy), count))
    for index, place in enumerate(needy):
        basis, residual = own[place].directions()
        bases[index, : len(basis), : basis.shape[1]], residuals[index, : len(basis)] = basis, residual
    series = causes.T.contiguous().numpy()
    found = _granger_cpu.explained(
        series, effect.numpy(), deepest, augment, from_columns, triangles, fits, bases, residuals
    )
    for place in range(len(own)):
        yield _Explained(*torch.from_numpy(found[:, place]))


def _batched(effect: Tensor, causes: Tensor, own: Sequence[Own], augment: int) -> Iterator[_Explained]:
    """On other devices: batched operations, depth by depth."""
    count = effect.shape[0] - own[0].depth
    # Column i of a window of the series is lag deepest - i; the effect has the target and a constant as well.
    rows = effect.unfold(0, count, 1)  # (deepest + 1, count)
    lags = causes.unfold(1, count, 1)[:, : own[0].depth].contiguous()  # (M, deepest, count)
    gram = lags @ lags.mT
    mixed = lags @ torch.cat([rows, torch.ones_like(rows[:1])]).T
    for one in own:
        yield _explained(causes, gram, mixed, one, augment)
        row, last = causes[:, : one.depth - 1], torch.cat([effect[: one.depth], torch.ones_like(effect[:1])])
        gram = torch.addcmul(gram[:, 1:, 1:], row[:, :, None], row[:, None])
        mixed = torch.addcmul(mixed[:, 1:, 1:], row[:, :, None], last)


def _explained(causes: Tensor, gram: Tensor, mixed: Tensor, own: Own, augment: int) -> _Explained:
    """From the products of the cause's lags with one another (M, c, c), and with the effect's lags, the target and a
    constant (M, c, c + 2).
    """
    if own.from_columns:
        lags = causes.unfold(1, len(own.target), 1)[:, : own.depth]
        basis, residual = own.directions()
        products = lags.reshape(-1, len(residual)) @ torch.cat([basis, residual[:, None]], 1)
        overlap, uncovered = products.view(*lags.shape[:2], -1).split([own.depth + 1, 1], -1)
    else:
        # Products with the orthonormal basis: those with the columns, solved by the triangle.
        with_target, with_columns = mixed[..., -2:-1], torch.cat([mixed[..., :-2], mixed[..., -1:]], -1)
        overlap = torch.linalg.solve_triangular(own.triangle, with_columns.flatten(0, 1), upper=True, left=False)
        overlap = overlap.view_as(with_columns)
        uncovered = with_target - overlap @ own.fitted[:, None]
    factor, info = torch.linalg.cholesky_ex(torch.baddbmm(gram, overlap, overlap.mT, alpha=-1))
    unit = torch.eye(own.depth, dtype=gram.dtype, device=gram.device)
    inverse = torch.linalg.solve_triangular(factor, unit, upper=False)
    squared = (inverse @ uncovered)[..., 0].square()
    trace = (inverse.square().sum(1) * gram.diagonal(dim1=-2, dim2=-1)).sum(1)
    return _Explained(
        squared[:, augment:].sum(1), squared[:, :augment].sum(1), torch.where(info == 0, trace, torch.inf)
    )


def _sums(own: Own, causes: Tensor, found: _Explained, augment: int) -> Sums:
    """The sums that what was found gives, those that lost too many digits from the columns instead."""
    untested = own.ssr - found.untested
    freedom = torch.full_like(found.gain, len(own.target) - 2 * own.depth - 1)
    sums = Sums(found.gain.clone(), untested, untested - found.gain, freedom)
    lost = 1.0 if own.from_columns else own.condition**0.5
    safe = lost * torch.maximum(found.trace, own.ssr / sums.joint_ssr) < _MOST_LOST
    if not own.condition < _MOST_LOST_IN_COLUMNS:
        safe = torch.zeros_like(safe)
    if not bool(safe.all()):
        lags = causes[~safe].unfold(1, len(own.target), 1)[:, : own.depth]
        again = _by_projection(_columns(own.effect, own.depth), own.target, lags, augment)
        for value, corrected in zip(sums, again, strict=True):
            value[~safe] = corrected
    return sums


def _by_projection(shared: Tensor, target: Tensor, lags: Tensor, augment: int) -> Sums:
    """Sums from the columns: shared (T, s), target (T,), lags of M causes (M, c, T)."""
    lags = lags.mT
    lengths = lags.norm(dim=-2, keepdim=True)
    lags = lags / torch.where(lengths == 0, 1.0, lengths)
    common = _orthonormal(shared / shared.norm(dim=0))
    residual = _project_out(target[:, None], common)
    lags = _project_out(lags, common)
    untested = _orthonormal(lags[..., :augment])
    own = _project_out(residual.expand(lags.shape[0], -1, -1), untested)
    tested = _orthonormal(_project_out(lags[..., augment:], untested))
    joint = _project_out(own, tested)
    ranks = sum(basis.square().sum((-2, -1)).round() for basis in (common, untested, tested))
    return Sums(
        gain=(tested.mT @ own).square().sum((1, 2)),
        own_ssr=own.square().sum((1, 2)),
        joint_ssr=joint.square().sum((1, 2)),
        freedom=target.shape[0] - ranks,
    )


def _orthonormal(columns: Tensor) -> Tensor:
    """Orthonormal basis (..., T, c) of what the columns (..., T, c) span, as many of it zero as are dependent.

    By singular values: a QR decomposition without pivoting would put part of the columns after a dependent one into the
    direction that it leaves undetermined.
    """
    vectors, values, _ = torch.linalg.svd(columns, full_matrices=False)
    return vectors * (values > _DEPENDENT).unsqueeze(-2)


def _project_out(columns: Tensor, basis: Tensor) -> Tensor:
    """Columns (..., T, c) minus their projection on an orthonormal basis; twice, to keep the digits."""
    for _ in range(2):
        columns = columns - basis @ (basis.mT @ columns)
    return columns
