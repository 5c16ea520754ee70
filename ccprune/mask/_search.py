"""Search of a sparsity for each layer by the loss on held-out samples."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ccprune._util.checks import require_at_least, require_fraction
from ccprune._util.inputs import Inputs, batches, call, count_samples, mean_loss
from ccprune._util.modes import eval_mode
from ccprune.mask._allocation import protected_names
from ccprune.mask._core import Mask
from ccprune.mask._select import drop_lowest, pruned_count

if TYPE_CHECKING:
    import pandas as pd


def sensitivity(
    model: nn.Module,
    scores: Mapping[str, Tensor],
    x: Inputs,
    y: Any = None,
    *,
    loss: Callable[[Any, Any], Tensor] = cross_entropy,
    sparsities: Sequence[float] = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99),
) -> "pd.DataFrame":
    """Evaluate the loss with one parameter pruned at a time (Han et al., 2015, section 5 and figure 6).

    Parameters
    ----------
    model : Module
        In eval mode during the evaluation. It is not changed.
    scores : mapping of name to Tensor
        Scores, larger = keep.
    x, y : Tensor (n, ...), Tensor (n,)
        Held-out samples; x may be a tuple or mapping of the model's arguments, or an iterable of batches (x, y).
    loss : callable
        Maps (outputs, y) to the mean loss.
    sparsities : sequence of float
        Rising sparsities of the parameter.

    Returns
    -------
    DataFrame
        Mean loss: one row per parameter, one column per sparsity, the first of which is 0.

    Raises
    ------
    ValueError
        For sparsities that do not rise within (0, 1], scores that do not fit the model, and a loss that is not finite.

    Examples
    --------
    >>> model, x = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), torch.randn(20, 4)
    >>> scores = {f"{layer}.weight": model[layer].weight.detach().abs() for layer in (0, 1)}
    >>> table = sensitivity(model, scores, x, torch.zeros(20, dtype=torch.int64), sparsities=[0.5, 1.0])
    >>> list(table.index), list(table.columns)
    (['0.weight', '1.weight'], [0.0, 0.5, 1.0])
    """
    import pandas as pd  # imported here because it is slow to import

    grid = [0.0, *(float(s) for s in sparsities)]
    if len(grid) < 2 or any(b <= a for a, b in zip(grid, grid[1:], strict=False)) or grid[-1] > 1:
        raise ValueError(f"sparsities must rise within (0, 1], got {sparsities!r}")
    data = [*batches(x, y)]  # read many times

    def mean(mask: Mask) -> float:
        with mask.applied(model), eval_mode(model), torch.no_grad():
            parts = [(float(mean_loss(loss, call(model, inputs), t)), count_samples(inputs)) for inputs, t in data]
        return sum(value * count for value, count in parts) / sum(count for _, count in parts)

    dense = mean(Mask({name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}))
    rows = {
        name: [dense, *(mean(Mask({name: drop_lowest(score, pruned_count(s, score.numel()))})) for s in grid[1:])]
        for name, score in scores.items()
    }
    if not np.isfinite([*rows.values()]).all():
        raise ValueError("loss must be finite on x and y for each pruned parameter")
    return pd.DataFrame.from_dict(rows, orient="index", columns=grid).rename_axis("parameter")


def allocate(
    table: "pd.DataFrame",
    scores: Mapping[str, Tensor],
    *,
    sparsity: float,
    protect: Iterable[str] = (),
    min_per_layer: int = 0,
) -> dict[str, float]:
    """Allocate a sparsity to the parameters so that the sum of the increases of their losses is smallest.

    The losses are those of `sensitivity`, linear between its sparsities, without what lies above the lower convex hull
    of a parameter. The parameters are pruned in the order of the increase per weight, which is optimal for a sum
    (Shoham and Gersho, 1988, "Efficient bit allocation for an arbitrary set of quantizers"). Parameters with equal
    increases share it. The sum ignores that layers interact: compare the mask with one of another allocation.

    Parameters
    ----------
    table : DataFrame
        From `sensitivity`, with the parameters of the scores.
    scores : mapping of name to Tensor
        Scores, of which the sizes are used.
    sparsity : float
        Pruned fraction of all weights.
    protect : collection of str
        Parameters or modules that are not pruned.
    min_per_layer : int
        Smallest number of weights that each parameter keeps.

    Returns
    -------
    {name: float}
        Sparsities for `Mask.from_scores`, with which exactly floor(sparsity * weights + 1/2) weights are pruned.

    Raises
    ------
    ValueError
        For another table, and for a sparsity above what the table's largest one, `protect` and `min_per_layer` allow.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = {"a": torch.rand(10, 10), "b": torch.rand(10, 10)}
    >>> table = pd.DataFrame([[1.0, 1.1, 2.0], [1.0, 1.2, 1.3]], index=["a", "b"], columns=[0.0, 0.5, 0.9])
    >>> allocate(table, scores, sparsity=0.6)
    {'a': 0.5, 'b': 0.7}
    """
    require_fraction("sparsity", sparsity)
    require_at_least(0, min_per_layer=min_per_layer)
    if [*table.index] != [*scores]:
        raise ValueError("table must have the parameters of the scores, in their order, as sensitivity returns it")
    safe = protected_names(scores, protect)
    sizes = {name: score.numel() for name, score in scores.items()}
    segments = []
    for name, losses in zip(sizes, table.to_numpy(), strict=True):
        counts = [pruned_count(s, sizes[name]) for s in table.columns]
        most = 0 if name in safe else min(counts[-1], max(0, sizes[name] - min_per_layer))
        points = {c: float(np.interp(c, counts, losses)) for c in sorted({most, *counts}) if c <= most}
        segments += [(slope, name, size) for slope, size in _hull([*points.items()])]
    left = pruned_count(sparsity, sum(sizes.values()))
    if left > sum(size for *_, size in segments):
        largest = sum(size for *_, size in segments) / sum(sizes.values())
        raise ValueError(f"sparsity must be at most {largest}, by the table, protect and min_per_layer, got {sparsity}")
    pruned = dict.fromkeys(sizes, 0)
    for _, tied in groupby(sorted(segments, key=lambda segment: segment[0]), key=lambda segment: segment[0]):
        parts = [(name, size) for _, name, size in tied]
        room = sum(size for _, size in parts)
        take = min(left, room)
        more = take - sum(take * size // room for _, size in parts)
        for i, (name, size) in enumerate(parts):
            pruned[name] += take * size // room + (i < more)
        left -= take
    return {name: count / sizes[name] for name, count in pruned.items()}


def _hull(points: Sequence[tuple[int, float]]) -> list[tuple[float, int]]:
    """Return (slope, length) of the segments of the lower convex hull of points with rising abscissas."""
    hull: list[tuple[int, float]] = []
    for c, f in points:
        while len(hull) > 1 and (f - hull[-2][1]) * (hull[-1][0] - hull[-2][0]) <= (hull[-1][1] - hull[-2][1]) * (
            c - hull[-2][0]
        ):
            hull.pop()
        hull.append((c, f))
    return [((b[1] - a[1]) / (b[0] - a[0]), b[0] - a[0]) for a, b in zip(hull, hull[1:], strict=False)]
