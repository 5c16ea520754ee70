"""Loss surface of paper B around a network before and after pruning (claim of flatter minima)."""

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
    """Show the loss on a plane around a network before pruning, and after pruning by a selected method and sparsity.

    Parameters
    ----------
    before : SliceResult
        Plane before pruning, from `flatness.slice_2d`.
    after : mapping of method to {sparsity: SliceResult}
        Planes after pruning, on the same coordinates and data, with the same sparsities for all methods.
    top : float
        Upper limit of the colour scale, which is the same for all planes.
    before_name : str, default "before pruning"
        Label of `before`.

    Returns
    -------
    Interactive
        With the controls "method" and "sparsity", initially the first method and the middle sparsity.

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
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
        raise ValueError(f"{name} must be from slice_2d, got losses of shape {tuple(plane.losses.shape)}")
    if not torch.equal(plane.coordinates, like.coordinates) or plane.samples != like.samples:
        raise ValueError(f"{name} must have the coordinates and the {like.samples} samples of before")
