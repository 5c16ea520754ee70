"""Can an abrupt drop be told from a smooth one here? Re-fits of a curve, and simulated curves of known shape."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from replication.causal.phase_shift.change_point import FEWEST_POINTS, change_point


@dataclass(frozen=True)
class Robustness:
    """Re-fits of a curve without an end point or without a run: how many there are, and how many are still abrupt."""

    fits: int
    kept: int


def abrupt_robustness(sparsity: ArrayLike, accuracy: ArrayLike, *, axis: str = "sparsity", seed: int = 0) -> Robustness:
    """Is a drop still found abrupt without its first point, its last point, or any one run?

    Parameters
    ----------
    sparsity, accuracy, axis, seed
        As `change_point`. Re-fits that would have too few points, or no run, are left out.
    """
    points, runs = np.asarray(sparsity, dtype=float), np.asarray(accuracy, dtype=float)
    parts = []
    if len(points) > FEWEST_POINTS:
        parts += [(points[1:], runs[:, 1:]), (points[:-1], runs[:, :-1])]
    if len(runs) > 1:
        parts += [(points, np.delete(runs, i, axis=0)) for i in range(len(runs))]
    kept = sum(change_point(some, of, axis=axis, seed=seed).abrupt for some, of in parts)
    return Robustness(len(parts), kept)


def abrupt_power(
    sparsity: ArrayLike,
    *,
    runs: int,
    corner: float,
    drop: float,
    noise: float,
    axis: str = "sparsity",
    simulations: int = 100,
    seed: int = 0,
) -> float:
    """Share of simulated steep drops that `change_point` calls abrupt with these sparsities and as many runs.

    Each run is a plateau up to `corner`, then a straight fall by `drop` (along `axis`) to the last sparsity, with
    independent normal noise.

    Parameters
    ----------
    sparsity : (p,)
        Increasing sparsities.
    runs
        Runs of each simulated curve.
    corner
        Sparsity of the corner, within those given.
    drop, noise
        Size of the fall and standard deviation of the noise, in units of accuracy.
    axis, seed
        As `change_point`.
    simulations
        Curves drawn.
    """
    points, rng = np.asarray(sparsity, dtype=float), np.random.default_rng(seed)
    if not points[0] <= corner < points[-1]:
        raise ValueError(f"corner must lie between the first and the last sparsity, got {corner!r}")
    x, at = (points, corner) if axis == "sparsity" else (-np.log10(1 - points), -np.log10(1 - corner))
    curve = -drop * np.clip((x - at) / (x[-1] - at), 0, None)
    found = 0
    for number in range(simulations):
        drawn = curve + noise * rng.standard_normal((runs, len(points)))
        found += change_point(points, drawn, axis=axis, resamples=200, seed=number).abrupt
    return found / simulations
