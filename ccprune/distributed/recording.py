"""Recorder and stores for distributed training, where each rank records its part of the weights.

The loss of a step is the mean over ranks, which needs communication of one number per loss: one per step with
"consecutive", two with "same_batch". There is no other communication until the condition of the screen is computed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune import lasso, scores
from ccprune.distributed.layout import Layout, reshard
from ccprune.distributed.masks import ShardedMask
from ccprune.lasso.problem import check_penalty
from ccprune.recording import Store
from ccprune.recording import _recorder as recorder


class Recorder(recorder.Recorder):
    """`ccprune.recording.Recorder` of this rank's part of every prunable weight and of the mean loss over ranks.

    It is used in the same way, on every rank. Each rank passes the mean loss of its mini-batch, and all mini-batches
    have one size. Stores receive {name in the plain model: change of the part}, so that any store can be used, such as
    `ccprune.recording.SquaredUpdates` without changes. A loss that is not finite on one rank is an error on all.

    Parameters
    ----------
    model : Module
        Model under `fully_shard`, under DDP, or replicated.
    optimizer : Optimizer
        Created after `fully_shard`.
    stores : sequence of Store
    layout : Layout
        Layout of the model.
    pairing : {"same_batch", "consecutive"}
    may_skip : bool
        Whether a step may be omitted after `before_step`, as by a gradient scaler.

    Examples
    --------
    >>> from ccprune.recording import SquaredUpdates
    >>> model, store = nn.Linear(4, 2), SquaredUpdates()
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with Recorder(model, optimizer, [store], layout=Layout.from_model(model), pairing="consecutive") as found:
    ...     for x in torch.randn(3, 5, 4):
    ...         loss = model(x).square().mean()
    ...         optimizer.zero_grad(); loss.backward()
    ...         found.before_step(loss)
    ...         optimizer.step()
    >>> found.records, store.scores["weight"].shape  # the part is a vector
    (2, torch.Size([8]))
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        stores: Sequence[Store],
        *,
        layout: Layout,
        pairing: str = "same_batch",
        may_skip: bool = False,
    ) -> None:
        layout.agree(lambda: {"pairing": pairing, "may_skip": may_skip, "weights": [*layout.local_tensors(model)]})
        self._layout = layout
        names = [*layout.parts]
        super().__init__(reshard(model), optimizer, stores, pairing=pairing, may_skip=may_skip, only=names)

    def _current(self) -> list[Tensor]:
        reshard(self._model)  # a loss taken after the step may have left parameters whole
        return super()._current()

    def _recorded_part(self, name: str, weight: Tensor) -> Tensor:
        return self._layout.local_part(name, weight)

    def _mean(self, loss: Tensor | Sequence[Tensor]) -> tuple[Tensor, int]:
        mean, parts = super()._mean(loss)
        return self._layout.mean(mean), parts


class Screen(lasso.Screen):
    """`lasso.Screen` of this rank's part; `scores` are local, `condition` and `mask` are those of whole tensors.

    Parameters
    ----------
    layout : Layout
        Layout of the recorded model.
    momentum : bool
        Whether the squared change of the previous step and the product of the two are features, too.
    dtype : torch.dtype
        Type of the sums, torch.float64 or torch.float32.

    Examples
    --------
    >>> screen = Screen(Layout.from_model(nn.Linear(2, 1)))
    >>> screen.update(-3.0, {"weight": torch.tensor([1.0, 2.0])})
    >>> screen.scores["weight"].tolist()
    [3.0, 12.0]
    """

    def __init__(self, layout: Layout, *, momentum: bool = False, dtype: torch.dtype = torch.float64) -> None:
        super().__init__(momentum=momentum, dtype=dtype)
        self._layout = layout
        self._whole: Tensor | None = None

    def condition(self, **settings: Any) -> lasso.Condition:
        """Compute `lasso.Screen.condition` from the norms of whole tensors; every rank must call it.

        ValueError is raised on every rank for settings that differ, and for records, if a rank left out a step.
        """
        table = torch.empty(0)

        def check() -> dict[str, Any]:
            nonlocal table
            table = self._table()
            return {"number of records": len(table), "settings": sorted(settings.items())}

        self._layout.agree(check)
        table[:, 1:] = self._layout.total(table[:, 1:].square()).sqrt().cpu()
        self._whole = table
        try:
            return super().condition(**settings)
        finally:
            self._whole = None

    def masks(self, alphas: Sequence[float], *, condition: lasso.Condition | None = None) -> tuple[ShardedMask, ...]:
        """Create masks as `lasso.Screen.masks`; every rank must call it."""

        def check() -> dict[str, Any]:
            for alpha in alphas:
                check_penalty(alpha)
            return {"alphas": [float(alpha) for alpha in alphas], "condition": condition, "records": len(self._rows)}

        self._layout.agree(check)
        super().masks([], condition=condition)  # raises if the condition does not hold
        scores = self.scores
        return tuple(
            ShardedMask._gather_mask({name: score > alpha for name, score in scores.items()}, self._layout)
            for alpha in alphas
        )

    def _table(self) -> Tensor:
        return super()._table() if self._whole is None else self._whole


class WeightExponents(scores.WeightExponents):
    """`scores.WeightExponents` of this rank's part, for `scores.legcnet_of_exponents`; every rank must create it.

    Parameters
    ----------
    model : Module
    layout : Layout
        Layout of the model.
    risk : callable, optional
        Maps the model to its risk on all ranks, of which the mean is used; by default the loss of the mini-batches.
    settings
        Arguments window, min_range, dtype and max_bytes of `scores.WeightExponents`.

    Examples
    --------
    >>> model = nn.Linear(4, 2)
    >>> {name: part.numel() for name, part in WeightExponents(model, layout=Layout.from_model(model)).weights.items()}
    {'weight': 8}
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layout: Layout,
        risk: Callable[[nn.Module], Tensor | float] | None = None,
        **settings: Any,
    ) -> None:
        self._layout = layout

        def check() -> dict[str, Any]:
            super(WeightExponents, self).__init__(model, risk=risk, **settings)
            return {
                "settings": sorted(settings.items()),
                "risk": risk is not None,
                "weights": [*layout.local_tensors(model)],
            }

        layout.agree(check)

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Weights by name, of each this rank's part."""
        return self._layout.local_parts(self._model)

    def _mean(self, risk: Tensor) -> Tensor:
        reshard(self._model)  # a forward pass alone may have left parameters whole
        return self._layout.mean(risk)
