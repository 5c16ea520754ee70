"""The authors' solver: SGD with the cumulative truncated gradient of Tsuruoka, Tsujii and Ananiadou (2009).

Each step adds eta r_t x_t to the coefficients, r_t = y_t - x_t . g, and then moves every one of them towards 0, never
past it, by what it still owes of u, the penalty lam * (sum of step sizes) that a weight could have received so far.
As every step visits every weight, what a coefficient has received and what it still owes add up, and at any time

    g = soft(A, u),   A = sum over the steps so far of eta r_t x_t,   soft(a, u) = sign(a) max(|a| - u, 0)

exactly: if A > u the weight is positive and has paid u in full; if |A| <= u it is 0 and has paid |A|. So only A is kept
here, one number per weight. It also says what the fit is where predictions x_t . g are negligible against y: r = y, and
g_k is not 0 just when |sum eta y x_k| / sum eta > lam, which is `ccprune.lasso.Screen` but for the weights eta.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softshrink

from ccprune._checks import at_least
from ccprune.lasso import _stochastic_cpu
from ccprune.lasso.problem import LassoResult, check, check_penalty, duality_gap, flat_rows


def truncated_gradient(
    X: Tensor,
    y: Tensor,
    lam: float,
    *,
    step: float = 0.01,
    power: float = 0.1,
    batch_size: int = 1,
    passes: int = 1000,
    patience: int = 2,
    tolerance: float = 1e-4,
    seed: int | None = None,
) -> LassoResult:
    """The Lasso of `objective` by the authors' stochastic solver, which stops by passes and not at a minimum.

    With `batch_size=1` the steps are those of scikit-learn's SGDRegressor(penalty="l1", alpha=lam,
    fit_intercept=False, eta0=step, power_t=power), its shuffled order included. The defaults are the 2024 protocol's.
    The 2025 protocol: `batch_size=16, passes=30, patience=30, step=0.2, lam=1e-3 / (2 P)` on X divided by the squared
    learning rate and y by its mean; its loss lacks the factor 1/2, so that its step 0.1 is 0.2 here and its penalty
    half. Steps have units: unlike `exact`, the answer does not follow a change of X's units.

    Parameters
    ----------
    X : Tensor (T, P)
        Squared weight changes, float32 or float64; never copied, computed with in float64 on its own device.
    y : Tensor (T,)
        Loss changes.
    lam : float
        At least 0, in units of y times X.
    step, power : float
        Step size `step / t**power` at step t = 1, 2, ...
    batch_size : int
        Records whose gradients are averaged in each step; the last batch of a pass may be smaller.
    passes : int
        At most so many passes over the records.
    patience, tolerance
        Stops after `patience` passes in a row whose loss, the mean of (y_t - x_t . g)^2 / 2 before each step, is not
        at least `tolerance` below the lowest so far.
    seed : int or None
        Of the order of the records, as scikit-learn's `random_state`. None: as recorded.

    Returns
    -------
    LassoResult
        `duality_gap` says how far from the minimum it stopped; `iterations` counts passes.

    Raises
    ------
    TypeError, ValueError
        Naming the argument; also when the steps are too large for X and the coefficients overflow.
    """
    check(X, y)
    check_penalty(lam)
    check_steps(step, power, batch_size, passes)
    at_least(1, patience=patience)
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance!r}")
    records = len(y)
    design = X.detach() if X.stride(1) == 1 else X.detach().contiguous()
    target = y.detach().to(X.device, torch.float64)
    sums = torch.zeros(X.shape[1], dtype=torch.float64, device=X.device)
    order, shuffle = np.arange(records), _permutation(records, seed)
    taken, rates, lowest, stale = 0.0, np.empty(0), float("inf"), 0
    for done in range(passes):
        order = order[shuffle]
        rates = step_sizes(records, step, power, batch_size, done)
        totals = taken + np.cumsum(rates)
        thresholds = lam * np.concatenate([[taken], totals[:-1]])
        taken = float(totals[-1])
        loss = _one_pass(design, target, order, batch_size, rates, thresholds, sums)
        if not np.isfinite(loss):
            raise ValueError(f"step={step} is too large for X: the coefficients overflow in pass {done + 1}")
        stale = stale + 1 if loss > lowest - tolerance else 0
        lowest = min(lowest, loss)
        if stale >= patience:
            break
    coef = softshrink(sums, lam * taken)
    return LassoResult(coef, duality_gap(X, y, coef, lam).relative, coef != 0, done + 1, stale >= patience)


def step_sizes(records: int, step: float, power: float, batch_size: int, done: int) -> np.ndarray:
    """Step sizes of the steps of one pass, after `done` passes."""
    steps = -(-records // batch_size)
    return step / np.arange(done * steps + 1, (done + 1) * steps + 1, dtype=np.float64) ** power


def check_steps(step: float, power: float, batch_size: int, passes: int) -> None:
    """Raise ValueError naming the one that cannot be used."""
    if not 0 < step < float("inf"):
        raise ValueError(f"step must be positive and finite, got {step!r}")
    if not 0 <= power < float("inf"):
        raise ValueError(f"power must be at least 0 and finite, got {power!r}")
    at_least(1, batch_size=batch_size, passes=passes)


def _permutation(count: int, seed: int | None) -> np.ndarray:
    """What scikit-learn applies to the order of the records before each pass: the same shuffle again and again."""
    order = np.arange(count)
    if seed is None:
        return order
    state = int(np.random.RandomState(seed).randint(0, np.iinfo(np.int32).max)) or 1
    for place in range(count - 1):
        # Marsaglia's 32-bit xorshift (2003).
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        other = place + state % 2**31 % (count - place)
        order[place], order[other] = order[other], order[place]
    return order


def _one_pass(
    X: Tensor, y: Tensor, order: np.ndarray, batch_size: int, rates: np.ndarray, thresholds: np.ndarray, sums: Tensor
) -> float:
    """One pass over the records; changes `sums` (P,) in place and returns the mean loss."""
    if X.device.type == "cpu":
        flat = flat_rows(X).numpy()
        return _stochastic_cpu.one_pass(
            flat, X.stride(0), y.numpy(), order, batch_size, rates, thresholds, sums.numpy()
        )
    return float(one_pass_torch(X, y, order, batch_size, rates, thresholds, sums))


def one_pass_torch(
    X: Tensor, y: Tensor, order: np.ndarray, batch_size: int, rates: np.ndarray, thresholds: np.ndarray, sums: Tensor
) -> Tensor:
    """The compiled kernel's pass in tensor operations, nothing of which waits for the device."""
    loss = torch.zeros((), dtype=torch.float64, device=X.device)
    for index, (rate, threshold) in enumerate(zip(rates.tolist(), thresholds.tolist(), strict=True)):
        rows = order[index * batch_size : (index + 1) * batch_size].tolist()
        coef = softshrink(sums, threshold)
        batch = [(row, X[row].to(torch.float64)) for row in rows]
        residuals = [y[row] - features @ coef for row, features in batch]
        for residual, (_, features) in zip(residuals, batch, strict=True):
            loss += 0.5 * residual.square()
            sums += (rate / len(rows)) * residual * features
    return loss / len(order)
