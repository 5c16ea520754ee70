"""Scores from how weights moved while training: Granger tests of their Lyapunov exponents."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ccprune._util.changes import check_changes
from ccprune._util.checks import at_least
from ccprune.granger import granger_test
from ccprune.lyapunov import windowed_exponents
from ccprune.mask import prunable

PRUNE = ("noncausal", "causal")
#: What happens to weights that cannot be tested.
UNTESTABLE = ("keep", "prune")
_STEPS = 3  # how far neighbours are followed, as in the paper's PT setting


def legcnet(
    exponents: Mapping[str, Tensor],
    risk: Tensor,
    *,
    max_lag: int,
    test: str = "ssr_chi2",
    augment: int = 0,
    prune: str = "noncausal",
    untestable: str = "keep",
) -> dict[str, Tensor]:
    """Granger score of each weight's Lyapunov exponents against the misclassification risk (LEGCNet section 3.6).

    Parameters
    ----------
    exponents : {name: Tensor (K, *shape)}
        Exponents per window, from `lyapunov.windowed_exponents`.
    risk : Tensor (K,)
        Misclassification risk at the windows' ends.
    max_lag, test, augment
        As in `granger.granger_test`.
    prune : str
        "noncausal": score 1 - p, so weights without a causal effect go first (section 3.6). "causal": score p, the
        other reading (section 4). p is the smallest over the lags.
    untestable : str
        "keep": weights that cannot be tested score 1, as in the authors' scripts, which keep them. "prune": they score
        0. A weight whose exponents never change, such as one that training never moves, cannot be tested.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    if prune not in PRUNE:
        raise ValueError(f"prune must be one of {PRUNE}, got {prune!r}")
    if untestable not in UNTESTABLE:
        raise ValueError(f"untestable must be one of {UNTESTABLE}, got {untestable!r}")
    if not exponents:
        raise ValueError("exponents must name at least one parameter")
    columns = torch.cat([value.flatten(1) for value in exponents.values()], 1)
    result = granger_test(risk, columns, max_lag=max_lag, test=test, augment=augment)
    score = 1.0 - result.min_p if prune == "noncausal" else result.min_p
    score = torch.where(result.infeasible, 1.0 if untestable == "keep" else 0.0, score)
    parts = score.split([value[0].numel() for value in exponents.values()])
    return {name: part.reshape(value.shape[1:]) for (name, value), part in zip(exponents.items(), parts, strict=True)}


class WeightSeries:
    """The weights themselves after every recorded step, and the loss: a store of `ccprune.recording`.

    T P numbers in the weights' precision, float32 at least, on their device. To be filled with pairing="consecutive":
    only there do the changes of the loss add up to the loss.
    """

    def __init__(self, model: nn.Module) -> None:
        self._weights = prunable(model)
        self._rows: list[Tensor] = []
        self._losses: list[Tensor] = []

    @torch.no_grad()
    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Takes one step. Raises ValueError for names or shapes other than the model's."""
        check_changes(delta_weights, self._weights)
        parts = [weight.to(delta_weights[name].dtype).flatten() for name, weight in self._weights.items()]
        self._rows.append(torch.cat(parts))
        self._losses.append(delta_loss.clone())

    def records(self) -> tuple[Tensor, Tensor]:
        """Weights (T, P), and the loss (T,) in float64 less that before the first step. Raises ValueError without."""
        if not self._rows:
            raise ValueError("the store holds no records")
        return torch.stack(self._rows), torch.stack(self._losses).cumsum(0)

    def tensors(self, columns: Tensor) -> dict[str, Tensor]:
        """Columns (K, P) as {name: (K, *shape)}."""
        parts = columns.split([weight.numel() for weight in self._weights.values()], dim=1)
        return {
            name: part.unflatten(1, weight.shape)
            for (name, weight), part in zip(self._weights.items(), parts, strict=True)
        }


def legcnet_of_records(
    store: WeightSeries, *, window: int = 25, max_lag: int = 5, untestable: str = "keep"
) -> dict[str, Tensor]:
    """`legcnet` of a run that a `Recorder` kept: exponents of the weights' series against the training loss.

    The loss on the mini-batches, at the windows' ends, stands for the misclassification risk, so that the score is
    defined for any model and loss. Windows start 0.9 window apart and neighbours are followed for 3 steps (LEGCNet's PT
    setting, section 4); the F form of the test is taken, because runs are short.

    Parameters
    ----------
    store : WeightSeries
    window : int
        Steps in a window.
    max_lag : int
        The records must hold more than 3 max_lag + 1 windows.
    untestable : str
        As in `legcnet`.

    Raises
    ------
    ValueError
        Naming the argument; also when there are too few records.
    """
    at_least(1, max_lag=max_lag)
    at_least(2, window=window)
    weights, loss = store.records()
    stride = round(0.9 * window)
    needed = stride * (3 * max_lag + 1) + window
    if len(loss) < needed:
        raise ValueError(
            f"store must hold {needed} records for max_lag={max_lag} and window={window}, it has {len(loss)}"
        )
    exponents = windowed_exponents(weights, window=window, stride=stride, steps=_STEPS)
    ends = torch.arange(len(exponents), device=loss.device) * stride + window - 1
    return legcnet(store.tensors(exponents), loss[ends], max_lag=max_lag, test="ssr_f", untestable=untestable)
