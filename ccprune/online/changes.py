"""Small changes of a mask: fewer weights, or others at the same count."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ccprune._util.checks import at_least
from ccprune.mask import SCOPES, Mask, cubic
from ccprune.mask._select import pruned_count


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a mask is changed and by how much: every `every` steps, `ramp` times to fewer weights, then to others.

    Attributes
    ----------
    every : int
        Steps from one change to the next; at least 2, since a record needs a step and the one after it.
    ramp : int
        Changes in which the target sparsity is reached, where the mask is not there from the beginning.
    fraction : float
        Share of the weights that stay that is exchanged at a time, in (0, 1].
    end : int, optional
        Step from which nothing is exchanged. Until then the share falls with the cosine of Evci et al. (2020, RigL,
        equation 1); None is a stream without end, and a share that stays.

    Raises ValueError naming the argument.
    """

    every: int
    ramp: int
    fraction: float
    end: int | None

    def __post_init__(self) -> None:
        at_least(2, every=self.every)
        at_least(1, ramp=self.ramp)
        if isinstance(self.fraction, bool) or not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must lie in (0, 1], got {self.fraction!r}")
        if self.end is not None:
            at_least(1, end=self.end)

    def ramped(self, step: int) -> float:
        """Share of the way to the target that lies behind after the change at this step: cubic, 1 after the ramp."""
        return (0.0, *cubic(1.0, iterations=self.ramp))[min(step // self.every, self.ramp)]

    def exchanged(self, step: int) -> float:
        """Share of the weights that stay that is exchanged at this step."""
        if self.end is None:
            return self.fraction
        return self.fraction / 2 * (1 + math.cos(math.pi * min(step / self.end, 1)))


def groups(names: Collection[str], scope: str) -> list[list[str]]:
    """Parameters whose weights compete: all ("global"), or each by itself ("layer"); ValueError for another scope."""
    if scope not in SCOPES:
        raise ValueError(f"scope must be one of {SCOPES}, got {scope!r}")
    return [[*names]] if scope == "global" else [[name] for name in names]


def shrink(
    mask: Mask,
    scores: Mapping[str, Tensor],
    *,
    kept: Sequence[int],
    scope: str = "layer",
    fixed: Collection[str] = (),
    min_per_layer: int = 0,
) -> Mask:
    """The mask with the lowest scores of those that stay pruned too, until `kept` stay; nothing comes back.

    Parameters
    ----------
    mask : Mask
    scores : {name: Tensor}
        Larger = keep. Of equal ones the first goes.
    kept : sequence of int
        One number with scope "global"; with "layer" one per parameter, in the mask's order.
    scope : str
    fixed : collection of str
        Parameters whose weights all stay as they are; the others of their group lose more in their place.
    min_per_layer : int
        Each parameter keeps at least so many weights, unless it already has fewer.

    Raises ValueError where a count cannot be reached or a score is NaN. Warns `mask.LayerFloorWarning`.
    """
    keep = dict(mask.keep)
    for names, count in zip(groups(keep, scope), kept, strict=True):
        part = _part(mask, names, fixed)
        have = sum(mask.counts[name] for name in names)
        most = 0 if part is None else _spare(part, min_per_layer)
        if not 0 <= have - count <= most:
            held = sorted(set(names) & set(fixed))
            raise ValueError(
                f"kept of {names} must lie in {have - most}..{have} with fixed={held} and "
                f"min_per_layer={min_per_layer}, got {count}"
            )
        if part is not None and count < have:
            keep.update(_without(part, scores, have - count, min_per_layer).keep)
    return Mask(keep)


def exchange(
    mask: Mask,
    scores: Mapping[str, Tensor],
    growth: Mapping[str, Tensor],
    *,
    fraction: float,
    scope: str = "layer",
    fixed: Collection[str] = (),
    min_per_layer: int = 0,
) -> Mask:
    """Prunes a share of the weights that stay and brings back as many others (SET, Mocanu et al., 2018; RigL, 2020).

    In each group k = floor(fraction * kept + 1/2), but no more than there are pruned ones, nor than
    `min_per_layer` allows. The k lowest scores are pruned; of the weights that were pruned before, the k with the
    largest growth return. What is pruned does not return in the same exchange. With scope
    "layer" every parameter keeps its count, with "global" all together do.

    Parameters
    ----------
    mask, scores, scope, fixed, min_per_layer
        As in `shrink`; of `fixed` parameters nothing goes or comes, and they do not count for k.
    growth : {name: Tensor}
        Finite, larger = bring back; of equal ones the last.
    fraction : float

    Raises ValueError for a score that is NaN or a growth that is not finite. Warns `mask.LayerFloorWarning`.
    """
    keep = dict(mask.keep)
    for names in groups(keep, scope):
        part = _part(mask, names, fixed)
        if part is None:
            continue
        for name in part.keep:
            if not bool(growth[name].isfinite().all()):
                raise ValueError(f"growth[{name!r}] must be finite, got NaN or infinite values")
        count = min(pruned_count(fraction, part.kept), part.total - part.kept, _spare(part, min_per_layer))
        if count:
            left = _without(part, scores, count, min_per_layer).keep
            # What stays is above all others, what has just gone below them.
            rank = {
                name: growth[name]
                .double()
                .masked_fill(stays & ~left[name], -math.inf)
                .masked_fill(left[name], math.inf)
                for name, stays in part.keep.items()
            }
            keep.update(Mask.from_scores(rank, sparsity=part.sparsity).keep)
    return Mask(keep)


def _part(mask: Mask, names: Sequence[str], fixed: Collection[str]) -> Mask | None:
    """The group's weights that may be changed, if there are any."""
    keep = {name: mask.keep[name] for name in names if name not in fixed}
    return Mask(keep) if keep else None


def _spare(part: Mask, min_per_layer: int) -> int:
    """How many the part can lose."""
    return sum(max(0, count - min_per_layer) for count in part.counts.values())


def _without(part: Mask, scores: Mapping[str, Tensor], count: int, min_per_layer: int) -> Mask:
    """The part without the `count` lowest scores of those that stay."""
    own = {name: scores[name] for name in part.keep}
    sparsity = (part.total - part.kept + count) / part.total
    return Mask.from_scores(own, sparsity=sparsity, min_per_layer=min_per_layer, previous=part)
