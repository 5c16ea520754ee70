"""Selection of an exact number of units to keep, within the limits of protection, floors and an earlier mask.

A unit is a weight or an output channel.
"""

import math
import warnings
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor

from ccprune._util import checks
from ccprune._util.checks import listed

SCOPES = ("global", "layer")
NORMS = ("sum", "l2")


class LayerFloorWarning(UserWarning):
    """A layer would have kept less than the floor. It keeps the floor, and more is pruned in other layers."""


def select(
    scores: Mapping[str, Tensor],
    *,
    fraction: float,
    scope: str,
    protect: Iterable[str],
    min_per_layer: int,
    earlier: Mapping[str, Tensor] | None,
    asked: str,
) -> dict[str, Tensor]:
    """Return the units to keep, {name: bool Tensor (units,)}, for scores {name: Tensor (units,)}.

    The rules and errors are those of `Mask.from_scores`. `earlier` has the units that an earlier mask keeps. `asked` is
    the name of the argument `fraction` in error messages.
    """
    checks.fraction(asked, fraction)
    if scope not in SCOPES:
        raise ValueError(f"scope must be one of {SCOPES}, got {scope!r}")
    safe = protected(scores, protect)
    device = next(iter(scores.values())).device
    flat = torch.cat([score.to(device, torch.float64) for score in scores.values()])
    gone = torch.zeros_like(flat, dtype=torch.bool)
    if earlier is not None:
        gone = ~torch.cat([earlier[name].to(device) for name in scores])
    sizes = [score.numel() for score in scores.values()]
    lost = [int(part.sum()) for part in gone.split(sizes)]
    # The largest number of pruned units in each layer, without a floor (free) and with it (most).
    free = [g if name in safe else n for name, n, g in zip(scores, sizes, lost, strict=True)]
    most = [max(g, min(n, size - min_per_layer)) for n, size, g in zip(free, sizes, lost, strict=True)]
    wanted = [pruned_count(fraction, n) for n in ([len(flat)] if scope == "global" else sizes)]
    count = sum(wanted)
    if count > sum(most):
        raise ValueError(
            f"{asked} {fraction} cannot be reached with protect={listed(sorted(safe))} and "
            f"min_per_layer={min_per_layer}: the largest reachable is {sum(most) / len(flat)}"
        )
    if count < sum(lost):
        raise ValueError(
            f"{asked} {fraction} would bring pruned weights back: previous has already {sum(lost) / len(flat)}"
        )

    def per_unit(values: list[int]) -> Tensor:
        return torch.tensor(values, device=device).repeat_interleave(torch.tensor(sizes, device=device))

    rank = flat
    if scope == "layer" or min_per_layer:
        place = torch.cat([_places(*part) for part in zip(flat.split(sizes), gone.split(sizes), strict=True)])
    if scope == "layer":
        # Units are ranked by their relative position in their layer's pruning order. The wanted number is pruned in
        # each layer. Where that is not possible, the next units of all other layers are pruned evenly.
        rank = (place + 0.5) / per_unit(sizes) + (place >= per_unit(wanted))
    order = rank.argsort(stable=True)
    if earlier is not None or safe:
        may_go = ~gone & per_unit([name not in safe for name in scores])
        order = torch.cat([order[gone[order]], order[may_go[order]]])
    if min_per_layer:
        _warn_of_floor(per_unit([*range(len(sizes))])[order[:count]], [*scores], most, min_per_layer)
        order = order[(place < per_unit(most))[order]]
    keep = torch.ones_like(gone)
    keep[order[:count]] = False
    return {name: part.to(score.device) for (name, score), part in zip(scores.items(), keep.split(sizes), strict=True)}


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
    return math.floor(fraction * units + 0.5)


def protected(names: Collection[str], protect: Iterable[str]) -> set[str]:
    """Return the names of the protected parameters, which `protect` names directly or by their modules.

    A TypeError is raised for a single string, and a ValueError for a name that matches no parameter.
    """
    if isinstance(protect, str):
        raise TypeError(f"protect must be a collection of names, got the string {protect!r}")
    found: set[str] = set()
    for wanted in protect:
        matches = {name for name in names if name == wanted or name.startswith(f"{wanted}.")}
        if not matches:
            raise ValueError(
                f"protect must name parameters that have scores or their modules, {listed(names)}, got {wanted!r}"
            )
        found |= matches
    return found


def _places(score: Tensor, gone: Tensor) -> Tensor:
    places = torch.empty(len(score), dtype=torch.int64, device=score.device)
    places[lowest_first(score, gone)] = torch.arange(len(score), device=score.device)
    return places


def _warn_of_floor(layers: Tensor, names: list[str], most: list[int], min_per_layer: int) -> None:
    """Warn of floors that were reached; `layers` (pruned,) are the layers of the units pruned without floors."""
    counts = torch.bincount(layers, minlength=len(names)).tolist()
    hit = [name for name, count, limit in zip(names, counts, most, strict=True) if count > limit]
    if hit:
        # The stack level is that of the caller of the Mask's method.
        warnings.warn(
            f"these layers keep no more than min_per_layer={min_per_layer}: {listed(hit)}",
            LayerFloorWarning,
            stacklevel=4,
        )


def n_of_m(name: str, score: Tensor, allowed: Tensor, *, n: int, m: int) -> Tensor:
    """Keep the n highest of each m scores along dimension 1. Only allowed weights are kept, so there may be fewer."""
    if score.ndim < 2 or score.shape[1] % m:
        raise ValueError(
            f"scores[{name!r}] must have an input dimension (the second) that {m} divides, got shape "
            f"{tuple(score.shape)}; protect it to leave it out"
        )
    groups, free = (value.movedim(1, -1).reshape(-1, m) for value in (score, allowed))
    order = groups.argsort(dim=1, stable=True)
    order = order.gather(1, free.gather(1, order).byte().argsort(dim=1, stable=True))
    keep = free.scatter(1, order[:, : m - n], False)
    return keep.reshape(score.movedim(1, -1).shape).movedim(-1, 1).contiguous()


def channel_scores(name: str, score: Tensor, norm: str) -> Tensor:
    """Return the sum or Euclidean norm (channels,) over all dimensions but the first, in float64."""
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {NORMS}, got {norm!r}")
    rows = score.double().reshape(len(score), -1)
    total = rows.sum(1) if norm == "sum" else rows.square().sum(1).sqrt()
    if bool(total.isnan().any()):
        raise ValueError(f"scores[{name!r}] has channels with both inf and -inf: their sum is not a number")
    return total
