"""The Lasso problem that all solvers of this package share, and its duality gap.

minimise over g (P,):   ||y - X g||^2 / (2 T) + alpha |g|_1

y (T,) are loss changes and X (T, P) squared weight changes, one row per recorded step, without intercept and
standardisation (Shah et al. 2024; in scikit-learn's notation). Entries of X may be 1e-13, so every sum is computed in
float64, one block of columns at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import torch
from torch import Tensor

from ccprune.lasso import _cpu

_BLOCK = 2**22  # entries of X held in float64 at once (32 MiB)


class Gap(NamedTuple):
    """Result of `duality_gap`.

    Attributes
    ----------
    absolute : float
        In squared units of y.
    relative : float
        As a share of the objective of g = 0, ||y||^2 / (2 T).
    """

    absolute: float
    relative: float


@dataclass(frozen=True, eq=False)
class LassoResult:
    """Result of `exact` and `truncated_gradient`.

    Attributes
    ----------
    coef, support : Tensor (P,) of float64 and bool
        Coefficients g, in units of y per unit of X, on X's device, and where they are not 0.
    duality_gap : float
        Relative duality gap, an upper bound on the distance of the objective from its minimum; see `duality_gap`.
    iterations : int
        Number of working sets solved (`exact`), or of passes over the records (`truncated_gradient`).
    converged : bool
        Whether the solver's stopping rule was met, which only for `exact` is the duality gap.
    """

    coef: Tensor
    duality_gap: float
    support: Tensor
    iterations: int
    converged: bool


def objective(X: Tensor, y: Tensor, coef: Tensor, alpha: float) -> float:
    """Return ||y - X coef||^2 / (2 T) + alpha |coef|_1.

    Parameters
    ----------
    X, y, coef : Tensors (T, P), (T,) and (P,), float32 or float64
    alpha : float
        Penalty, at least 0, in units of y times X.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.

    Examples
    --------
    >>> X, y = torch.eye(2), torch.tensor([1.0, -3.0])
    >>> objective(X, y, torch.tensor([0.0, -1.0]), 0.5)  # (1 + 4) / (2 * 2) + 0.5
    1.75
    """
    check_penalty(alpha)
    residual, coef = _residual(X, y, coef)
    return _objective(residual, coef, alpha)


def duality_gap(X: Tensor, y: Tensor, coef: Tensor, alpha: float) -> Gap:
    """Upper bound on `objective(coef)` minus its minimum, from the residual r = y - X coef scaled to be feasible.

    The dual problem maximises (||y||^2 - ||y - u||^2) / (2 T) over all u with |x_k . u| / T <= alpha for every k. The
    dual point is the best of the feasible multiples of r (Massias, Gramfort and Salmon 2018, section 2).

    Parameters
    ----------
    X, y, coef : Tensors (T, P), (T,) and (P,), float32 or float64
    alpha : float
        Penalty, at least 0, in units of y times X.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.

    Examples
    --------
    >>> X, y = torch.eye(2), torch.tensor([1.0, -3.0])
    >>> duality_gap(X, y, torch.tensor([0.0, -2.0]), 0.5).absolute  # the minimum
    0.0
    >>> duality_gap(X, y, torch.zeros(2), 0.5).absolute >= objective(X, y, torch.zeros(2), 0.5) - 1.5
    True
    """
    check_penalty(alpha)
    residual, coef = _residual(X, y, coef)
    return gap_of(y.to(residual), residual, correlation(X, residual), coef, alpha)


def lambda_max(X: Tensor, y: Tensor) -> float:
    """Return the smallest alpha whose solution is all zeros, max_k |x_k . y| / T.

    Parameters
    ----------
    X, y : Tensors (T, P) and (T,)

    Examples
    --------
    >>> lambda_max(torch.eye(2), torch.tensor([1.0, -3.0]))  # |-3| / 2 records
    1.5
    """
    return float(check(X, y).abs().max())


def check(X: Tensor, y: Tensor) -> Tensor:
    """Return X' y / T (P,) in float64, or raise TypeError or ValueError that names the invalid argument."""
    for name, value, dims in (("X", X, 2), ("y", y, 1)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a Tensor, got {type(value).__name__}")
        if not value.is_floating_point():
            raise TypeError(f"{name} must hold floating-point numbers, got {value.dtype}")
        if value.ndim != dims or value.numel() == 0:
            raise ValueError(f"{name} must have {dims} dimension(s) and not be empty, got shape {tuple(value.shape)}")
    if len(y) != len(X):
        raise ValueError(f"y must have one value per row of X ({len(X)}), got {len(y)}")
    if not bool(torch.isfinite(y).all()):
        raise ValueError("y must be finite, got NaN or infinite values")
    with_y = correlation(X, y)
    # A NaN or infinite entry makes the sum of its column non-finite, but a product may skip the rows where y is 0.
    sums = [with_y] if bool((y != 0).all()) else [with_y, correlation(X, torch.ones_like(y))]
    if not all(bool(torch.isfinite(total).all()) for total in sums):
        raise ValueError("X must be finite, got NaN or infinite values")
    return with_y


def check_penalty(alpha: float, *, positive: bool = False) -> None:
    """Raise ValueError unless alpha is finite and at least 0, or above 0 if `positive`."""
    if isinstance(alpha, bool) or not isinstance(alpha, Real) or not 0 <= alpha < float("inf"):
        raise ValueError(f"alpha must be a finite number of at least 0, got {alpha!r}")
    if positive and alpha == 0:
        raise ValueError("alpha must be above 0: without a penalty there is no unique solution to certify")


def blocks(X: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of columns of X (T, P): their slice, and the block in float64."""
    width = max(1, _BLOCK // len(X))
    for first in range(0, X.shape[1], width):
        part = slice(first, min(first + width, X.shape[1]))
        yield part, X.detach()[:, part].to(torch.float64)


def flat_rows(X: Tensor) -> Tensor:
    """Return X's memory from its first entry to its last, (n,); row t begins at t * X.stride(0). X.stride(1) is 1."""
    return X.detach().as_strided(((len(X) - 1) * X.stride(0) + X.shape[1],), (1,))


def correlation(X: Tensor, residual: Tensor) -> Tensor:
    """Return X' residual / T (P,), float64, on X's device."""
    residual = residual.to(X.device, torch.float64) / len(X)
    if X.device.type == "cpu" and X.dtype == torch.float32 and X.stride(1) == 1:
        flat = flat_rows(X).numpy()
        return torch.from_numpy(_cpu.correlation(flat, X.stride(0), residual.numpy(), X.shape[1]))
    return torch.cat([block.T @ residual for _, block in blocks(X)])


def predict(X: Tensor, index: Tensor, value: Tensor) -> Tensor:
    """Return X g (T,) in float64 for g with `value` (S,) at `index` (S,) and 0 elsewhere."""
    total = torch.zeros(len(X), dtype=torch.float64, device=X.device)
    width = max(1, _BLOCK // len(X))
    for places, values in zip(index.split(width), value.split(width), strict=True):
        total += X.detach()[:, places].to(torch.float64) @ values
    return total


def gap_of(y: Tensor, residual: Tensor, correlation: Tensor, coef: Tensor, alpha: float) -> Gap:
    """Compute `duality_gap` from the residual (T,) and X' residual / T (P,), all float64."""
    rows, along, own = len(y), float(y @ residual), float(residual @ residual)
    peak = float(correlation.abs().max())
    scale = along / own if own > 0 else 0.0
    if peak > 0:
        scale = min(max(scale, -alpha / peak), alpha / peak)
    dual = (2 * scale * along - scale**2 * own) / (2 * rows)
    absolute = max(0.0, _objective(residual, coef, alpha) - dual)
    null = float(y @ y) / (2 * rows)
    return Gap(absolute, absolute / null if null > 0 else (0.0 if absolute == 0 else float("inf")))


def _objective(residual: Tensor, coef: Tensor, alpha: float) -> float:
    return float(residual @ residual) / (2 * len(residual)) + alpha * float(coef.abs().sum())


def _residual(X: Tensor, y: Tensor, coef: Tensor) -> tuple[Tensor, Tensor]:
    check(X, y)
    if not isinstance(coef, Tensor):
        raise TypeError(f"coef must be a Tensor, got {type(coef).__name__}")
    if coef.shape != X.shape[1:]:
        raise ValueError(f"coef must have one value per column of X ({X.shape[1]}), got shape {tuple(coef.shape)}")
    coef = coef.to(X.device, torch.float64)
    if not bool(torch.isfinite(coef).all()):
        raise ValueError("coef must be finite, got NaN or infinite values")
    index = coef.nonzero()[:, 0]
    return y.to(X.device, torch.float64) - predict(X, index, coef[index]), coef
