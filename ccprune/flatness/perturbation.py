"""The loss away from the model's weights: under random and worst perturbations of a relative size, and on slices."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ccprune._util.checks import at_least
from ccprune.flatness._landscape import Data, Landscape, Loss, Weights, measuring
from ccprune.mask import Mask

MODES = ("random", "worst")


@dataclass(frozen=True, eq=False)
class SharpnessResult:
    """Outcome of `sharpness`.

    Attributes
    ----------
    increase : float
        "random": mean loss increase over the draws. "worst": the largest increase found, at least 0; a lower bound.
    stderr : float or None
        Standard error of the mean over the draws; None for "worst", a search and not a sample.
    values : Tensor (draws,) or (steps,)
        Increase for each draw or after each step; float64 on the CPU.
    loss : float
        Loss of the model as it is.
    radius : float
    mode : str
    weights, samples : int
        Weights that remain; samples the loss is averaged over.
    """

    increase: float
    stderr: float | None
    values: Tensor
    loss: float
    radius: float
    mode: str
    weights: int
    samples: int


@dataclass(frozen=True, eq=False)
class SliceResult:
    """Mean losses on a line (points,) or plane (points, points); the middle point is the model as it is.

    `losses[i, j]` belongs to coordinates[i] along the first direction and coordinates[j] along the second. Both
    float64 on the CPU.
    """

    coordinates: Tensor
    losses: Tensor
    samples: int


def sharpness(
    model: nn.Module,
    loss: Loss,
    data: Data,
    *,
    radius: float,
    mode: str = "random",
    draws: int = 10,
    steps: int = 10,
    mask: Mask | None = None,
    seed: int = 0,
) -> SharpnessResult:
    """Increase of the mean loss when each filter's remaining weights move by `radius` times their norm.

    "random": mean over `draws` Gaussian directions, each filter's part scaled to that length (Li et al., 2018, section
    4). A weight's Gaussian numbers depend on the seed, not on the mask or the model's values: differences can be
    paired.

    "worst": the largest loss when no filter moves further than that (Keskar et al., 2017; in units of filter norms, as
    Kwon et al., 2021), searched for in `steps` steps from a random start. A step goes to where the linearised loss is
    largest, each filter's gradient scaled to the full length (Foret et al., 2021, equation 2, filter by filter); where
    the loss is convex no step can lose. It finds a lower bound of the maximum.

    Biases, norm parameters, pruned weights and filters that are 0 do not move. Model, loss, data and mask as in
    `top_eigenvalues`, and so are the errors; ValueError also for a radius that is negative or not finite, fewer than 2
    draws, and a loss that is not finite at a perturbed point.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
    if not 0 <= radius < math.inf:
        raise ValueError(f"radius must be finite and at least 0, got {radius!r}")
    at_least(2, draws=draws)
    at_least(1, steps=steps)
    generator = torch.Generator().manual_seed(seed)
    with measuring(model, loss, data, mask) as landscape:
        found = []
        if mode == "random":
            for _ in range(draws):
                offset = _times(radius, landscape.random_direction(generator))
                found.append(landscape.value(offset) - landscape.base)
        else:
            offset = _times(radius, landscape.random_direction(generator))
            for _ in range(steps):
                offset = _times(radius, landscape.filter_normalised(landscape.gradient(offset)))
                found.append(landscape.value(offset) - landscape.base)
        values = torch.tensor(found, dtype=torch.float64)
        return SharpnessResult(
            increase=float(values.mean()) if mode == "random" else max(0.0, float(values.max())),
            stderr=float(values.std()) / draws**0.5 if mode == "random" else None,
            values=values,
            loss=landscape.base,
            radius=float(radius),
            mode=mode,
            weights=landscape.size,
            samples=landscape.samples,
        )


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
) -> SliceResult:
    """Mean losses at weights + a * direction for `points` values of a, evenly from -radius to radius.

    Without a direction a Gaussian one drawn by the seed, each filter's part as long as the filter's remaining weights
    (Li et al., 2018, section 4), so that a is a relative change. A direction given, {prunable parameter name: Tensor},
    is taken as it is on the remaining weights: an eigenvector, or the way to another minimum. Points must be odd.
    Errors as in `sharpness`; ValueError also for a direction that does not fit the model.
    """
    given = None if direction is None else [direction]
    return _slice(model, loss, data, given, dimensions=1, radius=radius, points=points, mask=mask, seed=seed)


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
) -> SliceResult:
    """Mean losses on the plane of two directions, points x points of them; see `slice_1d`.

    The first of two random directions is that of `slice_1d` with the same seed.
    """
    return _slice(model, loss, data, directions, dimensions=2, radius=radius, points=points, mask=mask, seed=seed)


def _slice(
    model: nn.Module,
    loss: Loss,
    data: Data,
    given: Sequence[Mapping[str, Tensor]] | None,
    *,
    dimensions: int,
    radius: float,
    points: int,
    mask: Mask | None,
    seed: int,
) -> SliceResult:
    if not 0 < radius < math.inf:
        raise ValueError(f"radius must be finite and above 0, got {radius!r}")
    at_least(3, points=points)
    if points % 2 == 0:
        raise ValueError(f"points must be odd, so that the model itself is one of them, got {points}")
    half = points // 2
    # In this order of operations the middle is exactly 0 and both sides are equal.
    coordinates = torch.arange(-half, half + 1, dtype=torch.float64) * radius / half
    with measuring(model, loss, data, mask) as landscape:
        if given is None:
            generator = torch.Generator().manual_seed(seed)
            directions = [landscape.random_direction(generator) for _ in range(dimensions)]
        else:
            if len(given) != dimensions:
                raise ValueError(f"directions must be {dimensions}, got {len(given)}")
            directions = [_fitting(landscape, direction) for direction in given]
        losses = torch.empty([points] * dimensions, dtype=torch.float64)
        for index in torch.cartesian_prod(*[torch.arange(points)] * dimensions).reshape(-1, dimensions).tolist():
            offset = {
                name: sum(float(coordinates[i]) * step[name] for i, step in zip(index, directions, strict=True))
                for name in landscape.weights
            }
            losses[tuple(index)] = landscape.value(offset)
        return SliceResult(coordinates=coordinates, losses=losses, samples=landscape.samples)


def _fitting(landscape: Landscape, direction: Mapping[str, Tensor]) -> Weights:
    expected = {name: tuple(weight.shape) for name, weight in landscape.weights.items()}
    got = {name: tuple(step.shape) for name, step in direction.items()}
    if got != expected:
        raise ValueError(f"direction must have the model's prunable weights {expected}, got {got}")
    return {
        name: torch.where(keep, direction[name].to(landscape.device, landscape.dtype), 0.0)
        for name, keep in landscape.keep.items()
    }


def _times(factor: float, direction: Weights) -> Weights:
    return {name: factor * step for name, step in direction.items()}
