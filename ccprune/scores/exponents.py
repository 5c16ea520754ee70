"""LEGCNet's score with exponents that are computed during training, window by window."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ccprune._util.changes import check_changes
from ccprune._util.checks import require_at_least, rows_within
from ccprune._util.modes import eval_mode
from ccprune._util.stateful import Stateful
from ccprune.granger._cpu import BLOCK
from ccprune.lyapunov import exponents_of
from ccprune.mask import prunable
from ccprune.scores.series import STEPS, legcnet, named_columns, stride_of


class WeightExponents(Stateful):
    """Store of `ccprune.recording` with the Lyapunov exponents of every weight and the risk, window by window.

    A window starts every round(0.9 `window`) steps. The store holds one window of the weights, in their precision,
    float32 at least, and the exponents of each finished window: (window + K) P numbers for K windows of P weights, on
    their device. It needs pairing="consecutive". A `restart` of the recorder does not end a window.

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
        A weight has exponent 0 in windows in which its range is smaller.
    dtype : torch.dtype, default float64
        Precision in which exponents are kept. They are computed in float64.
    max_bytes : int, default 64 MiB
        Working memory in bytes beside the numbers held. Weights are processed in blocks within this limit.

    Raises
    ------
    ValueError
        For an invalid argument, with its name. During training also for weights or a risk that are not finite.
    TypeError
        For a `risk` that is not a function.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> store = WeightExponents(layer, window=10)
    >>> for step in range(19):
    ...     store.update(torch.tensor(1.0, dtype=torch.float64), {"weight": torch.randn(1, 2)})
    >>> exponents, risk = store.windows()  # the windows end after 10 and 19 steps
    >>> len(exponents), exponents[0].shape, risk.shape
    (2, torch.Size([2]), torch.Size([2]))
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
        require_at_least(STEPS + 3, window=window)  # the shortest series that has an exponent
        if risk is not None and not callable(risk):
            raise TypeError(f"risk must be a function of the model, got {type(risk).__name__}")
        self._block = rows_within(max_bytes, 8 * 10 * window, "one window")
        self._model, self._weights, self._window, self._risk = model, prunable(model), window, risk
        self._min_range, self._dtype, self.max_bytes = min_range, dtype, max_bytes
        self._rows: Tensor | None = None  # weights (window, P) after the last steps
        self._filled = 0
        self._loss: Tensor | None = None  # loss minus that before step 1
        self._exponents: list[Tensor] = []
        self._risks: list[Tensor] = []

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Recorded weights by name, in the order of the exponents."""
        return self._weights

    @torch.no_grad()
    def update(self, delta_loss: Tensor, delta_weights: Mapping[str, Tensor]) -> None:
        """Add one step, or raise ValueError for names or shapes other than the model's."""
        weights = self.weights
        check_changes(delta_weights, weights)
        row = torch.cat([weight.to(delta_weights[name].dtype).flatten() for name, weight in weights.items()])
        if self._rows is None:
            self._rows = row.new_empty(self._window, len(row))
        self._rows[self._filled] = row
        self._loss = delta_loss.clone() if self._loss is None else self._loss + delta_loss
        if self._filled + 1 == self._window:
            self._end_window(self._rows, self._loss)
        else:
            self._filled += 1

    def windows(self) -> tuple[list[Tensor], Tensor]:
        """Return the exponents (P,) of each of K windows and the float64 risk (K,), or raise ValueError without any."""
        if not self._risks:
            raise ValueError(f"the store holds no window of {self._window} records")
        return self._exponents, torch.stack(self._risks)

    def _mean(self, risk: Tensor) -> Tensor:
        """Return the risk. `ccprune.distributed` averages it over processes."""
        return risk

    def _end_window(self, rows: Tensor, loss: Tensor) -> None:
        risk = loss
        if self._risk is not None:
            with eval_mode(self._model):
                risk = self._mean(torch.as_tensor(self._risk(self._model), dtype=torch.float64, device=loss.device))
            if risk.numel() != 1 or not bool(risk.isfinite()):
                raise ValueError(f"risk must return one finite number, got {risk.tolist()}")
            risk = risk.reshape(())
        found = rows.new_empty(rows.shape[1], dtype=self._dtype)
        for part, into in zip(rows.split(self._block, 1), found.split(self._block), strict=True):
            into.copy_(exponents_of(part.T, steps=STEPS, min_range=self._min_range, max_bytes=self.max_bytes))
        self._exponents.append(found)
        self._risks.append(risk)
        stride = stride_of(self._window)
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
    untestable : {"keep", "prune"}
        Score of weights with constant exponents, which cannot be tested: 1 or 0.

    Raises
    ------
    ValueError
        For an invalid argument, with its name, for too few windows, and for a risk that never changes.

    Examples
    --------
    >>> layer, generator = nn.Linear(2, 1), torch.Generator().manual_seed(0)
    >>> store = WeightExponents(layer, window=10)
    >>> for loss in torch.rand(60, generator=generator).double():
    ...     layer.weight.data[0, 0] += torch.randn((), generator=generator)
    ...     store.update(loss, {"weight": torch.zeros(1, 2)})
    >>> score = legcnet_of_exponents(store, max_lag=1)["weight"]
    >>> float(score[0, 1]), bool(score[0, 0] < 1)  # the second weight never moves and cannot be tested
    (1.0, True)
    """
    require_at_least(1, max_lag=max_lag)
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
    return {name: value[0] for name, value in named_columns(torch.cat(parts)[None], store.weights).items()}
