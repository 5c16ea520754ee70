"""How flat the minima are that pruning leads to: measurements of pruned networks and of their dense twins."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import nn
from torch.nn.functional import cross_entropy

from ccprune import flatness
from ccprune.mask import Mask
from replication.causal.protocols import Point
from replication.data.images import Images

#: Measures that `measure` takes, with what larger means: less flat. "relative" ones take the filters' norms as units.
MEASURES = (
    "top_eigenvalue",
    "trace",
    "relative_top_eigenvalue",
    "relative_trace",
    "sharpness_random",
    "sharpness_worst",
)

#: Name of the weights of a dense network at the places that a pruned network keeps.
SAME_PLACES = "same places"

_BATCH = 250  # images whose activations are held at once; larger batches are not faster


@dataclass(frozen=True)
class Effort:
    """Effort of a measurement.

    Attributes
    ----------
    samples : int
        Number of training images.
    probes : int, default 10
        Number of Hutchinson's probes for the trace.
    draws : int, default 10
        Number of random directions.
    steps : int, default 5
        Number of ascent steps.
    radius : float, default 0.1
        Radius of perturbations, relative to the filters' norms.
    """

    samples: int
    probes: int = 10
    draws: int = 10
    steps: int = 5
    radius: float = 0.1


def measure(model: nn.Module, images: Images, mask: Mask | None, effort: Effort, *, seed: int) -> dict[str, float]:
    """Measure the flatness of a network on random training images.

    Parameters
    ----------
    model : Module
        The network.
    images : Images
        Images to draw from.
    mask : Mask or None
        The measures are those of the weights that it keeps; without it, of all weights.
    effort : Effort
        Effort of the measurement.
    seed : int
        Seed of the images, probes and directions.

    Returns
    -------
    dict of float
        `MEASURES`, the residuals of the largest eigenvalues, the traces' standard errors, and the loss on these images.
    """
    x, y = images.sample(effort.samples, seed=seed)
    data = list(zip(x.split(_BATCH), y.split(_BATCH), strict=True))
    problem = (model, cross_entropy, data)
    found: dict[str, float] = {}
    for prefix, scale in (("", "none"), ("relative_", "filter")):
        top = flatness.top_eigenvalues(*problem, mask=mask, scale=scale, tol=1e-2, seed=seed)
        total = flatness.trace(*problem, mask=mask, scale=scale, probes=effort.probes, seed=seed)
        found |= {f"{prefix}top_eigenvalue": float(top.values[0]), f"{prefix}residual": float(top.residuals[0])}
        found |= {f"{prefix}trace": total.estimate, f"{prefix}trace_stderr": total.stderr}
    options = {"mask": mask, "radius": effort.radius, "seed": seed}
    random = flatness.sharpness(*problem, mode="random", draws=effort.draws, **options)
    worst = flatness.sharpness(*problem, mode="worst", steps=effort.steps, **options)
    return found | {"sharpness_random": random.increase, "sharpness_worst": worst.increase, "loss": random.loss}


def measure_points(
    points: Iterable[tuple[int, str, Point]], images: Images, effort: Effort
) -> Iterator[tuple[int, str, Point, list[dict[str, object]]]]:
    """Measure every network, and beside each pruned one the dense network at the places that its mask keeps.

    At the same places the dense network's Hessian is the principal submatrix that belongs to the weights which the
    pruned network keeps: lower eigenvalues than the full one's need no pruning. Relative measures take the norms of
    the filters' parts at these places as units, as they do in the pruned network.

    Parameters
    ----------
    points : iterable of (seed, method, Point)
        As `runs.points` yields them, with "dense" as the first method.
    images : Images
        Measured on training images, drawn by the seed; accuracies are on the test images.
    effort : Effort

    Yields
    ------
    seed, method, point
        As they came.
    rows : list of dict
        seed, method, level, weights ("remaining" or "all"; of dense networks also "same places"), places (the method
        whose mask these places are from, else empty), test_accuracy, and what `measure` returns.

    Raises
    ------
    ValueError
        If a pruned network comes before the dense network of its seed and level.
    """
    dense: dict[tuple[int, float], tuple[Point, float]] = {}  # by seed and level: the network and its accuracy
    for seed, method, point in points:
        accuracy = images.evaluate(point.model).accuracy
        where = {"seed": seed, "method": method, "level": point.level, "places": "", "test_accuracy": accuracy}
        rows = [where | {"weights": "remaining"} | measure(point.model, images, point.mask, effort, seed=seed)]
        if method == "dense":
            dense[seed, point.level] = point, accuracy
            rows.append(rows[0] | {"weights": "all"})  # nothing is pruned: the same measurement
        elif (seed, point.level) not in dense:
            raise ValueError(f"points must have 'dense' as the first method of seed {seed}, got {method!r}")
        else:
            rows.append(where | {"weights": "all"} | measure(point.model, images, None, effort, seed=seed))
            twin, twin_accuracy = dense[seed, point.level]
            there = {"method": "dense", "weights": SAME_PLACES, "places": method, "test_accuracy": twin_accuracy}
            rows.append(where | there | measure(twin.model, images, point.mask, effort, seed=seed))
        yield seed, method, point, rows
