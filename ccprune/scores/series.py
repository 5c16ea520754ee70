"""Scores from Granger tests of the Lyapunov exponents of the weights during training."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ccprune._util.changes import check_changes
from ccprune._util.checks import at_least, one_of
from ccprune._util.stateful import Stateful
from ccprune.granger import granger_test
from ccprune.lyapunov import windowed_exponents
from ccprune.mask import prunable

STEPS = 3  # number of steps for which neighbours are followed, as in the paper's PT setting


def legcnet(
    exponents: Mapping[str, Tensor],
    risk: Tensor,
    *,
    max_lag: int,
    test: str = "ssr_chi2",
    untestable: str = "keep",
) -> dict[str, Tensor]:
    """Return 1 - p of the Granger test of each weight's exponents against the risk (LEGCNet, section 3.6).

    p is the smallest p-value over the lags. Weights without a causal effect are thereby pruned first.

    Parameters
    ----------
    exponents : {name: Tensor (K, *shape)}
        Exponents per window, from `lyapunov.windowed_exponents`.
    risk : Tensor (K,)
        Misclassification risk at the windows' ends.
    max_lag, test
        As in `granger.granger_test`.
    untestable : str
        Weights with constant exponents, such as those that training never moves, cannot be tested. With "keep" they
        score 1, as in the authors' scripts, which keep them. With "prune" they score 0.

    Raises
    ------
    TypeError, ValueError
        For an invalid argument, with its name.
    """
    one_of(("keep", "prune"), untestable=untestable)
    if not exponents:
        raise ValueError("exponents must name at least one parameter")
    columns = torch.cat([value.flatten(1) for value in exponents.values()], 1)
    result = granger_test(risk, columns, max_lag=max_lag, test=test)
    score = torch.where(result.infeasible, 1.0 if untestable == "keep" else 0.0, 1.0 - result.min_p)
    parts = score.split([value[0].numel() for value in exponents.values()])
    return {name: part.reshape(value.shape[1:]) for (name, value), part in zip(exponents.items(), parts, strict=True)}


class WeightSeries(Stateful):
    """Store of `ccprune.recording` with the weights after every recorded step and the loss.

    It holds T P numbers, in the weights' precision, float32 at least, so that windows can be chosen after training;
    `WeightExponents` needs less memory. With pairing="consecutive" alone the changes of the loss add up to the loss.
    """

    _held = ("_rows", "_losses")

    def __init__(self, model: nn.Module) -> None:
        self._weights = prunable(model)
        self._rows: list[Tensor] = []
        self._losses: list[Tensor] = []

    @torch.no_grad()
    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Add one step, or raise ValueError for names or shapes other than the model's."""
        check_changes(delta_weights, self._weights)
        parts = [weight.to(delta_weights[name].dtype).flatten() for name, weight in self._weights.items()]
        self._rows.append(torch.cat(parts))
        self._losses.append(delta_loss.clone())

    def records(self) -> tuple[Tensor, Tensor]:
        """Return weights (T, P) and float64 loss (T,) minus that before step 1, or raise ValueError without records."""
        if not self._rows:
            raise ValueError("the store holds no records")
        return torch.stack(self._rows), torch.stack(self._losses).cumsum(0)

    def tensors(self, columns: Tensor) -> dict[str, Tensor]:
        """Return columns (K, P) as {name: Tensor (K, *shape)}."""
        return named_columns(columns, self._weights)


def legcnet_of_records(
    store: WeightSeries, *, window: int = 25, max_lag: int = 5, untestable: str = "keep", min_range: float = 0.0
) -> dict[str, Tensor]:
    """Score `legcnet_of_exponents` from the whole series of the weights and the training loss.

    Parameters
    ----------
    window, max_lag : int
        Number of steps in a window, and largest lag in windows. A ValueError is raised unless the records contain more
        than 3 max_lag + 1 windows.
    untestable : str
        As in `legcnet`.
    min_range : float
        As in `lyapunov.windowed_exponents`, in the units of the weights.
    """
    at_least(1, max_lag=max_lag)
    at_least(2, window=window)
    weights, loss = store.records()
    stride = stride_of(window)
    needed = stride * (3 * max_lag + 1) + window
    if len(loss) < needed:
        raise ValueError(f"store must hold {needed} records for {max_lag=} and {window=}, it has {len(loss)}")
    exponents = windowed_exponents(weights, window=window, stride=stride, steps=STEPS, min_range=min_range)
    ends = torch.arange(len(exponents), device=loss.device) * stride + window - 1
    return legcnet(store.tensors(exponents), loss[ends], max_lag=max_lag, test="ssr_f", untestable=untestable)


def named_columns(columns: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return columns (K, P) as {name: Tensor (K, *shape)} for the weights, which have P elements together."""
    parts = columns.split([weight.numel() for weight in weights.values()], dim=1)
    return {name: part.unflatten(1, one.shape) for (name, one), part in zip(weights.items(), parts, strict=True)}


def stride_of(window: int) -> int:
    """Return the distance between the first steps of two windows."""
    return round(0.9 * window)
