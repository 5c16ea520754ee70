"""Selection of an exact number of units to keep, within the limits of protection, floors and an earlier mask.

A unit is a weight or an output channel.
"""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from ccprune._util import checks
from ccprune._util.checks import listed
from ccprune.mask._allocation import ALLOCATIONS, erk, lamp, parts, protected

SCOPES = ("global", "layer")


class LayerFloorWarning(UserWarning):
    """A layer would have kept less than the floor. It keeps the floor, and more is pruned in other layers."""


def select(
    scores: Mapping[str, Tensor],
    *,
    fraction: float | Mapping[str, float],
    allocation: str,
    protect: Iterable[str],
    min_per_layer: int,
    earlier: Mapping[str, Tensor] | None,
    asked: str,
    allocations: Sequence[str] = ALLOCATIONS,
) -> dict[str, Tensor]:
    """Return the units to keep as bool Tensors of the scores' shapes.

    The rules and errors are those of `Mask.from_scores`. `earlier` has the units that an earlier mask keeps, flattened.
    `asked` is the name of the argument `fraction` in error messages, and `allocations` are those that it can have.
    """
    if allocation not in allocations:
        raise ValueError(f"allocation must be one of {tuple(allocations)}, got {allocation!r}")
    safe = protected(scores, protect)
    if isinstance(fraction, Mapping):
        chosen: dict[str, Tensor] = {}
        for key, names in parts(scores, fraction, asked).items():
            part = {name: scores[name] for name in names}
            chosen |= _select(part, fraction[key], allocation, safe, min_per_layer, earlier, f"{asked}[{key!r}]")
        return {name: chosen[name].reshape(score.shape) for name, score in scores.items()}
    chosen = _select(scores, fraction, allocation, safe, min_per_layer, earlier, asked)
    return {name: keep.reshape(scores[name].shape) for name, keep in chosen.items()}


def _select(
    scores: Mapping[str, Tensor],
    fraction: float,
    allocation: str,
    protect: set[str],
    min_per_layer: int,
    earlier: Mapping[str, Tensor] | None,
    asked: str,
) -> dict[str, Tensor]:
    """Return the units to keep, {name: bool Tensor (units,)}, of one part of the model."""
    checks.fraction(asked, fraction)
    safe = protect & scores.keys()
    device = next(iter(scores.values())).device
    shapes = [score.shape for score in scores.values()]
    if allocation == "lamp":
        scores = {name: lamp(name, s, None if earlier is None else ~earlier[name]) for name, s in scores.items()}
    sizes = [score.numel() for score in scores.values()]
    lost = [0 if earlier is None else sizes[place] - int(earlier[name].sum()) for place, name in enumerate(scores)]
    # The largest number of pruned units in each layer, without a floor (free) and with it (most).
    free = [g if name in safe else n for name, n, g in zip(scores, sizes, lost, strict=True)]
    most = [max(g, min(n, size - min_per_layer)) for n, size, g in zip(free, sizes, lost, strict=True)]
    wanted = [pruned_count(fraction, n) for n in (sizes if allocation == "uniform" else [sum(sizes)])]
    count = sum(wanted)
    if count > sum(most):
        raise ValueError(
            f"{asked} {fraction} cannot be reached with protect={listed(sorted(safe))} and "
            f"min_per_layer={min_per_layer}: the largest reachable is {sum(most) / sum(sizes)}"
        )
    if count < sum(lost):
        raise ValueError(
            f"{asked} {fraction} would bring pruned weights back: previous has already {sum(lost) / sum(sizes)}"
        )

    if allocation in ("global", "lamp"):
        found = _by_threshold(scores, count - sum(lost), safe, earlier)
        if all(size - int(part.sum()) <= limit for size, part, limit in zip(sizes, found.values(), most, strict=True)):
            return found
    # The rest needs the order of all units: 36 bytes each.
    flat = torch.cat([score.flatten().to(device, torch.float64) for score in scores.values()])
    gone = torch.zeros_like(flat, dtype=torch.bool)
    if earlier is not None:
        gone = ~torch.cat([earlier[name].to(device) for name in scores])
    unfloored = None
    if allocation == "erk":
        unfloored, wanted = erk(shapes, count, lost, free), erk(shapes, count, lost, most)

    def per_unit(values: list[int]) -> Tensor:
        return torch.tensor(values, device=device).repeat_interleave(torch.tensor(sizes, device=device))

    rank = flat
    by_layer = allocation in ("uniform", "erk")
    if by_layer or min_per_layer:
        place = torch.cat([_places(*part) for part in zip(flat.split(sizes), gone.split(sizes), strict=True)])
    if by_layer:
        # Units are ranked by their relative position in their layer's pruning order. The wanted number is pruned in
        # each layer. Where that is not possible, the next units of all other layers are pruned evenly.
        rank = (place + 0.5) / per_unit(sizes) + (place >= per_unit(wanted))
    order = rank.argsort(stable=True)
    if earlier is not None or safe:
        may_go = ~gone & per_unit([name not in safe for name in scores])
        order = torch.cat([order[gone[order]], order[may_go[order]]])
    if min_per_layer:
        layers = per_unit([*range(len(sizes))])[order[:count]]
        unfloored = unfloored or torch.bincount(layers, minlength=len(sizes)).tolist()
        _warn_of_floor(unfloored, [*scores], most, min_per_layer)
        order = order[(place < per_unit(most))[order]]
    keep = torch.ones_like(gone)
    keep[order[:count]] = False
    return {name: part.to(score.device) for (name, score), part in zip(scores.items(), keep.split(sizes), strict=True)}


def _by_threshold(
    scores: Mapping[str, Tensor], count: int, safe: set[str], earlier: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """Keep all units but the `count` lowest of those that may go, and those already gone; ties go by index."""
    keep, able = {}, {}
    for name, score in scores.items():
        keep[name] = torch.ones(score.numel(), dtype=torch.bool) if earlier is None else earlier[name].clone()
        keep[name] = keep[name].to(score.device)
        if name not in safe:
            flat = score.detach().flatten()
            able[name] = flat if earlier is None else flat[keep[name]]
    if count:
        small = all(part.dtype in (torch.float32, torch.float16, torch.bfloat16) for part in able.values())
        kind = torch.float32 if small else torch.float64
        device = next(iter(able.values())).device
        threshold = _smallest(torch.cat([part.to(device, kind) for part in able.values()]), count)
        count -= sum(int((part.to(kind) < threshold).sum()) for part in able.values())
        for name, part in able.items():
            part = part.to(kind)
            low, ties = part < threshold, part == threshold
            tied = int(ties.sum())
            if tied > count:
                ties[ties.nonzero()[count:]] = False
            count -= min(tied, count)
            if earlier is None:
                keep[name] = ~(low | ties)
            else:
                keep[name][keep[name].clone()] = ~(low | ties)
    return keep


def _smallest(values: Tensor, count: int) -> float:
    """Return the `count`-th smallest value. The values are put into another order."""
    if values.is_cuda:
        return float(values.kthvalue(count).values)
    array = values.numpy()
    array.partition(count - 1)
    return float(array[count - 1])


def lowest_first(score: Tensor, gone: Tensor | None = None) -> Tensor:
    """Return indices (units,) in pruning order: already pruned first, then ascending score, ties by index."""
    order = score.argsort(stable=True)
    return order if gone is None else torch.cat([order[gone[order]], order[~gone[order]]])


def drop_lowest(score: Tensor, count: int) -> Tensor:
    """Return a bool Tensor of the score's shape, True = keep, that prunes its `count` lowest values, ties by index."""
    keep = torch.ones(score.numel(), dtype=torch.bool, device=score.device)
    keep[lowest_first(score.flatten())[:count]] = False
    return keep.reshape(score.shape)


def pruned_count(fraction: float, units: int) -> int:
    """Return the number of pruned units, with half a unit rounded up."""
    # A half may be one of the decimal that was written (as a float, 0.145 * 100 is below 14.5) or of a computed float.
    decimal = math.floor(Fraction(repr(float(fraction))) * units + Fraction(1, 2))
    return max(decimal, math.floor(fraction * units + 0.5))


def _places(score: Tensor, gone: Tensor) -> Tensor:
    places = torch.empty(len(score), dtype=torch.int64, device=score.device)
    places[lowest_first(score, gone)] = torch.arange(len(score), device=score.device)
    return places


def _warn_of_floor(counts: list[int], names: list[str], most: list[int], min_per_layer: int) -> None:
    """Warn of floors that were reached; `counts` are the numbers of units that would be pruned without floors."""
    hit = [name for name, count, limit in zip(names, counts, most, strict=True) if count > limit]
    if hit:
        # The stack level is that of the caller of the Mask's method.
        warnings.warn(
            f"these layers keep no more than min_per_layer={min_per_layer}: {listed(hit)}",
            LayerFloorWarning,
            stacklevel=5,
        )


def n_of_m(name: str, score: Tensor, allowed: Tensor, *, n: int, m: int) -> Tensor:
    """Keep the n highest of each m inputs, with the second dimension last. There may be fewer that are allowed."""
    if score.ndim < 2 or score[0].numel() % m:
        raise ValueError(
            f"scores[{name!r}] must have a number of inputs (times kernel positions) that {m} divides, got shape "
            f"{tuple(score.shape)}; protect it to leave it out"
        )
    groups, free = (value.movedim(1, -1).reshape(-1, m) for value in (score, allowed))
    order = groups.argsort(dim=1, stable=True)
    order = order.gather(1, free.gather(1, order).byte().argsort(dim=1, stable=True))
    keep = free.scatter(1, order[:, : m - n], False)
    return keep.reshape(score.movedim(1, -1).shape).movedim(-1, 1).contiguous()
