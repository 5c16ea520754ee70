"""Paper B: the loss around a network before it is pruned and after (claim of flatter minima)."""

import math
from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from ccprune.flatness import SliceResult
from replication.figures.interactive._drawing import surfaces
from replication.figures.interactive._figure import Interactive, dropdown, increasing, slider


def loss_surface(
    before: SliceResult,
    after: Mapping[str, Mapping[float, SliceResult]],
    *,
    top: float,
    before_name: str = "before pruning",
) -> Interactive:
    """Loss on a plane of two directions around a network before pruning, and after it by a method and to a sparsity.

    Parameters
    ----------
    before : SliceResult
        From `flatness.slice_2d`.
    after : {method: {sparsity: SliceResult}}
        The same after pruning, on the same coordinates and data, every method to the same sparsities.
    top : float
        Losses are drawn up to here; one scale for all, so that pictures can be compared.
    before_name : str
        What `before` is.

    Returns
    -------
    Interactive
        With the knobs "method" and "sparsity"; it begins at the first method and the middle sparsity.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    if not 0 < top < math.inf:
        raise ValueError(f"top must be a finite loss above 0, got {top!r}")
    if not after:
        raise ValueError("after must name at least one method")
    methods = list(after)
    levels = increasing(f"after[{methods[0]!r}]", sorted(after[methods[0]]))
    _check_plane("before", before, before)
    for method, planes in after.items():
        if sorted(planes) != levels:
            raise ValueError(f"after[{method!r}] must have the sparsities {levels}, got {sorted(planes)}")
        for level, plane in planes.items():
            if not 0 <= level < 1:
                raise ValueError(f"after[{method!r}] must have sparsities from 0 to below 1, got {level!r}")
            _check_plane(f"after[{method!r}][{level!r}]", plane, before)

    def draw(*, method: str, sparsity: float) -> Figure:
        name = f"{method}, sparsity {sparsity:g}"
        return surfaces({before_name: before, name: after[method][sparsity]}, top=top)

    return Interactive(
        draw,
        {
            "method": dropdown("method", methods, methods[0]),
            "sparsity": slider("sparsity", [(f"{level:g}", level) for level in levels], levels[len(levels) // 2]),
        },
    )


def _check_plane(name: str, plane: SliceResult, like: SliceResult) -> None:
    if plane.losses.ndim != 2:
        raise ValueError(f"{name} must be of slice_2d, got losses of shape {tuple(plane.losses.shape)}")
    if not torch.equal(plane.coordinates, like.coordinates) or plane.samples != like.samples:
        raise ValueError(f"{name} must have the coordinates and the {like.samples} samples of before")
