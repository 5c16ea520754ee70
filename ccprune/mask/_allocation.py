"""Allocation of a sparsity to layers: named parts of a model, Erdős-Rényi-kernel, and layer-adaptive scores."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ccprune._util.checks import join_first

#: Allocations of `Mask.from_scores`; those of channels and groups are the first two.
ALLOCATIONS = ("global", "uniform", "erk", "lamp")


def protected_names(names: Collection[str], protect: Iterable[str]) -> set[str]:
    """Return the names of the protected parameters, which `protect` names directly or by their modules."""
    if isinstance(protect, str):
        raise TypeError(f"protect must be a collection of names, got the string {protect!r}")
    found: set[str] = set()
    for wanted in protect:
        matches = {name for name in names if _covers(wanted, name)}
        if not matches:
            raise ValueError(
                f"protect must name parameters that have scores or their modules, {join_first(names)}, got {wanted!r}"
            )
        found |= matches
    return found


def parts(names: Collection[str], sparsity: Mapping[str, float], argument: str) -> dict[str, list[str]]:
    """Return {key: names of the parameters}, each parameter under the most specific key that names it."""
    found: dict[str, list[str]] = {key: [] for key in sparsity}
    missing = []
    for name in names:
        keys = [key for key in sparsity if key == "" or _covers(key, name)]
        if keys:
            found[max(keys, key=len)].append(name)
        else:
            missing.append(name)
    if missing:
        raise ValueError(
            f"{argument} must name every parameter that has scores, or its module, missing {join_first(missing)}; the "
            "key '' is that of all others"
        )
    empty = [key for key, members in found.items() if not members]
    if empty:
        raise ValueError(
            f"{argument} must name parameters that have scores or their modules, {join_first(names)}, each once, got "
            f"{join_first(empty)}"
        )
    return found


def erk(shapes: Sequence[torch.Size], count: int, least: Sequence[int], most: Sequence[int]) -> list[int]:
    """Return numbers of pruned weights, `count` in all, each between `least` and `most`, by Erdős-Rényi-kernel.

    The density of a layer is proportional to the sum of its dimensions divided by their product, so that the number of
    kept weights is proportional to the sum. Where a limit is reached, such as density 1, the other layers take the
    rest in the same proportion.

    References
    ----------
    Evci et al. (2020), "Rigging the lottery: making all tickets winners", section 3 and appendix E.
    """
    sizes = np.array([shape.numel() for shape in shapes], dtype=np.float64)
    weights = np.array([sum(shape) for shape in shapes], dtype=np.float64)
    low, high, total = sizes - most, sizes - least, int(sizes.sum()) - count
    # The number of kept weights is linear in the factor between the points where a layer reaches a limit.
    points = np.sort(np.concatenate([low / weights, high / weights]))
    sums = [np.clip(point * weights, low, high).sum() for point in points]
    exact = np.clip(np.interp(total, sums, points) * weights, low, high)
    kept = np.floor(exact)
    kept[np.argsort(kept - exact, kind="stable")[: total - int(kept.sum())]] += 1  # the largest remainders
    return [int(number) for number in sizes - kept]


def lamp(name: str, score: Tensor, gone: Tensor | None = None) -> Tensor:
    """Return layer-adaptive scores s^2 / (sum of the squares of the scores of the layer that are not smaller), float64.

    Of equal scores the earlier counts as the smaller. Weights that are `gone` count as scores of 0. A ValueError is
    raised for scores that are negative or infinite, because the formula takes them for magnitudes.

    References
    ----------
    Lee et al. (2021), "Layer-adaptive sparsity for the magnitude-based pruning", equation 1.
    """
    magnitudes = score.detach().double().flatten()  # float64 because the sum has millions of squares
    if gone is not None:
        magnitudes = magnitudes.masked_fill(gone.to(score.device).flatten(), 0.0)
    if not bool(((magnitudes >= 0) & magnitudes.isfinite()).all()):
        raise ValueError(f"scores[{name!r}] must be finite and at least 0, as magnitudes are, for allocation 'lamp'")
    squares, order = magnitudes.square().sort(stable=True)
    rest = squares.flip(0).cumsum(0).flip(0)
    found = torch.zeros_like(squares)
    found[order] = torch.where(rest > 0, squares / rest.clamp_min(torch.finfo(rest.dtype).tiny), 0.0)
    return found.reshape(score.shape)


def _covers(key: str, name: str) -> bool:
    return name == key or name.startswith(f"{key}.")
