"""Largest distance of two models' outputs: over given inputs, and over a ball by search, a lower bound."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ccprune._util.checks import require_at_least

# Random points evaluated for each start of an ascent.
_SAMPLE = 16


@dataclass(frozen=True)
class SampleMaximum:
    """Largest distance over given inputs, and the index of that input."""

    distance: float
    index: int


@dataclass(frozen=True, eq=False)
class BallMaximum:
    """Result of `largest_in_ball`.

    Attributes
    ----------
    distance : float
        Largest distance that was found, a lower bound of the maximum over the ball.
    point : Tensor (d,)
        Its input.
    reached : Tensor (starts,)
        Distance at the end of each ascent. If most agree, more starts will hardly find a larger one.
    sampled : float
        Largest distance over the random sample, before the ascents.
    """

    distance: float
    point: Tensor
    reached: Tensor
    sampled: float


def largest_on(dense: nn.Module, pruned: nn.Module, x: Tensor) -> SampleMaximum:
    """Return the largest distance of the models' outputs over inputs x (n, ...), computed in float64 and eval mode.

    The index is the first one if several distances are equal. ValueError is raised if there are no inputs, the shapes
    of the outputs differ, or outputs are not finite.
    """
    if len(x) == 0:
        raise ValueError("x must hold at least one input, got none")
    with torch.no_grad():
        distances = _distances(*_in_float64(dense, pruned), x.double())
    return SampleMaximum(float(distances.max()), int(distances.argmax()))


def largest_in_ball(
    dense: nn.Module,
    pruned: nn.Module,
    *,
    inputs: int,
    radius: float = 1.0,
    starts: int = 64,
    steps: int = 100,
    seed: int = 0,
) -> BallMaximum:
    """Search for the largest distance of the outputs over inputs with a norm of at most `radius` (a lower bound).

    The search is projected gradient ascent in float64 from all starts at once. Half of the starts are uniform random
    points of the ball, the others are the best of a sample of 16 points per start. A step along the gradient is
    projected onto the ball and accepted if the distance grows. The next step of this start is then 1.5 times as long,
    otherwise half as long. `upper_bound` bounds the maximum from above.

    Parameters
    ----------
    dense, pruned : Module
        Models with inputs (n, d), which are not changed.
    inputs : int
        Number of inputs d.
    radius : float, default 1.0
    starts, steps : int
        Numbers of starts, at least 2, and of steps.
    seed : int, default 0

    Raises
    ------
    ValueError
        If the radius is not positive and finite or a number is too small, and as `largest_on`.
    """
    check_radius(radius)
    require_at_least(1, inputs=inputs, steps=steps)
    require_at_least(2, starts=starts)
    f, g = _in_float64(dense, pruned)
    device = next((parameter.device for parameter in f.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(_SAMPLE * starts, inputs, generator=generator, dtype=torch.float64)
    depth = torch.rand(_SAMPLE * starts, 1, generator=generator, dtype=torch.float64) ** (1 / inputs)
    sample = (radius * depth * drawn / drawn.norm(dim=1, keepdim=True)).to(device)
    with torch.no_grad():
        distances = _distances(f, g, sample)
    best = sample[distances.argsort(descending=True)[: starts - starts // 2]]
    x, length = torch.cat([sample[: starts // 2], best]), sample.new_full((starts, 1), radius / 4)
    value, slope = _ascent(f, g, x)
    for _ in range(steps):
        moved = x + length * slope
        moved = moved * (radius / moved.norm(dim=1, keepdim=True)).clamp_max(1.0)
        there, slope_there = _ascent(f, g, moved)
        better = (there > value)[:, None]
        x, slope = torch.where(better, moved, x), torch.where(better, slope_there, slope)
        value, length = torch.maximum(value, there), torch.where(better, 1.5 * length, length / 2)
    return BallMaximum(float(value.max()), x[value.argmax()], value, float(distances.max()))


def check_radius(radius: float) -> None:
    """Raise ValueError unless the radius is positive and finite."""
    if not 0 < radius < math.inf:
        raise ValueError(f"radius must be positive and finite, got {radius!r}")


def _in_float64(*given: nn.Module) -> list[nn.Module]:
    """Return copies in float64 and eval mode, so that the models are not changed."""
    return [copy.deepcopy(model).double().eval().requires_grad_(False) for model in given]


def _distances(f: nn.Module, g: nn.Module, x: Tensor) -> Tensor:
    ours, theirs = f(x), g(x)
    if ours.shape != theirs.shape:
        raise ValueError(
            f"pruned must give outputs of shape {tuple(ours.shape)} as dense does, got {tuple(theirs.shape)}"
        )
    distances = (ours - theirs).flatten(1).norm(dim=1)
    if not bool(distances.isfinite().all()):
        raise ValueError("dense and pruned must give finite outputs, got infinite or NaN")
    return distances


def _ascent(f: nn.Module, g: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distances (n,) at x (n, d) and their normalised gradients (n, d), 0 where the gradient is 0."""
    x = x.detach().requires_grad_()
    distances = _distances(f, g, x)
    (slope,) = torch.autograd.grad(distances.sum(), x)
    return distances.detach(), slope / slope.norm(dim=1, keepdim=True).clamp_min(torch.finfo(slope.dtype).tiny)
