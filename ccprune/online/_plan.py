"""The plan of a mask's changes: initial and final counts, and the next change."""

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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LayerFloorWarning)
                last = Mask.from_scores(
                    some,
                    sparsity=sparsity,
                    allocation="global" if scope == "global" else "uniform",
                    protect=fixed,
                    min_per_layer=min_per_layer,
                    previous=Mask({name: keep.cpu() for name, keep in mask.keep.items()}),
                )
            goal = _counts(last, scope)
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
            return exchange(mask, scores, growth, fraction=self.schedule.exchange_fraction(step), **options)
        return shrink(mask, scores, kept=self._kept_counts(step), **options)

    def check(self, mask: Mask, steps: int) -> None:
        """Raise ValueError for a plan or a mask whose counts no training of so many steps has."""
        found, names = _counts(mask, self.scope), groups(mask.keep, self.scope)
        whole = [sum(mask.keep[name].numel() for name in group) for group in names]
        if not all(goal <= begin <= most for goal, begin, most in zip(self.goal, self.begin, whole, strict=True)):
            raise ValueError(f"state['begin'] must lie between the goal {self.goal} and {whole}, got {self.begin}")
        changes = min(steps // self.schedule.every, self.schedule.ramp)
        possible = [self._kept_counts(change * self.schedule.every) for change in range(changes + 1)]
        if found not in possible:
            raise ValueError(f"state['mask'] must keep {possible[-1]} weights after {steps} steps, got {found}")

    def _kept_counts(self, step: int) -> list[int]:
        """Return the numbers of kept weights after the change at this step of the ramp."""
        way = self.schedule.ramp_fraction(step)
        return [a - pruned_count(way, a - b) for a, b in zip(self.begin, self.goal, strict=True)]


def _counts(mask: Mask, scope: str) -> list[int]:
    counts = mask.counts
    return [sum(counts[name] for name in names) for names in groups(counts, scope)]
