"""Sums of squares of the regressions behind `ccprune.granger`, for all causes and lags.

The quick way works on sums of products alone. Going from one depth of lags to the next smaller one, the regressions
lose one column per series and gain one row, so those sums are computed once, for the largest depth, and then corrected
by one outer product per depth. Normal equations lose about twice the digits of the condition number; where that could
be felt the columns themselves are projected and orthonormalised instead.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

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


def by_depth(effect: Tensor, causes: Tensor, *, deepest: int, augment: int) -> Iterator[tuple[int, Sums]]:
    """Yields (depth, sums) for effect (K,) and causes (M, K), depth = deepest, ..., augment + 1 lags of each.

    Lags are ordered from the largest to the smallest; the first `augment` of the cause are in the regression but not
    tested. Means do not matter, but without them the sums keep more digits.
    """
    count = effect.shape[0] - deepest
    # Column i of a window of the series is lag deepest - i; the effect has the target and a constant as well.
    rows = effect.unfold(0, count, 1)  # (deepest + 1, count)
    lags = causes.unfold(1, count, 1)[:, :deepest].contiguous()  # (M, deepest, count)
    gram = lags @ lags.mT
    mixed = lags @ torch.cat([rows, torch.ones_like(rows[:1])]).T
    for depth in range(deepest, augment, -1):
        yield depth, _sums(effect, causes, gram, mixed, depth, augment)
        row, last = causes[:, : depth - 1], torch.cat([effect[:depth], torch.ones_like(effect[:1])])
        gram = torch.addcmul(gram[:, 1:, 1:], row[:, :, None], row[:, None])
        mixed = torch.addcmul(mixed[:, 1:, 1:], row[:, :, None], last)


def _sums(effect: Tensor, causes: Tensor, gram: Tensor, mixed: Tensor, depth: int, augment: int) -> Sums:
    """Sums at one depth from the products of the cause's lags with one another (M, c, c), and with the effect's lags,
    the target and a constant (M, c, c + 2).
    """
    count = effect.shape[0] - depth
    target = effect[depth:]
    shared = torch.cat([effect.unfold(0, count, 1)[:depth], torch.ones_like(target)[None]]).T  # (count, c + 1)
    basis, triangle = torch.linalg.qr(shared)
    fitted = basis.T @ target
    residual = target - basis @ fitted
    residual = residual - basis @ (basis.T @ residual)
    own_ssr = residual.square().sum()
    inverse = torch.linalg.solve_triangular(triangle.T, shared.norm(dim=0).diag(), upper=False)
    condition = float(torch.maximum(inverse.square().sum(), target.square().sum() / own_ssr))
    lost = 1.0
    if condition < _MOST_LOST_IN_SUMS:
        lost = condition**0.5
        # Products with the orthonormal basis: those with the columns, solved by the triangle.
        with_target, with_shared = mixed[..., -2:-1], torch.cat([mixed[..., :-2], mixed[..., -1:]], -1)
        overlap = torch.linalg.solve_triangular(triangle, with_shared.flatten(0, 1), upper=True, left=False)
        overlap = overlap.view_as(with_shared)
        uncovered = with_target - overlap @ fitted[:, None]
    else:
        lags = causes.unfold(1, count, 1)[:, :depth]
        if not condition < _MOST_LOST_IN_COLUMNS:  # written so that NaN counts as ill-conditioned too
            return _by_projection(shared, target, lags, augment)
        products = lags.reshape(-1, count) @ torch.cat([basis, residual[:, None]], 1)
        overlap, uncovered = products.view(*lags.shape[:2], -1).split([depth + 1, 1], -1)
    factor, info = torch.linalg.cholesky_ex(torch.baddbmm(gram, overlap, overlap.mT, alpha=-1))
    inverse = torch.linalg.solve_triangular(factor, torch.eye(depth, dtype=gram.dtype, device=gram.device), upper=False)
    squared = (inverse @ uncovered)[..., 0].square()
    gain, untested = squared[:, augment:].sum(1), own_ssr - squared[:, :augment].sum(1)
    sums = Sums(gain, untested, untested - gain, torch.full_like(gain, count - 2 * depth - 1))
    trace = (inverse.square().sum(1) * gram.diagonal(dim1=-2, dim2=-1)).sum(1)
    safe = (info == 0) & (lost * torch.maximum(trace, own_ssr / sums.joint_ssr) < _MOST_LOST)
    if not bool(safe.all()):
        again = _by_projection(shared, target, causes[~safe].unfold(1, count, 1)[:, :depth], augment)
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
