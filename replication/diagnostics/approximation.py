"""How well a pruned network approximates the dense one: the epsilon of LEGCNet's theorem 3.1, measured.

The theorem promises that some sparse network stays within epsilon of a dense one on the unit ball. Here the distance is
measured for the sparse networks that pruning in fact gives: over given inputs exactly, over a ball from below (a point
found by search) and, for one hidden layer of sigmoids, from above (a bound that no point can exceed).

Distances are Euclidean, of the outputs, so that probabilities or sigmoids of o units are at most sqrt(o) apart.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ccprune._util.checks import at_least
from replication.data import Dataset
from replication.diagnostics._ball_bound import largest_possible, layers_of
from replication.legcnet import procedure as legcnet
from replication.legcnet.runs import run
from replication.networks import models
from replication.networks.ensemble import MLPBatch, initialise
from replication.networks.masks import remove_lowest, remove_random

WIDTHS = (4, 8, 16, 32, 64, 128, 256, 512)
# Random points looked at for each start of an ascent.
_SAMPLE = 16
# Spawn key of the random masks, far from those of initialisations, which are their numbers.
_MASK_KEY = 2_000_000


@dataclass(frozen=True)
class SampleMaximum:
    """Largest distance over given inputs, and the index of the input."""

    distance: float
    index: int


@dataclass(frozen=True, eq=False)
class BallMaximum:
    """Outcome of `largest_in_ball`.

    Attributes
    ----------
    distance : float
        The largest found: a lower bound of the true maximum over the ball.
    point : Tensor (d,)
        Where it was found.
    reached : Tensor (starts,)
        What each start came to. When most agree, more starts will hardly find more.
    sampled : float
        The largest over the random sample, before any ascent.
    """

    distance: float
    point: Tensor
    reached: Tensor
    sampled: float


def largest_on(dense: nn.Module, pruned: nn.Module, x: Tensor) -> SampleMaximum:
    """Largest distance of the two models' outputs on inputs x (n, ...), computed in float64 and eval mode.

    The first index where several are equal. Raises ValueError for no inputs, for outputs of different shapes and for
    outputs that are not finite.
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
    """Largest distance of the outputs found over inputs (d,) with a norm of at most `radius`: a lower bound.

    Projected gradient ascent in float64, all starts at once. Half of the `starts` are points drawn evenly from the
    ball, the others the best of a sample of 16 for each start. A step goes along the gradient, is projected back, and
    is taken if the distance grows; then the next one of this start is longer by half, otherwise half as long. `inputs`
    is d; the models take (n, d). `upper_bound` says how much more there can be.

    Raises ValueError for a radius that is not positive and finite, sizes below 1 (starts: 2), and as `largest_on`.
    """
    _check_radius(radius)
    at_least(1, inputs=inputs, steps=steps)
    at_least(2, starts=starts)
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


def upper_bound(dense: nn.Module, pruned: nn.Module, *, radius: float = 1.0, boxes: int = 1000) -> float:
    """No input with a norm of at most `radius` has outputs further apart than this (but for rounding).

    Both models are `nn.Sequential(Linear, Sigmoid, Linear)` of one shape, and may end in a Sigmoid or a Softmax.

    The ball is cut into boxes, the one with the largest bound first, until `boxes` have been bounded; with 1 the ball
    itself is bounded. More boxes cost time and bring the bound down to the maximum, faster for fewer inputs.

    Why it holds, on one box. Hidden unit j has inputs z_j and z'_j in the two models. Their ranges over the box, and
    that of z_j - z'_j, are known: an affine function w.x + b has the range b +- radius |w| on the ball, and b + w.c +-
    |w|.half on a box around c. For any slope s, sigmoid(z) = s z + r(z), where r has a range in closed form (its
    derivative vanishes where sigmoid' = s), and sigmoid(z) - sigmoid(z') = s (z - z') + e (z - z') with e between the
    least and the greatest sigmoid' - s there (mean value theorem). Put into v sigmoid(z) - v' sigmoid(z') =
    (v - v') sigmoid(z) + v' (sigmoid(z) - sigmoid(z')), the parts with s add up, over all hidden units, to one affine
    function of x, whose range is known, and the rest to intervals. The rest taken apart, v r(z) - v' r(z'), is a second
    such bound; slopes s = 0 and s in the middle of sigmoid' give two of each, and the best of them counts. That bounds
    the difference before the output unit. A sigmoid turns it into the largest rise over a stretch so long, which is
    that around 0, or the nearest to it that the two networks' own ranges allow; softmax is 1/2-Lipschitz, which
    leaves a gap that boxes do not close. Equal models have the bound 0.

    Raises TypeError for other models, ValueError for models of different shapes and as `largest_in_ball`.
    """
    _check_radius(radius)
    (f, output), (g, other) = (layers_of(model, name) for model, name in ((dense, "dense"), (pruned, "pruned")))
    if output != other or [p.shape for p in vars(f).values()] != [p.shape for p in vars(g).values()]:
        raise ValueError(f"pruned must have the layers of dense, got {pruned} and {dense}")
    return largest_possible(f, g, output=output, radius=radius, boxes=boxes)


def by_width(
    data: Dataset,
    settings: legcnet.Settings,
    *,
    widths: Sequence[int] = WIDTHS,
    seeds: int = 5,
    seed: int = 0,
    method: str = "pt",
    radius: float = 1.0,
    boxes: int = 500,
) -> pd.DataFrame:
    """Epsilon against hidden width, for LEGCNet's masks ("pt" or "ft") and random and magnitude at the same count.

    Every network is trained as paper A does, to the benchmark or the end of the budget. A pruned network is
    "retrained" from its dense twin's initial weights under the mask (what the paper uses), or is the dense twin "cut":
    trained, pruned and left so (what the theorem speaks of, a sparse part of the given network). Magnitudes are those
    of the trained dense network. The rows of method "dense" are the noise floor: the distance to a dense network from
    another initialisation.

    One row per width, seed, method and `when` ("retrained", "cut"; "other initialisation" for dense): weights, removed,
    reached (both networks came to the benchmark), epsilon_test (test inputs), epsilon_ball and epsilon_ball_upper
    (`largest_in_ball`, `upper_bound` with `boxes`), radius, and test_in_ball, the share of test inputs in the ball. The
    theorem's radius is 1, in units of the scaled inputs, and that ball may hold few of them or none: a second run with
    the largest norm of the inputs tells about where data are. A mask that removes nothing has epsilon 0. Raises
    ValueError naming the argument.
    """
    _check_radius(radius)
    at_least(1, seeds=seeds, boxes=boxes)
    for width in widths:
        at_least(1, widths=width)
    state = int(np.random.SeedSequence(seed, spawn_key=(_MASK_KEY,)).generate_state(1)[0])
    inside = float((data.x_test.norm(dim=1) <= radius).double().mean())
    rows = []
    for width in widths:
        here = replace(settings, hidden=width)
        sizes = (data.x_train.shape[1], width, data.y_train.shape[1])
        everyone = initialise(sizes, 2 * seeds, seed=seed, scale=here.scale, output=here.output)
        first, second = everyone.select(range(seeds)), range(seeds, 2 * seeds)
        count = everyone.weights.shape[1]
        trained = run(data, here, everyone, torch.ones(2 * seeds, count, dtype=torch.bool))
        dense, reached = trained.ensemble.select(range(seeds)), trained.reached[:seeds]
        keep = {method: legcnet.masks(first, data, here, method=method)}
        removed = (~keep[method]).sum(1)
        keep["random"] = remove_random(removed, count, seed=state)
        keep["magnitude"] = remove_lowest(dense.weights.abs(), removed)
        twins = [
            ("dense", "other initialisation", trained.ensemble.select(second), trained.reached[second], 0 * removed)
        ]
        for name, mask in keep.items():
            again = run(data, here, first, mask)
            twins.append((name, "retrained", again.ensemble, again.reached, removed))
            twins.append((name, "cut", dense.with_weights(dense.weights * mask), reached, removed))
        for name, when, other, done, fewer in twins:
            for i in range(seeds):
                row = {"width": width, "seed": i, "method": name, "when": when, "weights": count}
                row |= {"removed": int(fewer[i]), "reached": bool(reached[i] & done[i])}
                row |= _epsilons(dense, other, i, data, radius=radius, seed=seed, boxes=boxes)
                rows.append(row | {"radius": radius, "test_in_ball": inside})
    return pd.DataFrame(rows)


def _epsilons(
    dense: MLPBatch, other: MLPBatch, index: int, data: Dataset, *, radius: float, seed: int, boxes: int
) -> dict[str, float]:
    pair = [models.from_ensemble(ensemble, index) for ensemble in (dense, other)]
    found = largest_in_ball(*pair, inputs=data.x_test.shape[1], radius=radius, seed=seed)
    return {
        "epsilon_test": largest_on(*pair, data.x_test).distance,
        "epsilon_ball": found.distance,
        "epsilon_ball_upper": upper_bound(*pair, radius=radius, boxes=boxes),
    }


def _check_radius(radius: float) -> None:
    if not 0 < radius < math.inf:
        raise ValueError(f"radius must be positive and finite, got {radius!r}")


def _in_float64(*given: nn.Module) -> list[nn.Module]:
    """Copies: the models themselves keep their dtype and mode."""
    return [copy.deepcopy(model).double().eval().requires_grad_(False) for model in given]


def _distances(f: nn.Module, g: nn.Module, x: Tensor) -> Tensor:
    ours, theirs = f(x), g(x)
    if ours.shape != theirs.shape:
        raise ValueError(
            f"pruned must give outputs of shape {tuple(ours.shape)} as dense does, got {tuple(theirs.shape)}"
        )
    distances = (ours - theirs).flatten(1).norm(dim=1)
    if not bool(distances.isfinite().all()):
        raise ValueError("dense and pruned must give finite outputs, got some that are not")
    return distances


def _ascent(f: nn.Module, g: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (n,) at x (n, d) and the directions (n, d), of length 1, in which they grow; 0 where they are 0."""
    x = x.detach().requires_grad_()
    distances = _distances(f, g, x)
    (slope,) = torch.autograd.grad(distances.sum(), x)
    return distances.detach(), slope / slope.norm(dim=1, keepdim=True).clamp_min(torch.finfo(slope.dtype).tiny)
