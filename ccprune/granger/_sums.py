"""Sums of squares of the regressions for `ccprune.granger`, for all causes and lags.

The fast method uses sums of products only. From one depth of lags to the next smaller one, the regressions lose one
column per series and gain one row, so the sums are computed once, for the largest depth, and then corrected by one
outer product per depth. Normal equations lose about twice the digits of the condition number. Where this loss could
affect the result, the columns themselves are projected and orthonormalised instead.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ccprune._util.threads import one_thread
from ccprune.granger import _cpu as _granger_cpu
from ccprune.granger._columns import Sums, by_projection, own_columns, residual

# The condition is measured by the sum over the columns of 1 / (share of variance not explained by the other columns),
# the trace of the inverse correlation matrix, because all single pivots can be moderate although the condition is bad.
# The lags of a cause lose as many digits as this number has, the effect's lags half as many. If the total loss is not
# below this limit, a cause is recomputed from the columns.
_MOST_LOST = 1e6
# From this condition of the effect's lags on, products are computed from the columns instead of from the sums (the loss
# is the square root of the condition); from the next one on, the lags count as dependent and all causes are recomputed.
# A risk that falls once and then stays constant is often such a case.
_MOST_LOST_IN_SUMS = 1e7
_MOST_LOST_IN_COLUMNS = 1e12


class Own(NamedTuple):
    """Regression of the effect on its c lags and a constant, shared by all causes.

    `effect` is the series (K,). `triangle` (c + 1, c + 1) and `fitted` (c + 1,) are R and Q' target of the QR
    decomposition of the lags and the constant (T, c + 1), T = K - c. `ssr` is the residual sum of squares. `condition`
    is that of the lags and the constant (see `_MOST_LOST`), or target sum of squares / ssr if that is larger. Arrays
    with T rows are recomputed on demand, because with many lags they would need far more memory than the series.
    """

    depth: int
    effect: Tensor
    triangle: Tensor
    fitted: Tensor
    ssr: Tensor
    condition: float

    @property
    def from_columns(self) -> bool:
        """Whether products computed from the sums would lose too many digits."""
        return not self.condition < _MOST_LOST_IN_SUMS  # written so that NaN counts as ill-conditioned too

    @property
    def target(self) -> Tensor:
        """The effect without its first c rows, (T,)."""
        return self.effect[self.depth :]

    @one_thread()
    def directions(self) -> tuple[Tensor, Tensor]:
        """Return Q (T, c + 1) and the residual of the target (T,)."""
        basis, _ = torch.linalg.qr(own_columns(self.effect, self.depth))
        return basis, residual(self.target, basis)


class _Explained(NamedTuple):
    """Sums of squares explained by tested and by untested lags, and the trace of the condition; each (M,)."""

    gain: Tensor
    untested: Tensor
    trace: Tensor


def own_regressions(effect: Tensor, *, deepest: int, augment: int) -> list[Own]:
    """Return the regressions of the effect (K,) for depth = deepest, ..., augment + 1 lags."""
    return [_own(effect, depth) for depth in range(deepest, augment, -1)]


def by_depth(effect: Tensor, causes: Tensor, own: Sequence[Own], *, augment: int) -> Iterator[tuple[int, Sums]]:
    """Yield (depth, sums) for effect (K,), its own regressions, and causes (M, K).

    Lags are ordered from the largest to the smallest. The first `augment` lags of the cause are in the regression but
    are not tested. Means do not affect the result, but centred series are more accurate.
    """
    explained = _compiled_sums if causes.device.type == "cpu" else _batched_sums
    for one, found in zip(own, explained(effect, causes, own, augment), strict=True):
        yield one.depth, _sums(one, causes, found, augment)


@one_thread()  # the last digits of LAPACK's factors depend on the number of threads
def _own(effect: Tensor, depth: int) -> Own:
    columns, target = own_columns(effect, depth), effect[depth:]
    basis, triangle = torch.linalg.qr(columns)
    ssr = residual(target, basis).square().sum()
    inverse = torch.linalg.solve_triangular(triangle.T, columns.norm(dim=0).diag(), upper=False)
    condition = float(torch.maximum(inverse.square().sum(), target.square().sum() / ssr))
    return Own(depth, effect, triangle, basis.T @ target, ssr, condition)


def _compiled_sums(effect: Tensor, causes: Tensor, own: Sequence[Own], augment: int) -> Iterator[_Explained]:
    """Compute the sums on the CPU, all depths in one call."""
    deepest = own[0].depth
    columns, fits = np.zeros((len(own), deepest + 1, deepest + 1)), np.zeros((len(own), deepest + 1))
    for place, one in enumerate(own):
        width = len(one.fitted)
        columns[place, :width, :width], fits[place, :width] = one.triangle.T, one.fitted
    needy = [place for place, one in enumerate(own) if one.from_columns]
    from_columns = np.full(len(own), -1)
    from_columns[needy] = range(len(needy))
    bases = np.zeros((len(needy), len(effect), _granger_cpu.table_width(deepest)))
    for table, place in zip(bases, needy, strict=True):
        rows = torch.cat([part.view(len(own[place].target), -1) for part in own[place].directions()], 1)
        table[: rows.shape[0], : rows.shape[1]] = rows
    series = causes.T.contiguous().numpy()
    found = _granger_cpu.explained_sums(series, effect.numpy(), deepest, augment, from_columns, columns, fits, bases)
    for place in range(len(own)):
        yield _Explained(*torch.from_numpy(found[:, place]))


def _batched_sums(effect: Tensor, causes: Tensor, own: Sequence[Own], augment: int) -> Iterator[_Explained]:
    """Compute the sums on other devices by batched operations, depth by depth."""
    count = effect.shape[0] - own[0].depth
    # Column i of a window of the series is lag deepest - i; the effect also has the target and a constant.
    rows = effect.unfold(0, count, 1)  # (deepest + 1, count)
    lags = causes.unfold(1, count, 1)[:, : own[0].depth].contiguous()  # (M, deepest, count)
    gram = lags @ lags.mT
    mixed = lags @ torch.cat([rows, torch.ones_like(rows[:1])]).T
    for one in own:
        yield _explained_sums(causes, gram, mixed, one, augment)
        row, last = causes[:, : one.depth - 1], torch.cat([effect[: one.depth], torch.ones_like(effect[:1])])
        gram = torch.addcmul(gram[:, 1:, 1:], row[:, :, None], row[:, None])
        mixed = torch.addcmul(mixed[:, 1:, 1:], row[:, :, None], last)


def _explained_sums(causes: Tensor, gram: Tensor, mixed: Tensor, own: Own, augment: int) -> _Explained:
    """Compute the explained sums from products of the cause's lags: `gram` (M, c, c) with one another, and `mixed`
    (M, c, c + 2) with the effect's lags, the target and a constant.
    """
    if own.from_columns:
        lags = causes.unfold(1, len(own.target), 1)[:, : own.depth]
        basis, residual = own.directions()
        products = lags.reshape(-1, len(residual)) @ torch.cat([basis, residual[:, None]], 1)
        overlap, uncovered = products.view(*lags.shape[:2], -1).split([own.depth + 1, 1], -1)
    else:
        # The products with the orthonormal basis follow from those with the columns by a triangular solve.
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
    """Convert explained sums to `Sums`; causes that lost too many digits are recomputed from the columns."""
    untested = own.ssr - found.untested
    freedom = torch.full_like(found.gain, len(own.target) - 2 * own.depth - 1)
    sums = Sums(found.gain.clone(), untested, untested - found.gain, freedom)
    lost = 1.0 if own.from_columns else own.condition**0.5
    safe = lost * torch.maximum(found.trace, own.ssr / sums.joint_ssr) < _MOST_LOST
    if not own.condition < _MOST_LOST_IN_COLUMNS:
        safe = torch.zeros_like(safe)
    if not bool(safe.all()):
        lags = causes[~safe].unfold(1, len(own.target), 1)[:, : own.depth]
        again = by_projection(own_columns(own.effect, own.depth), own.target, lags, augment)
        for value, corrected in zip(sums, again, strict=True):
            value[~safe] = corrected
    return sums
