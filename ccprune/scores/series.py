"""Scores from Granger tests of the Lyapunov exponents of the weights during training."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ccprune._util.changes import check_changes
from ccprune._util.checks import at_least, rows_within
from ccprune._util.modes import eval_mode
from ccprune._util.stateful import Stateful
from ccprune.granger import granger_test
from ccprune.granger._cpu import BLOCK
from ccprune.lyapunov import exponents_of, windowed_exponents
from ccprune.mask import prunable

PRUNE = ("noncausal", "causal")
#: Treatments of weights that cannot be tested.
UNTESTABLE = ("keep", "prune")
_STEPS = 3  # number of steps for which neighbours are followed, as in the paper's PT setting


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
    """Granger score of each weight's Lyapunov exponents against the misclassification risk (LEGCNet, section 3.6).

    Parameters
    ----------
    exponents : {name: Tensor (K, *shape)}
        Exponents per window, from `lyapunov.windowed_exponents`.
    risk : Tensor (K,)
        Misclassification risk at the windows' ends.
    max_lag, test, augment
        As in `granger.granger_test`.
    prune : str
        With "noncausal", the score is 1 - p, so that weights without a causal effect are pruned first (section 3.6).
        With "causal", it is p, the other reading (section 4). p is the smallest p-value over the lags.
    untestable : str
        With "keep", weights that cannot be tested score 1, as in the authors' scripts, which keep them. With "prune",
        they score 0. A weight with constant exponents, such as one that training never moves, cannot be tested.

    Raises
    ------
    TypeError, ValueError
        For an invalid argument, with its name.
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


class WeightSeries(Stateful):
    """Store of `ccprune.recording` with the weights after every recorded step and the loss.

    It holds T P numbers for T records of P weights, in the weights' precision, float32 at least, on their device, so
    that windows can be chosen after training; `WeightExponents` needs less memory. It needs pairing="consecutive", with
    which alone the changes of the loss add up to the loss.
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
        return _named(columns, self._weights)


class WeightExponents(Stateful):
    """Store of `ccprune.recording` with the Lyapunov exponents of every weight and the risk, window by window.

    A window starts every 0.9 window. The store holds one window of the weights, in their precision, float32 at least,
    and the exponents of each finished window: (window + K) P numbers for K windows of P weights, on their device. It
    needs pairing="consecutive". A `restart` of the recorder does not end a window.

    Parameters
    ----------
    model : Module
    window : int, default 25
        Number of steps in a window.
    risk : callable, optional
        Maps the model to its risk, one finite number such as the loss or the share of errors on held-out data. It is
        called once a window, at its end, without gradients and in eval mode; modes, buffers and random numbers are
        restored. By default, the risk is the loss of the mini-batch.
    min_range : float, default 0
        As in `lyapunov.windowed_exponents`, in the units of the weights.
    dtype : torch.dtype, default float64
        Precision in which exponents are kept. They are computed in float64.
    max_bytes : int, default 64 MiB
        Working memory in bytes beside the numbers held. Weights are processed in blocks within this limit.

    Raises
    ------
    ValueError
        For an invalid argument, with its name. During training also for weights or a risk that are not finite.
    """

    _held = ("_rows", "_filled", "_loss", "_exponents", "_risks")

    def __init__(
        self,
        model: nn.Module,
        *,
        window: int = 25,
        risk: Callable[[nn.Module], Tensor | float] | None = None,
        min_range: float = 0.0,
        dtype: torch.dtype = torch.float64,
        max_bytes: int = 2**26,
    ) -> None:
        at_least(_STEPS + 3, window=window)  # the shortest series that has an exponent
        self._block = rows_within(max_bytes, 8 * 10 * window, "one window")
        self._model, self._weights, self._window, self._risk = model, prunable(model), window, risk
        self._min_range, self._dtype, self.max_bytes = min_range, dtype, max_bytes
        self._rows: Tensor | None = None  # weights (window, P) after the last steps
        self._filled = 0
        self._loss: Tensor | None = None  # loss minus that before step 1
        self._exponents: list[Tensor] = []
        self._risks: list[Tensor] = []

    @torch.no_grad()
    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Add one step, or raise ValueError for names or shapes other than the model's."""
        check_changes(delta_weights, self._weights)
        row = torch.cat([weight.to(delta_weights[name].dtype).flatten() for name, weight in self._weights.items()])
        if self._rows is None:
            self._rows = row.new_empty(self._window, len(row))
        self._rows[self._filled] = row
        self._loss = delta_loss.clone() if self._loss is None else self._loss + delta_loss
        self._filled += 1
        if self._filled == self._window:
            self._end_window(self._rows, self._loss)

    def windows(self) -> tuple[list[Tensor], Tensor]:
        """Return the exponents (P,) of each of K windows and the float64 risk (K,), or raise ValueError without any."""
        if not self._risks:
            raise ValueError(f"the store holds no window of {self._window} records")
        return self._exponents, torch.stack(self._risks)

    def tensors(self, columns: Tensor) -> dict[str, Tensor]:
        """Return columns (K, P) as {name: Tensor (K, *shape)}."""
        return _named(columns, self._weights)

    def _end_window(self, rows: Tensor, loss: Tensor) -> None:
        risk = loss
        if self._risk is not None:
            with eval_mode(self._model):
                risk = torch.as_tensor(self._risk(self._model), dtype=torch.float64, device=loss.device).reshape(())
            if not math.isfinite(risk):
                raise ValueError(f"risk must be finite, got {float(risk)} at the end of window {len(self._risks) + 1}")
        found = rows.new_empty(rows.shape[1], dtype=self._dtype)
        for part, into in zip(rows.split(self._block, 1), found.split(self._block), strict=True):
            into.copy_(exponents_of(part.T, steps=_STEPS, min_range=self._min_range, max_bytes=self.max_bytes))
        self._exponents.append(found)
        self._risks.append(risk)
        stride = _stride(self._window)
        self._filled = self._window - stride
        rows[: self._filled] = rows[stride:]


def legcnet_of_exponents(store: WeightExponents, *, max_lag: int = 5, untestable: str = "keep") -> dict[str, Tensor]:
    """Score `legcnet` of a recorded run, from the exponents and the risk of the store.

    Neighbours are followed for 3 steps (LEGCNet's PT setting, section 4). The F form of the test is used because runs
    are short. By default, the loss on the mini-batches at the windows' ends replaces the misclassification risk, so
    that the score is defined for any model and loss.

    Parameters
    ----------
    store : WeightExponents
    max_lag : int
        Largest lag in windows. The store must hold more than 3 max_lag + 1 windows.
    untestable : str
        As in `legcnet`.

    Raises
    ------
    ValueError
        For an invalid argument, with its name, for too few windows, and for a risk that never changes.
    """
    at_least(1, max_lag=max_lag)
    exponents, risk = store.windows()
    count = len(risk)
    if count < 3 * max_lag + 2:
        raise ValueError(f"store must hold {3 * max_lag + 2} windows for max_lag={max_lag}, it has {count}")
    # Per weight: copies of its exponents, and the working memory and the result of its test.
    most = rows_within(store.max_bytes, 8 * (6 * count * (1 + max_lag) + 16 * max_lag), "one weight")
    most = most // BLOCK * BLOCK or most  # as in `granger_test`
    parts = []
    for first in range(0, len(exponents[0]), most):
        block = torch.stack([column[first : first + most] for column in exponents])
        parts.append(legcnet({"block": block}, risk, max_lag=max_lag, test="ssr_f", untestable=untestable)["block"])
    return {name: value[0] for name, value in store.tensors(torch.cat(parts)[None]).items()}


def _named(columns: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = columns.split([weight.numel() for weight in weights.values()], dim=1)
    return {name: part.unflatten(1, one.shape) for (name, one), part in zip(weights.items(), parts, strict=True)}


def _stride(window: int) -> int:
    return round(0.9 * window)


def legcnet_of_records(
    store: WeightSeries, *, window: int = 25, max_lag: int = 5, untestable: str = "keep", min_range: float = 0.0
) -> dict[str, Tensor]:
    """Score `legcnet_of_exponents` from the whole series of the weights and the training loss.

    Parameters
    ----------
    store : WeightSeries
    window : int
        Number of steps in a window.
    max_lag : int
        Largest lag in windows. The records must contain more than 3 max_lag + 1 windows.
    untestable : str
        As in `legcnet`.
    min_range : float
        As in `lyapunov.windowed_exponents`, in the units of the weights.

    Raises
    ------
    ValueError
        For an invalid argument, with its name, and for too few records.
    """
    at_least(1, max_lag=max_lag)
    at_least(2, window=window)
    weights, loss = store.records()
    stride = _stride(window)
    needed = stride * (3 * max_lag + 1) + window
    if len(loss) < needed:
        raise ValueError(
            f"store must hold {needed} records for max_lag={max_lag} and window={window}, it has {len(loss)}"
        )
    exponents = windowed_exponents(weights, window=window, stride=stride, steps=_STEPS, min_range=min_range)
    ends = torch.arange(len(exponents), device=loss.device) * stride + window - 1
    return legcnet(store.tensors(exponents), loss[ends], max_lag=max_lag, test="ssr_f", untestable=untestable)
