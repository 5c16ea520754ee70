"""Small changes of a mask, to fewer weights or to other weights at the same count."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ccprune._util.checks import join_first, require_at_least
from ccprune.mask import SCOPES, Mask, cubic
from ccprune.mask._select import pruned_count


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Steps and sizes of the changes of a mask: `ramp` changes to fewer weights, then exchanges of weights.


    Attributes
    ----------
    every : int
        Number of steps between changes; at least 2, because a record needs a step and the following one.
    ramp : int
        Number of changes in which the target sparsity is reached, unless the mask has it from the beginning.
    fraction : float
        Share of the kept weights that one change exchanges, in (0, 1].
    end : int, optional
        Step from which no weight is exchanged. Until then the share follows the cosine decay of Evci et al. (2020,
        RigL, equation 1). None: training without a fixed end, with a constant share.

    Raises
    ------
    ValueError
        For an invalid argument, with its name.

    Examples
    --------
    >>> schedule = Schedule(every=100, ramp=2, fraction=0.3, end=1000)
    >>> schedule.ramp_fraction(100), schedule.ramp_fraction(200), schedule.exchange_fraction(1000)
    (0.875, 1.0, 0.0)
    """

    every: int
    ramp: int
    fraction: float
    end: int | None

    def __post_init__(self) -> None:
        require_at_least(2, every=self.every)
        require_at_least(1, ramp=self.ramp)
        if isinstance(self.fraction, bool) or not 0 < self.fraction <= 1:
            raise ValueError(f"fraction must lie in (0, 1], got {self.fraction!r}")
        if self.end is not None:
            require_at_least(1, end=self.end)

    def ramp_fraction(self, step: int) -> float:
        """Completed fraction of the ramp after the change at this step; cubic, and 1 after the ramp."""
        return (0.0, *cubic(1.0, iterations=self.ramp))[min(step // self.every, self.ramp)]

    def exchange_fraction(self, step: int) -> float:
        """Share of the kept weights that is exchanged at this step."""
        if self.end is None:
            return self.fraction
        return self.fraction / 2 * (1 + math.cos(math.pi * min(step / self.end, 1)))


def groups(names: Collection[str], scope: str) -> list[list[str]]:
    """Group the parameters that are ranked together: all ("global") or each alone ("layer"); else ValueError."""
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
    """Prune the kept weights with the lowest scores until `kept` weights remain; no weight is regrown.

    ValueError is raised if a count cannot be reached or a score is NaN. `LayerFloorWarning` names parameters at their
    smallest number.

    Parameters
    ----------
    mask : Mask
    scores : mapping of name to Tensor
        Scores; larger = keep. Of equal scores, that of the first weight is pruned first.
    kept : sequence of int
        Number of weights to keep: one with scope "global"; with "layer" one per parameter, in the order of the mask.
    scope : str, default "layer"
        Weights that are ranked together: "layer" for those of a parameter, "global" for all.
    fixed : collection of str
        Parameters whose weights are not changed; the other parameters of their group lose more weights instead.
    min_per_layer : int, default 0
        Smallest number of weights that each parameter keeps, unless it already has fewer.

    Examples
    --------
    >>> scores = {"weight": torch.tensor([3.0, 1.0, 2.0])}
    >>> shrink(Mask({"weight": torch.ones(3) > 0}), scores, kept=[2]).keep["weight"].tolist()
    [True, False, True]
    """
    keep = dict(mask.keep)
    for names, count in zip(groups(keep, scope), kept, strict=True):
        part = _part(mask, names, fixed)
        have = sum(mask.counts[name] for name in names)
        most = 0 if part is None else _spare(part, min_per_layer)
        if not 0 <= have - count <= most:
            given = f"fixed={join_first(sorted(set(names) & set(fixed)))} and min_per_layer={min_per_layer}"
            raise ValueError(f"kept of {join_first(names)} must lie in {have - most}..{have} with {given}, got {count}")
        if part is not None and count < have:
            keep.update(_drop_lowest(part, scores, have - count, min_per_layer).keep)
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
    """Prune a share of the kept weights and regrow as many others (SET, Mocanu et al., 2018; RigL, 2020).

    In each group k = floor(fraction * kept + 1/2), limited by the number of pruned weights and by `min_per_layer`. The
    k kept weights with the lowest scores are pruned. Of the weights that were pruned before, the k with the largest
    growth are regrown. With scope "layer" the count of every parameter is unchanged, with "global" only the total.

    ValueError is raised if a score is NaN or a growth is not finite.

    Parameters
    ----------
    mask : Mask
    scores : mapping of name to Tensor
        Scores; larger = keep. Of equal scores, that of the first weight is pruned first.
    growth : mapping of name to Tensor
        Finite growth; larger = regrow. Of equal values, the last weight is regrown first.
    fraction : float
        Share of the kept weights that is exchanged.
    scope : str, default "layer"
        Weights that are ranked together: "layer" for those of a parameter, "global" for all.
    fixed : collection of str
        Parameters whose weights are not exchanged and do not count for k.
    min_per_layer : int, default 0
        Smallest number of weights that each parameter keeps, unless it already has fewer.

    Examples
    --------
    >>> mask = Mask({"weight": torch.tensor([True, True, False, False])})
    >>> scores, growth = {"weight": torch.tensor([1.0, 2, 0, 0])}, {"weight": torch.tensor([0.0, 0, 5, 6])}
    >>> exchange(mask, scores, growth, fraction=0.5).keep["weight"].tolist()
    [False, True, False, True]
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
            left = _drop_lowest(part, scores, count, min_per_layer).keep
            # Kept weights rank above all others, and weights pruned in this exchange below all others.
            rank = {}
            for name, stays in part.keep.items():
                below = growth[name].double().masked_fill(stays & ~left[name], -math.inf)
                rank[name] = below.masked_fill(left[name], math.inf)
            keep.update(Mask.from_scores(rank, sparsity=part.sparsity).keep)
    return Mask(keep)


def _part(mask: Mask, names: Sequence[str], fixed: Collection[str]) -> Mask | None:
    """Return the mask of the group's parameters that may be changed, or None."""
    keep = {name: mask.keep[name] for name in names if name not in fixed}
    return Mask(keep) if keep else None


def _spare(part: Mask, min_per_layer: int) -> int:
    """Return how many weights of the part can be pruned."""
    return sum(max(0, count - min_per_layer) for count in part.counts.values())


def _drop_lowest(part: Mask, scores: Mapping[str, Tensor], count: int, min_per_layer: int) -> Mask:
    """Return the part without the `count` kept weights with the lowest scores."""
    own = {name: scores[name] for name in part.keep}
    sparsity = (part.total - part.kept + count) / part.total
    return Mask.from_scores(own, sparsity=sparsity, min_per_layer=min_per_layer, previous=part)
