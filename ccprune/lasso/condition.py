"""Bound on the predictions of `truncated_gradient`, which decides whether the screen can replace it.

The bound covers the effect of predictions on the mask. The effect of unequal steps is separate; see `record_weights`.

A step of the solver changes g to (I - eta x_t x_t') g + eta y_t x_t, averaged over the batch, and then moves every
coefficient towards 0. The matrix does not increase the norm of g as long as eta ||x_t||^2 <= 2, and neither does the
move towards 0. So ||g||_2 grows by at most eta |y_t| ||x_t||_2 in a step, and |x_t . g| <= ||x_t||_2 ||g||_2. The
largest records are assumed to coincide with the largest steps of each pass, so this holds for every alpha, `power_t`
and order of the records. Where dL keeps one sign the bound is tight (within a factor of 3 on LeNet under the 2025
protocol). Elsewhere it is looser, which matters little: predictions grow with the fourth power of the learning rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ccprune._util.checks import require_one_of
from ccprune.lasso.stochastic import check_steps, step_sizes_of_records
from ccprune.mask import SCOPES

#: Predictions up to this fraction of the root mean square of dL count as negligible. They shift |S_k| / T by at most
#: this fraction times rms(dL) mean(x_k). Without any relation to the loss, |S_k| / T is about
#: rms(dL) rms(x_k) / sqrt(T), so at 350 records the shift stays below 2% of the noise.
LIMIT = 1e-3


@dataclass(frozen=True)
class Condition:
    """Whether predictions are negligible, so that the screen's mask is that of `truncated_gradient` with equal steps.

    `Screen.condition` returns it.

    Attributes
    ----------
    prediction, spread : float
        Upper bound on |x_t . g| of any record at any step of the solver, and root mean square of dL, in units of dL.
    tensor : str
        Name of the tensor with the largest `prediction`; "all" for one fit over all tensors.
    records : int
        Number of records that the bound was computed from.
    """

    prediction: float
    spread: float
    tensor: str
    records: int

    @property
    def ratio(self) -> float:
        """`prediction` / `spread`; 0 when every dL is 0."""
        return self.prediction / self.spread if self.spread > 0 else 0.0

    @property
    def holds(self) -> bool:
        """True when the ratio is at most `LIMIT`."""
        return self.ratio <= LIMIT


def bound(
    losses: np.ndarray,
    norms: Mapping[str, np.ndarray],
    *,
    eta0: float,
    power_t: float,
    batch_size: int,
    max_iter: int,
    scope: str,
) -> Condition:
    """Compute the condition from dL (T,) and ||x_t||_2 (T,) of each tensor; arguments as in `Screen.condition`."""
    check_steps(eta0, power_t, batch_size, max_iter)
    require_one_of(SCOPES, scope=scope)
    if scope == "global":
        norms = {"all": np.linalg.norm(list(norms.values()), axis=0)}
    records = len(losses)
    rates = np.zeros(records)  # step sizes summed over the passes, each pass sorted in descending order
    for done in range(max_iter):
        rates += np.sort(step_sizes_of_records(records, eta0, power_t, batch_size, done))[::-1]
    predictions = {}
    for name, norm in norms.items():
        pushes = np.sort(np.abs(losses) * norm)[::-1]
        largest = float(norm.max())
        predictions[name] = largest * float(rates @ pushes) if eta0 * largest**2 <= 2 else float("inf")
    worst = max(predictions, key=predictions.get)
    return Condition(predictions[worst], float(np.sqrt(np.mean(losses**2))), worst, records)
