"""Loss under random and worst-case weight perturbations of a relative size."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ccprune._util.checks import require_at_least, require_one_of
from ccprune.flatness._landscape import Data, Loss, Weights, measuring
from ccprune.mask import Mask
from ccprune.mask._prunable import Chosen


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
    radius, mode : float, str
        Arguments of the call.
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
    only: Chosen | None = None,
    skip: Chosen = (),
) -> SharpnessResult:
    """Increase of the mean loss under perturbations of `radius` times the norm of each filter's remaining weights.

    Biases, norm parameters, pruned weights and filters that are 0 are not perturbed.

    Parameters
    ----------
    model, loss, data : Module, callable, and (x, y) or batches of such pairs
        `loss(model(x), y)` is the mean loss of a batch.
    radius : float
        Length of the perturbation of each filter, relative to the norm of its remaining weights; at least 0.
    mode : str, default "random"
        "random": mean over Gaussian directions, with each filter's part scaled to the radius (Li et al., 2018, section
        4). The Gaussian numbers of a weight depend on the seed but not on the mask or the values of the model, so that
        differences can be paired.
        "worst": largest loss found when no filter is perturbed beyond the radius (Keskar et al., 2017; in units of
        filter norms as in Kwon et al., 2021), a lower bound of the maximum. The search starts at a random point. Each
        step moves to the maximum of the linearised loss, where each filter's gradient is scaled to the full length
        (Foret et al., 2021, equation 2, filter by filter).
    draws, steps : int, default 10
        Number of directions for "random", at least 2, and of steps for "worst".
    mask, only, skip : Mask, and collections of str and Module
        Weights that are perturbed: those that the mask keeps, in the modules or parameters `only` and not in `skip`.
    seed : int, default 0
        Seed of the directions.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid (the message names it), and if the loss is not finite at a perturbed point.

    Examples
    --------
    >>> layer, data = nn.Linear(1, 1, bias=False), (torch.ones(1, 1), torch.zeros(1, 1))
    >>> layer.weight.data = torch.tensor([[2.0]])
    >>> found = sharpness(layer, lambda out, y: out.square().mean(), data, radius=0.5, mode="worst")
    >>> round(found.increase, 3)  # from 2^2 to 3^2
    5.0
    """
    require_one_of(("random", "worst"), mode=mode)
    if not 0 <= radius < math.inf:
        raise ValueError(f"radius must be finite and at least 0, got {radius!r}")
    require_at_least(2, draws=draws)
    require_at_least(1, steps=steps)
    generator = torch.Generator().manual_seed(seed)
    with measuring(model, loss, data, mask, only, skip) as landscape:
        found, base = [], landscape.value({})
        if mode == "random":
            for _ in range(draws):
                offset = _times(radius, landscape.random_direction(generator))
                found.append(landscape.value(offset) - base)
        else:
            offset = _times(radius, landscape.random_direction(generator))
            for _ in range(steps):
                offset = _times(radius, landscape.filter_normalised(landscape.gradient(offset)))
                found.append(landscape.value(offset) - base)
        values = torch.tensor(found, dtype=torch.float64)
        return SharpnessResult(
            increase=float(values.mean()) if mode == "random" else max(0.0, float(values.max())),
            stderr=float(values.std()) / draws**0.5 if mode == "random" else None,
            values=values,
            loss=base,
            radius=float(radius),
            mode=mode,
            weights=landscape.size,
            samples=landscape.samples,
        )


def _times(factor: float, direction: Weights) -> Weights:
    return {name: factor * step for name, step in direction.items()}
