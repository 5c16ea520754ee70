"""Selection of an exact number of units to keep, within the limits of protection, floors and an earlier mask.

A unit is a weight or an output channel.
"""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ccprune._util import checks
from ccprune._util.checks import join_first
from ccprune.mask._allocation import ALLOCATIONS, erk, lamp, parts, protected_names

SCOPES = ("global", "layer")


class LayerFloorWarning(UserWarning):
    """Warning of `Mask.from_scores`: a layer keeps `min_per_layer` weights instead of fewer, so others keep fewer."""


_EXACT = 2**53  # the largest integer up to which float64 has every one


def check_scores(scores: Mapping[str, Tensor]) -> None:
    """Raise TypeError or ValueError, with the name, for scores that cannot be ranked exactly."""
    if not scores:
        raise ValueError("scores must name at least one parameter")
    for name, score in scores.items():
        if score.is_meta:
            raise ValueError(f"scores[{name!r}] must have values, got a tensor on the meta device")
        if score.is_complex():
            raise TypeError(f"scores[{name!r}] must be real numbers, got {score.dtype}: take their absolute values")
        whole = not score.is_floating_point() and score.dtype != torch.bool
        if whole and score.numel() and int(score.abs().max()) > _EXACT:
            raise ValueError(f"scores[{name!r}] must be integers of at most 2^53, which are compared exactly")
        if bool(score.isnan().any()):
            raise ValueError(f"scores[{name!r}] holds NaN")


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
    checks.require_one_of(allocations, allocation=allocation)
    safe = protected_names(scores, protect)
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
    checks.require_fraction(asked, fraction)
    safe = protect & scores.keys()
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
            f"{asked} {fraction} cannot be reached with protect={join_first(sorted(safe))} and "
            f"min_per_layer={min_per_layer}: the largest reachable is {sum(most) / sum(sizes)}"
        )
    if count < sum(lost):
        raise ValueError(
            f"{asked} {fraction} would bring pruned weights back: previous has already {sum(lost) / sum(sizes)}"
        )

    if allocation in ("global", "lamp"):
        unfloored, keep = _prune_lowest(scores, count, lost, free, earlier)
        if min_per_layer and any(n > limit for n, limit in zip(unfloored, most, strict=True)):
            keep = _prune_lowest(scores, count, lost, most, earlier)[1]
    else:
        share = partial(erk, shapes, count) if allocation == "erk" else partial(_evenly, sizes, wanted)
        unfloored, found = share(lost, free), share(lost, most)
        keep = {}
        for (name, score), n, gone in zip(scores.items(), found, lost, strict=True):
            keep |= _lowest({name: score}, n - gone, earlier)
    if min_per_layer:
        _warn_of_floor(unfloored, [*scores], most, min_per_layer)
    return keep


def _prune_lowest(
    scores: Mapping[str, Tensor],
    count: int,
    lost: Sequence[int],
    most: Sequence[int],
    earlier: Mapping[str, Tensor] | None,
) -> tuple[list[int], dict[str, Tensor]]:
    """Prune the `count` lowest units of all layers, of a layer at most `most`; return also the numbers of pruned units.

    A layer that would lose more loses its lowest ones, and the other layers lose the rest.
    """
    limits, gone = dict(zip(scores, most, strict=True)), dict(zip(scores, lost, strict=True))
    full = {name for name in scores if limits[name] == gone[name]}
    while True:
        rest = count - sum(limits[name] if name in full else gone[name] for name in scores)
        keep = _lowest({name: score for name, score in scores.items() if name not in full}, rest, earlier)
        pruned = {name: part.numel() - int(part.sum()) for name, part in keep.items()}
        over = {name for name, n in pruned.items() if n > limits[name]}
        if not over:
            break
        full |= over
    for name in full:
        keep |= _lowest({name: scores[name]}, limits[name] - gone[name], earlier)
    return [pruned.get(name, limits[name]) for name in scores], {name: keep[name] for name in scores}


def _evenly(sizes: Sequence[int], wanted: Sequence[int], least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Return the numbers of pruned units: those wanted, and where a limit is reached, others in equal shares."""
    rest = sum(wanted) - sum(least)
    if not rest or all(a <= w <= b for a, w, b in zip(least, wanted, most, strict=True)):
        return [*(wanted if rest else least)]
    places = [np.arange(a, b) for a, b in zip(least, most, strict=True)]
    # Units are ranked by their relative place in their layer, those that are not wanted after the others.
    ranks = [(p + 0.5) / n + (p >= w) for p, n, w in zip(places, sizes, wanted, strict=True)]
    bound = np.partition(np.concatenate(ranks), rest - 1)[rest - 1]
    found = [a + int(np.searchsorted(r, bound)) for a, r in zip(least, ranks, strict=True)]
    for i, r in enumerate(ranks):  # of equal places, those of the first layers
        found[i] += sum(found) < sum(wanted) and bound in r
    return found


def _lowest(scores: Mapping[str, Tensor], count: int, earlier: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Return the units to keep, flat: all but the `count` lowest and those already pruned; ties go by index."""
    keep, able = {}, {}
    for name, score in scores.items():
        flat = score.detach().flatten()
        keep[name] = flat.new_ones(len(flat), dtype=torch.bool) if earlier is None else earlier[name].to(flat.device)
        able[name] = flat if earlier is None else flat[keep[name]]
    if count:
        small = all(part.dtype in (torch.float32, torch.float16, torch.bfloat16) for part in able.values())
        kind = torch.float32 if small else torch.float64
        device = next(iter(able.values())).device
        threshold = _smallest(torch.cat([part.to(device, kind) for part in able.values()]), count)
        if math.isnan(threshold):
            raise ValueError(f"scores must be numbers, got NaN among the {count} lowest")
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
                keep[name] = keep[name].masked_scatter(keep[name], ~(low | ties))
    return keep


def _smallest(values: Tensor, count: int) -> float:
    """Return the `count`-th smallest value. The values are put into another order."""
    if values.is_cuda:
        return float(values.kthvalue(count).values)
    array = values.numpy()
    array.partition(count - 1)
    return float(array[count - 1])


def drop_lowest(score: Tensor, count: int) -> Tensor:
    """Return a bool Tensor of the score's shape, True = keep, that prunes its `count` lowest values, ties by index.

    Parameters
    ----------
    score : Tensor
    count : int
        Number of pruned values.

    Examples
    --------
    >>> drop_lowest(torch.tensor([3.0, 1.0, 1.0, 2.0]), 1)  # of equal values the first
    tensor([ True, False,  True,  True])
    """
    return _lowest({"": score}, count, None)[""].reshape(score.shape)


def pruned_count(fraction: float, units: int) -> int:
    """Return the number of pruned units, with half a unit rounded up."""
    # A half may be one of the decimal that was written (as a float, 0.145 * 100 is below 14.5) or of a computed float.
    decimal = math.floor(Fraction(repr(float(fraction))) * units + Fraction(1, 2))
    return max(decimal, math.floor(fraction * units + 0.5))


def _warn_of_floor(counts: list[int], names: list[str], most: list[int], min_per_layer: int) -> None:
    """Warn of floors that were reached; `counts` are the numbers of units that would be pruned without floors."""
    hit = [name for name, count, limit in zip(names, counts, most, strict=True) if count > limit]
    if hit:
        # The stack level is that of the caller of the Mask's method.
        warnings.warn(
            f"these layers would keep fewer than min_per_layer={min_per_layer}, so others are pruned more: "
            f"{join_first(hit)}",
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
