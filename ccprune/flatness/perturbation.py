"""Loss under random and worst-case weight perturbations of a relative size, and on slices of the loss surface."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ccprune._util.checks import at_least, differing
from ccprune.flatness._landscape import Data, Landscape, Loss, Weights, measuring
from ccprune.mask import Mask

MODES = ("random", "worst")


@dataclass(frozen=True, eq=False)
class SharpnessResult:
    """Result of `sharpness`.

    Attributes
    ----------
    increase : float
        "random": mean loss increase over the draws. "worst": the largest increase found, at least 0; a lower bound.
    stderr : float or None
        Standard error of the mean over the draws; None for "worst", which is a search and not a sample.
    values : Tensor (draws,) or (steps,)
        Increase for each draw or after each step; float64 on the CPU.
    loss : float
        Loss of the unperturbed model.
    radius : float
        Relative size of the perturbations.
    mode : str
        "random" or "worst".
    weights, samples : int
        Number of remaining weights, and number of samples over which the loss is averaged.
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
    """Mean losses on a line or a plane; the middle point is the unperturbed model.

    Attributes
    ----------
    coordinates : Tensor (points,)
        Coordinates along each direction; float64 on the CPU.
    losses : Tensor (points,) or (points, points)
        `losses[i, j]` is the loss at coordinates[i] along the first direction and coordinates[j] along the second;
        float64 on the CPU.
    samples : int
        Number of samples over which the loss is averaged.
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
    """Increase of the mean loss under perturbations of `radius` times the norm of each filter's remaining weights.

    Biases, norm parameters, pruned weights and filters that are 0 are not perturbed.

    Parameters
    ----------
    model, loss, data, mask
        As in `top_eigenvalues`.
    radius : float
        Length of the perturbation of each filter, relative to the norm of its remaining weights; at least 0.
    mode : str, default "random"
        "random": mean over Gaussian directions, with each filter's part scaled to the radius (Li et al., 2018, section
        4). The Gaussian numbers of a weight depend on the seed but not on the mask or the values of the model, so that
        differences can be paired.
        "worst": largest loss found when no filter is perturbed beyond the radius (Keskar et al., 2017; in units of
        filter norms as in Kwon et al., 2021). The search starts at a random point. Each step moves to the maximum of
        the linearised loss, where each filter's gradient is scaled to the full length (Foret et al., 2021, equation 2,
        filter by filter). Where the loss is convex, no step decreases it. The result is a lower bound of the maximum.
    draws : int, default 10
        Number of directions for "random", at least 2.
    steps : int, default 10
        Number of steps for "worst".
    seed : int, default 0
        Seed of the directions.

    Raises
    ------
    TypeError, ValueError
        As `top_eigenvalues`; ValueError also if the radius is negative or not finite, if there are fewer than 2 draws,
        or if the loss is not finite at a perturbed point.
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
    """Mean losses at weights + a * direction for evenly spaced values of a from -radius to radius.

    Parameters
    ----------
    model, loss, data, mask
        As in `top_eigenvalues`.
    radius : float
        Largest value of a, above 0.
    points : int, default 21
        Number of values of a, odd and at least 3.
    direction : {prunable parameter name: Tensor}, optional
        Direction, for instance an eigenvector or the difference to another minimum. It is restricted to the remaining
        weights and otherwise used unchanged. None: a Gaussian direction in which each filter's part has the norm of the
        filter's remaining weights (Li et al., 2018, section 4), so that a is a relative change.
    seed : int, default 0
        Seed of the Gaussian direction.

    Raises
    ------
    TypeError, ValueError
        As `sharpness`; ValueError also if the direction does not fit the model.
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
    """Mean losses at points x points positions on the plane of two directions; see `slice_1d`.

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
    # With this order of operations the middle is exactly 0 and the coordinates are exactly symmetric.
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
        raise ValueError(f"direction must have the model's prunable weights, not so for {differing(expected, got)}")
    return {
        name: torch.where(keep, direction[name].to(landscape.device, landscape.dtype), 0.0)
        for name, keep in landscape.keep.items()
    }


def _times(factor: float, direction: Weights) -> Weights:
    return {name: factor * step for name, step in direction.items()}
