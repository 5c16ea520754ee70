"""The plan of a mask's changes, with its initial and final counts, and the computation of the next change."""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from ccprune.mask import LayerFloorWarning, Mask
from ccprune.mask._select import pruned_count
from ccprune.online.changes import Schedule, exchange, groups, shrink


@dataclass(frozen=True)
class Plan:
    """Numbers of kept weights in each group at the beginning and the end of the ramp, and the rules of the changes."""

    begin: list[int]
    goal: list[int]
    schedule: Schedule
    scope: str
    min_per_layer: int

    @classmethod
    def to(
        cls,
        sparsity: float | None,
        mask: Mask,
        *,
        schedule: Schedule,
        scope: str,
        min_per_layer: int,
        fixed: Collection[str],
    ) -> Self:
        """Plan from the mask to a sparsity (None: that of the mask); raises ValueError if it cannot be reached."""
        begin = goal = _counts(mask, scope)
        if sparsity is not None:
            # Any scores will do, because later scores select other weights but give the same counts.
            some = {name: torch.zeros(keep.shape) for name, keep in mask.keep.items()}
            previous = Mask({name: keep.cpu() for name, keep in mask.keep.items()})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LayerFloorWarning)
                options: dict[str, Any] = {
                    "allocation": "global" if scope == "global" else "uniform",
                    "protect": fixed,
                    "min_per_layer": min_per_layer,
                    "previous": previous,
                }
                goal = _counts(Mask.from_scores(some, sparsity=sparsity, **options), scope)
        return cls(begin, goal, schedule, scope, min_per_layer)

    def ramping(self, mask: Mask) -> bool:
        """Whether the number of kept weights is still above the goal."""
        return mask.kept > sum(self.goal)

    def change(
        self,
        mask: Mask,
        scores: Mapping[str, Tensor],
        growth: Mapping[str, Tensor],
        *,
        step: int,
        fixed: Collection[str],
    ) -> Mask:
        """Return the mask after the change at this step."""
        options: dict[str, Any] = {"scope": self.scope, "fixed": fixed, "min_per_layer": self.min_per_layer}
        if not self.ramping(mask):
            return exchange(mask, scores, growth, fraction=self.schedule.exchanged(step), **options)
        way = self.schedule.ramped(step)
        kept = [a - pruned_count(way, a - b) for a, b in zip(self.begin, self.goal, strict=True)]
        return shrink(mask, scores, kept=kept, **options)


def _counts(mask: Mask, scope: str) -> list[int]:
    counts = mask.counts
    return [sum(counts[name] for name in names) for names in groups(counts, scope)]
