"""The causal fits of paper B's code, from its three states, behind one function: records in, gamma and an outcome out.

A record is the change dL of the loss in one step and the squared changes of all P weights in it. Every fit explains dL
by squared changes without intercept. The fits differ in their units, their penalty and, above all, in the place where
their solver stops. None of them reaches the minimum of its objective on records of a neural network.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ccprune import lasso
from ccprune.lasso.problem import blocks, check, check_penalty, predict
from replication.causal.follow_up.ridge import LARGEST, ridge

#: How a fit ended; see `Fit`.
Outcome = Literal["converged", "stopped", "diverged"]

_FIT_2024 = {"eta0": 0.01, "power_t": 0.25, "max_iter": 1000, "patience": 2, "tol": 1e-4}
# The authors' loss has no factor 1/2, so that the step 0.1 is 0.2 in `lasso.truncated_gradient`, and penalty and
# tolerance are halved.
_FIT_2025_06 = {"eta0": 0.2, "power_t": 0.1, "batch_size": 16, "max_iter": 30, "stop": "lowest", "tol": 5e-8}
_PENALTY_2025_06 = 1e-3 / 2


@dataclass(frozen=True, eq=False)
class Fit:
    """Result of a causal fit.

    Attributes
    ----------
    gamma : Tensor (P,) or None
        Coefficients, float64, finite. None if a loss exceeds the range of float32, in which the authors compute; their
        program then ends with an error.
    outcome : str
        "converged": the stopping rule of the fit was met, or the result has a closed form. This does not mean that
        the objective is at its minimum. "stopped": the largest number of passes was reached. "diverged": gamma
        is None, or explains the loss changes worse than gamma = 0 does.
    passes : int or None
        Passes over the records that were made, the largest number where there is one fit per tensor. None if the
        truncated gradient overflowed.
    explained : float or None
        1 - sum of squared residuals / sum of squared targets; 0 for gamma = 0, negative where the fit is worse.
        None without gamma, and for "screen", which predicts nothing.
    """

    gamma: Tensor | None
    outcome: Outcome
    passes: int | None
    explained: float | None

    @property
    def zeros(self) -> int | None:
        """Number of coefficients that are exactly zero, or None without gamma. Their ranking is by index."""
        return None if self.gamma is None else int((self.gamma == 0).sum())


def fit(
    name: str,
    X: Tensor,
    y: Tensor,
    *,
    lr: float = 1e-3,
    alpha: float = 0.0,
    columns: Mapping[str, slice] | None = None,
    seed: int = 0,
) -> Fit:
    """Fit loss changes by squared weight changes with one of `FITS`.

    Parameters
    ----------
    name : str
        - "screen": x_k . y / T, the covariance without centring, which the fits of 2024 and June 2025 approach when
          their predictions are negligible (`ccprune.lasso.Screen`).
        - "2024": one fit for each weight tensor by the cumulative truncated gradient, one record at a time, step
          0.01 / t^0.25, at most 1000 passes, as their code runs: a pass is compared with the loss of the last record
          of an earlier pass, so that the fit ends after 3 passes.
        - "2024-printed": the same with the stopping rule that is described: 2 passes in a row without an improvement
          of the lowest mean loss by 1e-4. Where losses are below 1e-4 this too is 3 passes.
        - "2025-06": one fit over all weights with x = squared change / lr^2 and y = dL / mean of dL, by the
          truncated gradient in batches of 16, step 0.1 / t^0.1, penalty 1e-3 / P, at most 30 passes. It returns the
          last pass, while the authors' code returns the pass with the lowest loss; these are the same while the loss
          falls.
        - "ridge": October 2025, with x and y as in June, see `ridge.ridge`.
    X : Tensor (T, P)
        Squared weight changes, float32 or float64; zeros where weights are pruned, so that their gamma is zero.
    y : Tensor (T,)
        Loss changes: of consecutive records for 2024, of the same mini-batch for 2025.
    lr : float, default 1e-3
        Learning rate of the recorded steps, for the fits of 2025.
    alpha : float, default 0.0
        Penalty of the fits of 2024, 1e-14 to 1e-17 in their scripts. Without a penalty abs(gamma) ranks the weights in
        the order in which a rising penalty sets them to zero, as long as predictions are negligible.
    columns : mapping of name to slice, optional
        Columns of each weight tensor, for the fits of 2024. None: one tensor.
    seed : int, default 0
        Seed of the order of the records.

    Returns
    -------
    Fit

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid: an unknown name, values that are not finite (the authors set them to 0), a learning
        rate that is not positive, and for the fits of 2025 loss changes with mean 0, by which y cannot be divided.

    References
    ----------
    Shah et al. (2024), arXiv:2412.03035; github.com/adityashah30/causalpruning, commits 3fe83fa5 (2024) and f1a96305
    (June 2025); github.com/adityac20/causalpruning_20251016, commit 59e19d1a (October 2025).
    """
    if name not in FITS:
        raise ValueError(f"name must be one of {tuple(FITS)}, got {name!r}")
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr must be positive and finite, got {lr!r}")
    return FITS[name](X, y, lr, alpha, columns, seed)


def _screen(X: Tensor, y: Tensor, *_: object) -> Fit:
    return Fit(check(X, y), "converged", 1, None)


def _fit_2024(
    X: Tensor, y: Tensor, alpha: float, columns: Mapping[str, slice] | None, seed: int, stop: lasso.stochastic.Stop
) -> Fit:
    parts = {"": slice(0, X.shape[1])} if columns is None else columns
    if [part.start for part in parts.values()] + [X.shape[1]] != [0, *(part.stop for part in parts.values())]:
        raise ValueError(f"columns must cover the {X.shape[1]} columns of X in order, got {list(parts.values())[:5]}")
    found = [_fit_truncated(X[:, part], y, alpha, seed=seed, stop=stop, **_FIT_2024) for part in parts.values()]
    if any(one.gamma is None for one in found):
        return Fit(None, "diverged", None, None)
    passes = max(one.passes for one in found)
    # Each tensor has its own prediction of the same y, so that the fits are judged one by one: the worst counts.
    outcome: Outcome = "stopped" if any(one.outcome == "stopped" for one in found) else "converged"
    if any(one.outcome == "diverged" for one in found):
        outcome = "diverged"
    return Fit(torch.cat([one.gamma for one in found]), outcome, passes, min(one.explained for one in found))


def _as_printed(X: Tensor, y: Tensor, _: float, alpha: float, columns: Mapping[str, slice] | None, seed: int) -> Fit:
    return _fit_2024(X, y, alpha, columns, seed, "lowest")


def _as_run(X: Tensor, y: Tensor, _: float, alpha: float, columns: Mapping[str, slice] | None, seed: int) -> Fit:
    return _fit_2024(X, y, alpha, columns, seed, "last_record")


def _fit_2025_06(X: Tensor, y: Tensor, lr: float, _: float, __: Mapping[str, slice] | None, seed: int) -> Fit:
    target = _by_mean(X, y)
    return _fit_truncated(X / lr**2, target, _PENALTY_2025_06 / X.shape[1], seed=seed, **_FIT_2025_06)


def _ridge(X: Tensor, y: Tensor, lr: float, _: float, __: Mapping[str, slice] | None, seed: int) -> Fit:
    target = _by_mean(X, y)
    found = ridge(_gram(X) / lr**4, target, seed=seed)
    if found.weights is None:
        return Fit(None, "diverged", found.passes, None)
    gamma = torch.cat([found.weights.to(X.device) @ part for _, part in blocks(X)]) / lr**2
    return _mark_diverged(Fit(gamma, "converged" if found.converged else "stopped", found.passes, found.explained))


def _fit_truncated(X: Tensor, y: Tensor, alpha: float, *, seed: int, **options: object) -> Fit:
    """Return the fit of `lasso.truncated_gradient`, with an overflow as an outcome instead of an error."""
    check(X, y)
    check_penalty(alpha)
    try:
        found = lasso.truncated_gradient(X, y, alpha, seed=seed, **options)
    except ValueError:  # the arguments are valid, so that only an overflow is left
        return Fit(None, "diverged", None, None)
    target = y.to(X.device, torch.float64)
    index = found.coef.nonzero()[:, 0]
    residual = target - predict(X, index, found.coef[index])
    if not float(residual.square().mean()) <= LARGEST:
        return Fit(None, "diverged", found.iterations, None)
    explained = float(1 - residual @ residual / (target @ target)) if bool(target.any()) else 0.0
    return _mark_diverged(Fit(found.coef, "converged" if found.converged else "stopped", found.iterations, explained))


def _mark_diverged(found: Fit) -> Fit:
    """Return the fit, "diverged" where it explains less than gamma = 0 beyond rounding."""
    return replace(found, outcome="diverged") if found.explained < -1e-9 else found


def _by_mean(X: Tensor, y: Tensor) -> Tensor:
    """Return y / mean of y (T,), float64."""
    check(X, y)
    mean = y.to(torch.float64).mean()
    if float(mean) == 0:
        raise ValueError("y must have a mean other than 0, by which the fits of 2025 divide it, got mean 0")
    return y.to(torch.float64) / mean


def _gram(X: Tensor) -> Tensor:
    """Return X X' (T, T), float64, from blocks of columns."""
    total = torch.zeros(len(X), len(X), dtype=torch.float64, device=X.device)
    for _, part in blocks(X):
        total += part @ part.T
    return total


#: Fits by name; see `fit`.
FITS: dict[str, Callable[..., Fit]] = {
    "screen": _screen,
    "2024": _as_run,
    "2024-printed": _as_printed,
    "2025-06": _fit_2025_06,
    "ridge": _ridge,
}
