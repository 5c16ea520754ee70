"""The recorder and the screen where several processes train one model: each rank keeps what its own part did.

The loss of a step is the mean over ranks, one number on its way per loss given: one per step with "consecutive", two
with "same_batch". Nothing else is sent until the screen's condition is asked for.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune import lasso
from ccprune.distributed.layout import Layout, resharded
from ccprune.distributed.masks import ShardedMask
from ccprune.lasso.problem import check_penalty
from ccprune.recording import Store
from ccprune.recording import _recorder as recorder


class Recorder(recorder.Recorder):
    """`recorder.Recorder` of this rank's part of every prunable weight and of the mean loss over ranks.

    Used in the same way, on every rank, each giving the mean loss of its own mini-batch, all of one size. Stores get
    {name in the plain model: change of the part}, so any store works, `stores.SquaredUpdates` as it is. A loss
    that is not finite on one rank is an error on all.

    Parameters
    ----------
    model : Module
        Under `fully_shard`, under DDP, or replicated.
    optimizer, stores, pairing, may_skip
        As in `recorder.Recorder`. The optimiser is made after `fully_shard`.
    layout : Layout
        Of the model.
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
        layout.held(model)
        self._layout = layout
        super().__init__(resharded(model), optimizer, stores, pairing=pairing, may_skip=may_skip)

    def _current(self) -> list[Tensor]:
        resharded(self._model)  # a loss taken after the step may have left parameters whole
        return super()._current()

    def _recorded(self, name: str, weight: Tensor) -> Tensor:
        return self._layout.cut(name, weight)

    def _mean(self, loss: Tensor | Sequence[Tensor]) -> tuple[Tensor, int]:
        mean, parts = super()._mean(loss)
        return self._layout.mean(mean), parts


class Screen(lasso.Screen):
    """`lasso.Screen` of this rank's part: `scores` are local, `condition` and `mask` are those of whole tensors.

    Parameters
    ----------
    layout : Layout
        Of the model that is recorded.
    momentum, dtype
        As in `lasso.Screen`.
    """

    def __init__(self, layout: Layout, *, momentum: bool = False, dtype: torch.dtype = torch.float64) -> None:
        super().__init__(momentum=momentum, dtype=dtype)
        self._layout = layout
        self._whole: Tensor | None = None

    def condition(self, **settings: Any) -> lasso.Condition:
        """As `lasso.Screen.condition`, which see, from the norms of whole tensors. Every rank must call it.

        Raises ValueError on every rank when they hold different numbers of records: one left out a step.
        """
        table = self._table()
        ends = torch.tensor([len(table), -len(table)], device=self._layout.device)
        dist.all_reduce(ends, op=dist.ReduceOp.MAX, group=self._layout.group)
        most, fewest = ends[0].item(), -ends[1].item()
        if most != fewest:
            raise ValueError(f"ranks must hold the same records, got {fewest} to {most}")
        table[:, 1:] = self._layout.total(table[:, 1:].square()).sqrt().cpu()
        self._whole = table
        try:
            return super().condition(**settings)
        finally:
            self._whole = None

    def masks(self, alphas: Sequence[float], *, condition: lasso.Condition | None = None) -> tuple[ShardedMask, ...]:
        """As `lasso.Screen.masks`. Every rank must call it."""
        for alpha in alphas:
            check_penalty(alpha)
        super().masks([], condition=condition)  # raises where the condition does not hold
        scores = self.scores
        return tuple(
            ShardedMask.from_parts({name: score > alpha for name, score in scores.items()}, self._layout)
            for alpha in alphas
        )

    def _table(self) -> Tensor:
        return super()._table() if self._whole is None else self._whole
