"""Exact Lasso solutions by celer on working sets, each certified by the duality gap over all columns.

celer (Massias, Gramfort and Salmon 2018) needs a float64 copy of X, here of a working set of a few thousand columns.
All other columns are read in blocks to check that none is missing (Karush-Kuhn-Tucker condition: no |x_k . r| / T above
alpha). X may therefore be float32, on another device, or larger than memory.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from scipy.linalg import LinAlgError, solve_triangular
from torch import Tensor

from ccprune._util.checks import require_inside_unit_interval
from ccprune.lasso.problem import Gap, LassoResult, check, check_penalty, correlation, gap_of, predict

_ROUNDS = 30
_SMALLEST_SET = 1000  # columns of the first working set, unless four per record are more
_GRID_END = 1e-2  # smallest penalty, as a fraction of lambda_max, of a grid given by its length


@dataclass(frozen=True, eq=False)
class _Point:
    """One solution on the path: non-zero coefficients `value` at `index`, and X' r / T of every column."""

    index: Tensor
    value: Tensor
    correlation: Tensor
    gap: Gap
    rounds: int


def exact(X: Tensor, y: Tensor, alpha: float, *, tol: float = 1e-6) -> LassoResult:
    """Solve the Lasso of `objective` to a relative duality gap of at most `tol`.

    At most T coefficients are non-zero, however many weights there are, so a solution cannot give a mask of moderate
    sparsity; `ranking` also orders the weights outside the solution. For alpha >= `lambda_max` all coefficients are 0.

    Parameters
    ----------
    X : Tensor (T, P)
        Squared weight changes, float32 or float64, read in blocks of columns on its device. The small problems of the
        working sets are solved in float64 on the CPU.
    y : Tensor (T,)
        Loss changes.
    alpha : float
        Penalty, above 0, in units of y times X.
    tol : float, default 1e-6
        Largest relative duality gap, between 0 and 1; see `duality_gap`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.
    RuntimeError
        If the gap is not reached; the message states alpha and the gap that was reached.

    Examples
    --------
    The coefficient of the first weight is (x . y / T - alpha) / (x . x / T) = (10 / 4 - 0.5) / (20 / 4).

    >>> y = torch.tensor([1.0, -1.0, 2.0, -2.0])
    >>> X = torch.stack([y * 2, torch.tensor([1.0, 1.0, 0.0, 0.0])], dim=1)
    >>> [round(float(value), 6) for value in exact(X, y, 0.5).coef]
    [0.45, 0.0]
    """
    return path(X, y, [alpha], tol=tol)[0]


def path(X: Tensor, y: Tensor, alphas: Sequence[float], *, tol: float = 1e-6) -> tuple[LassoResult, ...]:
    """Solve as `exact` for several penalties, each started at the next larger one's solution; in the order given.

    Parameters
    ----------
    X, y : Tensors (T, P) and (T,), float32 or float64
        Squared weight changes and loss changes.
    alphas : sequence of float
        Penalties, above 0.
    tol : float, default 1e-6
        Largest relative duality gap, between 0 and 1.

    Examples
    --------
    >>> found = path(torch.eye(2), torch.tensor([1.0, -3.0]), [0.4, 0.8])
    >>> [result.support.tolist() for result in found]  # fewer coefficients at the larger penalty
    [[True, True], [False, True]]
    """
    found = {}
    for alpha, point in _along(X, y, alphas, tol):
        coef = torch.zeros(X.shape[1], dtype=torch.float64, device=X.device)
        coef[point.index] = point.value
        found[alpha] = LassoResult(coef, point.gap.relative, coef != 0, point.rounds, True)
    return tuple(found[alpha] for alpha in alphas)


def ranking(X: Tensor, y: Tensor, *, alphas: Sequence[float] | int = 20, tol: float = 1e-6) -> Tensor:
    """Score all P weights by the exact Lasso, including those beyond the T that a solution can hold.

    The score of a weight is the penalty at which it enters the path: between two penalties of the grid, |x_k . r| / T
    at the larger one, limited to the interval between the two. If it never enters, the score is |x_k . r| / T at the
    smallest penalty, which is at most that penalty.

    Parameters
    ----------
    X, y : Tensors (T, P) and (T,), float32 or float64
        Squared weight changes and loss changes.
    alphas : sequence of float, or int, default 20
        Grid of penalties, or its length, at least 2, from `lambda_max` to a hundredth of it, evenly spaced in
        logarithm. The finer the grid, the more exact is the order of entry.
    tol : float, default 1e-6
        Largest relative duality gap, between 0 and 1.

    Returns
    -------
    Tensor (P,), float64
        Scores in units of alpha, on X's device.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        For an invalid argument, with its name, and if the gap is not reached.

    Examples
    --------
    >>> ranking(torch.eye(3), torch.tensor([1.0, -3.0, 0.0])).argsort(descending=True).tolist()
    [1, 0, 2]
    """
    with_y = check(X, y).abs()
    top = float(with_y.max())
    if isinstance(alphas, Integral):
        if isinstance(alphas, bool) or alphas < 2:
            raise ValueError(f"alphas must be at least 2 penalties, got {alphas!r}")
        if top == 0:
            return with_y  # no column is correlated with y, so all scores are 0
        alphas = np.geomspace(top, _GRID_END * top, alphas).tolist()
    score = torch.zeros_like(with_y)
    before, larger = with_y, top
    for alpha, point in _along(X, y, alphas, tol):
        entering = point.index[score[point.index] == 0]
        score[entering] = before[entering].clamp(alpha, max(larger, alpha))
        before, larger = point.correlation.abs(), alpha
    return torch.where(score > 0, score, before.clamp(max=larger))


def _along(X: Tensor, y: Tensor, alphas: Sequence[float], tol: float) -> Iterator[tuple[float, _Point]]:
    """Yield the solutions from the largest penalty to the smallest, each started at the previous one."""
    if not len(alphas):
        raise ValueError("alphas must hold at least one penalty")
    for alpha in alphas:
        check_penalty(alpha, positive=True)
    require_inside_unit_interval(tol=tol)
    with_y = check(X, y)
    target = y.detach().to(X.device, torch.float64)
    index = torch.zeros(0, dtype=torch.int64, device=X.device)
    value = torch.zeros(0, dtype=torch.float64, device=X.device)
    point = _Point(index, value, with_y, Gap(float("inf"), float("inf")), 0)
    for alpha in sorted(set(alphas), reverse=True):
        point = _solve(X, target, alpha, float(with_y.abs().max()), point, tol)
        yield alpha, point


def _solve(X: Tensor, y: Tensor, alpha: float, top: float, start: _Point, tol: float) -> _Point:
    index, value, with_residual = start.index, start.value, start.correlation
    residual = y - predict(X, index, value)
    size, inner = max(_SMALLEST_SET, 4 * len(y)), 0.1 * tol
    for done in range(_ROUNDS + 1):
        gap = gap_of(y, residual, with_residual, value, alpha)
        if gap.relative <= tol:
            return _Point(index, value, with_residual, gap, done)
        if done == _ROUNDS or inner < 1e-16:
            break
        strength = with_residual.abs()
        strength[index] = float("inf")
        members = strength.topk(min(size, len(strength))).indices.sort().values
        begin = torch.zeros_like(strength)
        begin[index] = value
        found = _celer(X[:, members], y, alpha, top, begin[members], inner)
        kept = found != 0
        index, value = members[kept], found[kept]
        residual = y - predict(X, index, value)
        with_residual = correlation(X, residual)
        outside = with_residual.abs()
        outside[members] = 0
        if float(outside.max()) > alpha:
            size *= 2
        else:
            inner *= 0.1  # no column is missing, so the remaining gap is that of the working set
    raise RuntimeError(
        f"no solution with a relative duality gap of {tol:g} at alpha={alpha:g}, only {gap.relative:.3g} after "
        f"{done} working sets"
    )


def _celer(columns: Tensor, y: Tensor, alpha: float, top: float, begin: Tensor, tol: float) -> Tensor:
    """Return the coefficients (S,) of the problem restricted to columns (T, S), started at `begin` (S,)."""
    from celer import celer_path  # imports scikit-learn, which takes half a second

    # One factor for y and one for all of X make the mean square of y and the largest penalty 1: the same problem in
    # other units. Squared weight changes in their original units (1e-13) would underflow in celer's squared norms.
    unit = float(y.square().mean().sqrt())
    factor = unit / top
    by_column = columns.detach().T.cpu().contiguous().to(torch.float64)  # celer needs column-major order
    design = by_column.mul_(factor).numpy().T
    target = (y / unit).cpu().numpy()
    with warnings.catch_warnings():
        # The duality gap over all columns decides whether this is a solution, not celer's convergence warnings.
        warnings.simplefilter("ignore")
        coefs = celer_path(
            design,
            target,
            pb="lasso",
            alphas=[alpha / top],
            coef_init=(begin.cpu() / (unit * factor)).numpy(),
            tol=tol,
            max_iter=50,
            max_epochs=20_000,
        )[1]
        coef = _polish(design, target, alpha / top, coefs[:, 0])
    return (torch.from_numpy(coef) * (unit * factor)).to(begin.device)


def _polish(design: np.ndarray, target: np.ndarray, alpha: float, coef: np.ndarray) -> np.ndarray:
    """Solve for the non-zero coefficients (S,) with fixed signs; return `coef` unchanged if a sign would change.

    The residual of coordinate descent, and a dual point computed from it, have an error of the order of the square root
    of the gap.
    """
    kept = np.flatnonzero(coef)
    if not 0 < len(kept) <= len(target):
        return coef
    orthogonal, triangle = np.linalg.qr(design[:, kept])
    signs = np.sign(coef[kept])
    try:
        pull = solve_triangular(triangle, signs, trans="T") * (alpha * len(target))
        solved = solve_triangular(triangle, orthogonal.T @ target - pull)
    except LinAlgError:  # with equal columns the coefficients are not unique
        return coef
    if not np.array_equal(np.sign(solved), signs):
        return coef
    polished = np.zeros_like(coef)
    polished[kept] = solved
    return polished
