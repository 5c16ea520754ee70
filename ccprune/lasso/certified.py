"""Exact solutions of the Lasso, each with its certificate: celer on working sets, the gap over all columns by us.

celer (Massias, Gramfort and Salmon 2018) wants a float64 copy of the whole X. Here it only ever sees a working set of
a few thousand columns; all others are read in blocks to check that none of them is missing (Karush-Kuhn-Tucker: no
|x_k . r| / T above lam). So X may be float32, on another device, or larger than memory.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import LinAlgError, solve_triangular
from torch import Tensor

from ccprune.lasso.problem import Gap, LassoResult, check, check_penalty, correlation, gap_of, predict

_ROUNDS = 30
_SMALLEST_SET = 1000  # columns of the first working set, unless four per record are more
_GRID_END = 1e-2  # of lambda_max, the last penalty of a grid given by its length


@dataclass(frozen=True, eq=False)
class _Point:
    """One solution along the path: non-zero coefficients `value` at `index`, and X' r / T for every column."""

    index: Tensor
    value: Tensor
    correlation: Tensor
    gap: Gap
    rounds: int


def exact(X: Tensor, y: Tensor, lam: float, *, tolerance: float = 1e-6) -> LassoResult:
    """Solves the Lasso of `objective` to a relative duality gap of at most `tolerance`.

    At most T coefficients are non-zero however many weights there are (P > T), so masks of moderate sparsity cannot
    come out of it; `ranking` orders all the others too. For lam >= `lambda_max` all are zero. Changing the units of
    X by a factor and those of lam with them changes nothing but the units of the result.

    Parameters
    ----------
    X : Tensor (T, P)
        Squared weight changes, float32 or float64. Read in blocks of columns on its own device; the small problems
        that are left are solved in float64 on the CPU whatever the device.
    y : Tensor (T,)
        Loss changes.
    lam : float
        Above 0, in units of y times X.
    tolerance : float
        Largest relative gap, see `duality_gap`.

    Returns
    -------
    LassoResult
        On X's device.

    Raises
    ------
    TypeError, ValueError
        Naming the argument.
    RuntimeError
        When the gap is not reached, naming lam and the gap that was.

    Examples
    --------
    One weight whose squared changes go with the loss: (x . y / T - lam) / (x . x / T) = (10 / 4 - 0.5) / (20 / 4).

    >>> y = torch.tensor([1.0, -1.0, 2.0, -2.0])
    >>> X = torch.stack([y * 2, torch.tensor([1.0, 1.0, 0.0, 0.0])], dim=1)
    >>> [round(float(value), 6) for value in exact(X, y, 0.5).coef]
    [0.45, 0.0]
    """
    return path(X, y, [lam], tolerance=tolerance)[0]


def path(X: Tensor, y: Tensor, lams: Sequence[float], *, tolerance: float = 1e-6) -> tuple[LassoResult, ...]:
    """`exact` for several penalties, each begun at the next larger one's solution; in the order of `lams`."""
    found = {}
    for lam, point in _along(X, y, lams, tolerance):
        coef = torch.zeros(X.shape[1], dtype=torch.float64, device=X.device)
        coef[point.index] = point.value
        found[lam] = LassoResult(coef, point.gap.relative, coef != 0, point.rounds, True)
    return tuple(found[lam] for lam in lams)


def ranking(X: Tensor, y: Tensor, *, lams: Sequence[float] | int = 20, tolerance: float = 1e-6) -> Tensor:
    """Scores all P weights by the exact Lasso, beyond the T that can be in a solution: larger = enters earlier.

    A weight that enters along the path scores the penalty at which it does: between the grid's two values around it,
    at the |x_k . r| / T it had at the larger one. A weight that never enters scores |x_k . r| / T at the smallest,
    which is at most that penalty, so the two parts join.

    Parameters
    ----------
    X, y, tolerance
        As in `exact`.
    lams : sequence of float, or int
        The grid of penalties, or how many, evenly spaced in logarithm from `lambda_max` to a hundredth of it. The
        finer the grid, the more exact the order of entry.

    Returns
    -------
    Tensor (P,), float64
        In units of lam, on X's device.
    """
    with_y = check(X, y).abs()
    top = float(with_y.max())
    if isinstance(lams, int):
        if isinstance(lams, bool) or lams < 2:
            raise ValueError(f"lams must be at least 2 penalties, got {lams!r}")
        if top == 0:
            return with_y  # nothing is related to y: all weights score 0
        lams = np.geomspace(top, _GRID_END * top, lams).tolist()
    score = torch.zeros_like(with_y)
    before, larger = with_y, top
    for lam, point in _along(X, y, lams, tolerance):
        entering = point.index[score[point.index] == 0]
        score[entering] = before[entering].clamp(lam, max(larger, lam))
        before, larger = point.correlation.abs(), lam
    return torch.where(score > 0, score, before.clamp(max=larger))


def _along(X: Tensor, y: Tensor, lams: Sequence[float], tolerance: float) -> Iterator[tuple[float, _Point]]:
    """Solutions from the largest penalty to the smallest, each begun at the one before."""
    if not len(lams):
        raise ValueError("lams must hold at least one penalty")
    for lam in lams:
        check_penalty(lam, positive=True)
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie between 0 and 1, got {tolerance!r}")
    with_y = check(X, y)
    target = y.detach().to(X.device, torch.float64)
    index = torch.zeros(0, dtype=torch.int64, device=X.device)
    value = torch.zeros(0, dtype=torch.float64, device=X.device)
    point = _Point(index, value, with_y, Gap(float("inf"), float("inf")), 0)
    for lam in sorted(set(lams), reverse=True):
        point = _solve(X, target, lam, float(with_y.abs().max()), point, tolerance)
        yield lam, point


def _solve(X: Tensor, y: Tensor, lam: float, top: float, start: _Point, tolerance: float) -> _Point:
    index, value, with_residual = start.index, start.value, start.correlation
    residual = y - predict(X, index, value)
    size, inner = max(_SMALLEST_SET, 4 * len(y)), 0.1 * tolerance
    for done in range(_ROUNDS + 1):
        gap = gap_of(y, residual, with_residual, value, lam)
        if gap.relative <= tolerance:
            return _Point(index, value, with_residual, gap, done)
        if done == _ROUNDS or inner < 1e-16:
            break
        strength = with_residual.abs()
        strength[index] = float("inf")
        members = strength.topk(min(size, len(strength))).indices.sort().values
        begin = torch.zeros_like(strength)
        begin[index] = value
        found = _celer(X[:, members], y, lam, top, begin[members], inner)
        kept = found != 0
        index, value = members[kept], found[kept]
        residual = y - predict(X, index, value)
        with_residual = correlation(X, residual)
        outside = with_residual.abs()
        outside[members] = 0
        if float(outside.max()) > lam:
            size *= 2
        else:
            inner *= 0.1  # no column is missing: what is left is the working set's own gap
    raise RuntimeError(
        f"no solution with a relative duality gap of {tolerance:g} at lam={lam:g}, only {gap.relative:.3g} after "
        f"{done} working sets"
    )


def _celer(columns: Tensor, y: Tensor, lam: float, top: float, begin: Tensor, tolerance: float) -> Tensor:
    """Coefficients (S,) of the problem on a few columns (T, S), begun at `begin` (S,)."""
    from celer import celer_path  # imports scikit-learn, half a second

    # One factor for y and one for all of X, so that y has mean square 1 and the largest penalty is 1: the same
    # problem in other units. Squared weight changes as they come (1e-13) would underflow in celer's squared norms.
    unit = float(y.square().mean().sqrt())
    factor = unit / top
    by_column = columns.detach().T.cpu().contiguous().to(torch.float64)  # celer wants columns one after the other
    design = by_column.mul_(factor).numpy().T
    target = (y / unit).cpu().numpy()
    with warnings.catch_warnings():
        # Whether this is a solution is decided by the duality gap over all columns, not by a solver's own limits.
        warnings.simplefilter("ignore")
        coefs = celer_path(
            design,
            target,
            pb="lasso",
            alphas=[lam / top],
            coef_init=(begin.cpu() / (unit * factor)).numpy(),
            tol=tolerance,
            max_iter=50,
            max_epochs=20_000,
        )[1]
        coef = _polish(design, target, lam / top, coefs[:, 0])
    return (torch.from_numpy(coef) * (unit * factor)).to(begin.device)


def _polish(design: np.ndarray, target: np.ndarray, lam: float, coef: np.ndarray) -> np.ndarray:
    """Solves for the non-zero coefficients (S,) with their signs held, as long as none of them then changes its sign.

    The residual of coordinate descent is off by the root of its own gap; a dual point made from it is so too.
    """
    kept = np.flatnonzero(coef)
    if not 0 < len(kept) <= len(target):
        return coef
    orthogonal, triangle = np.linalg.qr(design[:, kept])
    signs = np.sign(coef[kept])
    try:
        pull = solve_triangular(triangle, signs, trans="T") * (lam * len(target))
        solved = solve_triangular(triangle, orthogonal.T @ target - pull)
    except LinAlgError:  # equal columns: their coefficients are not unique
        return coef
    if not np.array_equal(np.sign(solved), signs):
        return coef
    polished = np.zeros_like(coef)
    polished[kept] = solved
    return polished
