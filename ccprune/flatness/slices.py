"""Loss on lines and planes through the weights."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ccprune._util.checks import differing, require_at_least
from ccprune.flatness._landscape import Data, Landscape, Loss, Weights, measuring
from ccprune.mask import Mask
from ccprune.mask._prunable import Chosen


@dataclass(frozen=True, eq=False)
class SliceResult:
    """Result of `slice_1d` and `slice_2d`; the middle point is the unperturbed model.

    Attributes
    ----------
    coordinates : Tensor (points,)
        Positions along each direction, float64 on the CPU.
    losses : Tensor (points,) or (points, points)
        Mean losses, float64 on the CPU; `losses[i, j]` is at coordinates[i] along the first direction and at
        coordinates[j] along the second.
    samples : int
        Number of samples.
    """

    coordinates: Tensor
    losses: Tensor
    samples: int


def slice_1d(
    model: nn.Module,
    loss: Loss,
    data: Data,
    *,
    radius: float,
    points: int = 21,
    direction: Mapping[str, Tensor] | None = None,
    mask: Mask | None = None,
    seed: int = 0,
    only: Chosen | None = None,
    skip: Chosen = (),
) -> SliceResult:
    """Mean losses at weights + a * direction for evenly spaced values of a from -radius to radius.

    Parameters
    ----------
    model, loss, data : Module, callable, and (x, y) or batches of such pairs
        `loss(model(x), y)` is the mean loss of a batch.
    radius : float
        Largest value of a, above 0.
    points : int, default 21
        Number of values of a, odd and at least 3.
    direction : mapping of prunable parameter name to Tensor, optional
        Such as an eigenvector or the difference from another minimum; only its remaining weights are used. None: a
        Gaussian direction of this `seed` in which each filter's part has the norm of the filter's remaining weights (Li
        et al., 2018, section 4), so that a is a relative change.
    mask, only, skip : Mask, and collections of str and Module
        Weights that are perturbed: those that the mask keeps, in the modules or parameters `only` and not in `skip`.
    seed : int

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid (the message names it), and if the loss is not finite.

    Examples
    --------
    >>> layer, data = nn.Linear(1, 1, bias=False), (torch.ones(1, 1), torch.zeros(1, 1))
    >>> layer.weight.data = torch.tensor([[2.0]])
    >>> direction = {"weight": torch.tensor([[1.0]])}
    >>> found = slice_1d(layer, nn.functional.mse_loss, data, radius=1, points=3, direction=direction)
    >>> found.losses.tolist()
    [1.0, 4.0, 9.0]
    """
    coordinates = _coordinates(radius, points)
    with measuring(model, loss, data, mask, only, skip) as landscape:
        return _slice(landscape, coordinates, None if direction is None else [direction], 1, seed)


def slice_2d(
    model: nn.Module,
    loss: Loss,
    data: Data,
    *,
    radius: float,
    points: int = 11,
    directions: tuple[Mapping[str, Tensor], Mapping[str, Tensor]] | None = None,
    mask: Mask | None = None,
    seed: int = 0,
    only: Chosen | None = None,
    skip: Chosen = (),
) -> SliceResult:
    """Mean losses at points x points positions on the plane of two directions; see `slice_1d`.

    Parameters
    ----------
    model, loss, data : Module, callable, and (x, y) or batches of such pairs
        `loss(model(x), y)` is the mean loss of a batch.
    radius : float
        Largest coordinate, above 0.
    points : int, default 11
        Number of coordinates along each direction, odd and at least 3.
    directions : pair of {prunable parameter name: Tensor}, optional
        By default two random directions, the first of which is that of `slice_1d` with the same seed.
    mask, only, skip : Mask, and collections of str and Module
        Weights that are perturbed: those that the mask keeps, in the modules or parameters `only` and not in `skip`.
    seed : int

    Examples
    --------
    >>> model, data = nn.Linear(2, 1), (torch.randn(4, 2), torch.zeros(4, 1))
    >>> one, two = ({"weight": row} for row in torch.eye(2).unsqueeze(1))
    >>> found = slice_2d(model, nn.functional.mse_loss, data, radius=1, points=3, directions=(one, two))
    >>> bool((found.losses[0] - 2 * found.losses[1] + found.losses[2] > 0).all())  # convex in the first weight
    True
    """
    coordinates = _coordinates(radius, points)
    with measuring(model, loss, data, mask, only, skip) as landscape:
        return _slice(landscape, coordinates, directions, 2, seed)


def _coordinates(radius: float, points: int) -> Tensor:
    if not 0 < radius < math.inf:
        raise ValueError(f"radius must be finite and above 0, got {radius!r}")
    require_at_least(3, points=points)
    if points % 2 == 0:
        raise ValueError(f"points must be odd, so that the model itself is one of them, got {points}")
    half = points // 2
    # With this order of operations the middle is exactly 0 and the coordinates are exactly symmetric.
    return torch.arange(-half, half + 1, dtype=torch.float64) * radius / half


def _slice(
    landscape: Landscape, coordinates: Tensor, given: Sequence[Mapping[str, Tensor]] | None, count: int, seed: int
) -> SliceResult:
    if given is None:
        generator = torch.Generator().manual_seed(seed)
        directions = [landscape.random_direction(generator) for _ in range(count)]
    elif len(given) != count:
        raise ValueError(f"directions must be {count}, got {len(given)}")
    else:
        directions = [_fitting(landscape, direction) for direction in given]
    losses = torch.empty([len(coordinates)] * len(directions), dtype=torch.float64)
    for index in itertools.product(range(len(coordinates)), repeat=len(directions)):
        offset = {
            name: sum(float(coordinates[i]) * step[name] for i, step in zip(index, directions, strict=True))
            for name in landscape.weights
        }
        losses[index] = landscape.value(offset)
    return SliceResult(coordinates, losses, landscape.samples)


def _fitting(landscape: Landscape, direction: Mapping[str, Tensor]) -> Weights:
    expected = {name: tuple(weight.shape) for name, weight in landscape.weights.items()}
    got = {name: tuple(step.shape) for name, step in direction.items()}
    if got != expected:
        raise ValueError(f"direction must have the model's prunable weights; they differ in {differing(expected, got)}")
    return {
        name: torch.where(keep, direction[name].to(landscape.device, landscape.dtype), 0.0)
        for name, keep in landscape.keep.items()
    }
