"""When predictions are negligible, so that the screen stands for `truncated_gradient`: a bound from a few norms.

It bounds what predictions do to the mask. What the unequal steps do to it is another matter: `record_weights`.

A step of the solver changes g to (I - eta x_t x_t') g + eta y_t x_t, averaged over the batch, and then moves every
coefficient towards 0. The matrix does not lengthen g as long as eta ||x_t||^2 <= 2, nor does the second part. So
||g||_2 grows by at most eta |y_t| ||x_t||_2 in a step, and |x_t . g| <= ||x_t||_2 ||g||_2, whatever alpha and whatever
the order of the records: the largest are taken to meet the largest steps of each pass, for any `power_t`. Where dL
keeps one sign the bound is near the truth (within a factor of 3 on LeNet under the 2025 protocol). Elsewhere it is
looser, which matters little: predictions grow with the fourth power of the learning rate, so a factor of 16 is one of 2
in that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ccprune.lasso.stochastic import check_steps, step_sizes_of_records
from ccprune.mask import SCOPES

#: Predictions up to this fraction of the root mean square of dL count as negligible. They shift |S_k| / T by at most
#: this times rms(dL) mean(x_k), while without any relation |S_k| / T is about rms(dL) rms(x_k) / sqrt(T): at 350
#: records the shift stays below 2% of the noise.
LIMIT = 1e-3


@dataclass(frozen=True)
class Condition:
    """Whether predictions are negligible, so that the screen's mask is `truncated_gradient`'s with equal steps.

    Attributes
    ----------
    prediction : float
        Upper bound on |x_t . g| of any record at any step of the solver, in units of dL.
    spread : float
        Root mean square of dL.
    tensor : str
        Where `prediction` is largest; "all" for one fit over all tensors.
    records : int
        Records it was worked out from.
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
    """The condition from dL (T,) and ||x_t||_2 (T,) of each tensor; arguments as in `Screen.condition`."""
    check_steps(eta0, power_t, batch_size, max_iter)
    if scope not in SCOPES:
        raise ValueError(f"scope must be one of {SCOPES}, got {scope!r}")
    if scope == "global":
        norms = {"all": np.linalg.norm(list(norms.values()), axis=0)}
    records = len(losses)
    rates = np.zeros(records)  # per record, the largest of each pass first
    for done in range(max_iter):
        rates += np.sort(step_sizes_of_records(records, eta0, power_t, batch_size, done))[::-1]
    predictions = {}
    for name, norm in norms.items():
        pushes = np.sort(np.abs(losses) * norm)[::-1]
        largest = float(norm.max())
        predictions[name] = largest * float(rates @ pushes) if eta0 * largest**2 <= 2 else float("inf")
    worst = max(predictions, key=predictions.get)
    return Condition(predictions[worst], float(np.sqrt(np.mean(losses**2))), worst, records)
