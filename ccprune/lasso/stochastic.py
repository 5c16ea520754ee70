"""Causal pruning's solver: SGD with the cumulative truncated gradient of Tsuruoka, Tsujii and Ananiadou (2009).

Step t adds eta_t r_t x_t to the coefficients, where r_t = y_t - x_t . g and eta_t = eta0 / t^power_t. It then moves
every coefficient towards 0, but never past it, by the part of u that has not been applied to it yet, where u is the
total penalty alpha * (sum of step sizes) so far. Every step updates every weight, so at any time

    g = soft(A, u),   A = sum over the steps so far of eta_t r_t x_t,   soft(a, u) = sign(a) max(|a| - u, 0)

holds exactly: if A > u the whole of u has been applied, and if |A| <= u, |A| has been applied. Therefore only A is
stored. Where predictions x_t . g are negligible against y, r = y, and g_k is not 0 if and only if
|sum_i w_i y_i x_ik| > alpha, where w_i is the share of record i in the sum of all step sizes (`record_weights`).
`ccprune.lasso.Screen` is this with w_i = 1 / T, which is power_t = 0.
"""

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softshrink

from ccprune._util.checks import require_at_least, require_one_of
from ccprune.lasso import _cpu
from ccprune.lasso.problem import LassoResult, check, check_penalty, duality_gap, flat_rows

#: Stopping rules; see `truncated_gradient`.
Stop = Literal["last_record", "lowest"]


def truncated_gradient(
    X: Tensor,
    y: Tensor,
    alpha: float,
    *,
    eta0: float = 0.01,
    power_t: float = 0.25,
    batch_size: int = 1,
    max_iter: int = 1000,
    stop: Stop = "last_record",
    patience: int = 2,
    tol: float = 1e-4,
    seed: int | None = None,
) -> LassoResult:
    """Fit the Lasso of `objective` by causal pruning's stochastic solver, which in general stops before the minimum.

    The defaults are the fit of 2024; that of June 2025 is the criterion "causal_sgd". With `batch_size=1` the steps are
    those of scikit-learn's SGDRegressor(penalty="l1", alpha=alpha, fit_intercept=False, learning_rate="invscaling",
    eta0=eta0, power_t=power_t), including its shuffled order. Step sizes have units, so unlike that of `exact` the
    result is not equivariant under a change of the units of X.

    Parameters
    ----------
    X : Tensor (T, P)
        Squared weight changes, float32 or float64; the computation is in float64 on its device.
    y : Tensor (T,)
        Loss changes.
    alpha : float
        Penalty, at least 0, in units of y times X.
    eta0, power_t : float, default 0.01 and 0.25
        Step size `eta0 / t**power_t` at step t = 1, 2, ..., over all passes.
    batch_size, max_iter : int, default 1 and 1000
        Number of records whose gradients are averaged in each step, and largest number of passes over the records.
    stop : str, default "last_record"
        Loss that the loss of a pass is compared with. The loss of a record is (y_t - x_t . g)^2 / 2 before its step.
        "last_record", the rule of 2024, compares the *sum* over the pass with the loss of the *last record* of the
        latest earlier pass that was an improvement. A sum over T records is hardly ever below the loss of one record.
        So with `patience=2` the fit ends after 3 passes, even if the coefficients diverge, which `duality_gap` shows.
        "lowest", the rule of 2025 and of scikit-learn, compares the mean over the pass with the lowest earlier mean.
    patience, tol : int and float, default 2 and 1e-4
        The fit stops after `patience` consecutive passes whose loss is not at least `tol` below the compared loss.
    seed : int or None, default None
        Seed of the order of the records, as scikit-learn's `random_state`. None: the recorded order.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid (the message names it), or if the steps are too large for X and the coefficients
        overflow.

    Examples
    --------
    >>> X = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> found = truncated_gradient(X, X[:, 0], 0.1, stop="lowest")
    >>> [round(value, 1) for value in found.coef.tolist()], found.support.tolist()
    ([0.9, 0.0], [True, False])
    """
    check(X, y)
    check_penalty(alpha)
    check_steps(eta0, power_t, batch_size, max_iter)
    require_at_least(1, patience=patience)
    require_one_of(get_args(Stop), stop=stop)
    if not tol >= 0:
        raise ValueError(f"tol must be at least 0, got {tol!r}")
    records = len(y)
    design = X.detach() if X.stride(1) == 1 else X.detach().contiguous()
    target = y.detach().to(X.device, torch.float64)
    sums = torch.zeros(X.shape[1], dtype=torch.float64, device=X.device)
    order, shuffle = np.arange(records), _permutation(records, seed)
    taken, best, stale = 0.0, float("inf"), 0
    for done in range(max_iter):
        order = order[shuffle]
        rates = step_sizes(records, eta0, power_t, batch_size, done)
        totals = taken + np.cumsum(rates)
        thresholds = alpha * np.concatenate([[taken], totals[:-1]])
        taken = float(totals[-1])
        total, last = _one_pass(design, target, order, batch_size, rates, thresholds, sums)
        if not np.isfinite(total):
            raise ValueError(f"eta0={eta0} is too large for X: the coefficients overflow in pass {done + 1}")
        loss, candidate = (total, last) if stop == "last_record" else (total / records, total / records)
        stale = stale + 1 if loss > best - tol else 0
        if loss < best:
            best = candidate
        if stale >= patience:
            break
    coef = softshrink(sums, alpha * taken)
    return LassoResult(coef, duality_gap(X, y, coef, alpha).relative, coef != 0, done + 1, stale >= patience)


def record_weights(
    records: int, *, max_iter: int, power_t: float = 0.25, batch_size: int = 1, seed: int | None = None
) -> Tensor:
    """Share of each record in the sum of the step sizes of `truncated_gradient`.

    Where predictions are negligible, the mask of the fit is |sum_i w_i y_i x_ik| > alpha with these weights w. With
    `power_t` > 0 early steps are larger, and the mask differs from that of the screen, which weights all records
    equally, by std(w) / mean(w) times the standard error of the mean.

    Parameters
    ----------
    records, max_iter : int
        Number of records T, and number of passes over them (`LassoResult.iterations`).
    power_t : float, default 0.25
        Exponent by which the step sizes fall.
    batch_size : int, default 1
        Records in a step.
    seed : int or None, default None
        Seed of the order of the records; None is the recorded order.

    Returns
    -------
    Tensor (T,), float64
        Weights in the order of the records; their sum is 1.

    Examples
    --------
    >>> record_weights(4, max_iter=1, power_t=0.0).tolist()
    [0.25, 0.25, 0.25, 0.25]
    >>> weights = record_weights(4, max_iter=1, power_t=0.25)
    >>> bool(weights[0] > weights[3])
    True
    """
    require_at_least(1, records=records)
    check_steps(1.0, power_t, batch_size, max_iter)
    weights, order, shuffle = np.zeros(records), np.arange(records), _permutation(records, seed)
    for done in range(max_iter):
        order = order[shuffle]
        weights[order] += step_sizes_of_records(records, 1.0, power_t, batch_size, done)
    return torch.from_numpy(weights / weights.sum())


def step_sizes(records: int, eta0: float, power_t: float, batch_size: int, done: int) -> np.ndarray:
    """Return the step sizes of one pass after `done` passes."""
    steps = -(-records // batch_size)
    return eta0 / np.arange(done * steps + 1, (done + 1) * steps + 1, dtype=np.float64) ** power_t


def step_sizes_of_records(records: int, eta0: float, power_t: float, batch_size: int, done: int) -> np.ndarray:
    """Return the step sizes of the records (T,) of one pass, in order of use: the batch's step over its size."""
    rates = step_sizes(records, eta0, power_t, batch_size, done)
    sizes = np.full(len(rates), batch_size)
    sizes[-1] = records - batch_size * (len(rates) - 1)
    return np.repeat(rates / sizes, sizes)


def check_steps(eta0: float, power_t: float, batch_size: int, max_iter: int) -> None:
    """Raise ValueError that names the invalid argument."""
    if not 0 < eta0 < float("inf"):
        raise ValueError(f"eta0 must be positive and finite, got {eta0!r}")
    if not 0 <= power_t < float("inf"):
        raise ValueError(f"power_t must be at least 0 and finite, got {power_t!r}")
    require_at_least(1, batch_size=batch_size, max_iter=max_iter)


def _permutation(count: int, seed: int | None) -> np.ndarray:
    """Return the permutation that scikit-learn applies to the order of the records before each pass."""
    order = np.arange(count)
    if seed is None:
        return order
    state = int(np.random.RandomState(seed).randint(0, np.iinfo(np.int32).max)) or 1
    for place in range(count - 1):
        # 32-bit xorshift (Marsaglia, 2003).
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        other = place + state % 2**31 % (count - place)
        order[place], order[other] = order[other], order[place]
    return order


def _one_pass(
    X: Tensor, y: Tensor, order: np.ndarray, batch_size: int, rates: np.ndarray, thresholds: np.ndarray, sums: Tensor
) -> tuple[float, float]:
    """Make the pass of `_cpu.one_pass` on any device."""
    if X.device.type == "cpu":
        flat = flat_rows(X).numpy()
        return _cpu.one_pass(flat, X.stride(0), y.numpy(), order, batch_size, rates, thresholds, sums.numpy())
    total, last = one_pass_torch(X, y, order, batch_size, rates, thresholds, sums).tolist()
    return total, last


def one_pass_torch(
    X: Tensor, y: Tensor, order: np.ndarray, batch_size: int, rates: np.ndarray, thresholds: np.ndarray, sums: Tensor
) -> Tensor:
    """Make the compiled kernel's pass in asynchronous tensor operations; return (sum, last) of the losses."""
    losses = []
    for index, (rate, threshold) in enumerate(zip(rates.tolist(), thresholds.tolist(), strict=True)):
        rows = order[index * batch_size : (index + 1) * batch_size].tolist()
        coef = softshrink(sums, threshold)
        batch = [(row, X[row].to(torch.float64)) for row in rows]
        residuals = [y[row] - features @ coef for row, features in batch]
        for residual, (_, features) in zip(residuals, batch, strict=True):
            losses.append(0.5 * residual.square())
            sums += (rate / len(rows)) * residual * features
    return torch.stack([torch.stack(losses).sum(), losses[-1]])
