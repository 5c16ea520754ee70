"""Can an abrupt drop be told from a smooth one here? Re-fits of a curve, and simulated curves of known shape."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from replication.causal.phase_shift.change_point import FEWEST_POINTS, ChangePoint, change_point


@dataclass(frozen=True)
class Robustness:
    """Re-fits of a curve without an end point or without a run.

    Attributes
    ----------
    fits : int
        Number of re-fits.
    kept : int
        Number of re-fits that are still abrupt.
    """

    fits: int
    kept: int


def abrupt_robustness(sparsity: ArrayLike, accuracy: ArrayLike, *, axis: str = "sparsity") -> Robustness:
    """Count the re-fits without the first point, the last point, or any one run in which a drop is still found abrupt.

    Re-fits that would have too few points, or no run, are left out.

    Parameters
    ----------
    sparsity : array (p,)
        As in `change_point`.
    accuracy : array (s, p)
        As in `change_point`.
    axis : str, default "sparsity"
        As in `change_point`.

    Returns
    -------
    Robustness
    """
    points, runs = np.asarray(sparsity, dtype=float), np.asarray(accuracy, dtype=float)
    parts = []
    if len(points) > FEWEST_POINTS:
        parts += [(points[1:], runs[:, 1:]), (points[:-1], runs[:, :-1])]
    if len(runs) > 1:
        parts += [(points, np.delete(runs, i, axis=0)) for i in range(len(runs))]
    kept = sum(change_point(some, of, axis=axis).abrupt for some, of in parts)
    return Robustness(len(parts), kept)


def abrupt_power(
    sparsity: ArrayLike,
    *,
    runs: int,
    corner: float,
    drop: float,
    noise: ArrayLike,
    axis: str = "sparsity",
    simulations: int = 100,
    seed: int = 0,
) -> float:
    """Return the share of simulated steep drops that `change_point` calls abrupt at these sparsities.

    Each run is a plateau up to `corner`, then a straight fall by `drop` (along `axis`) to the last sparsity, with
    independent normal noise.

    Parameters
    ----------
    sparsity : array (p,)
        Increasing sparsities.
    runs : int
        Number of runs of each simulated curve.
    corner : float
        Sparsity of the corner, from the first sparsity up to below the last.
    drop : float
        Size of the fall, in units of accuracy.
    noise : float or array (p,)
        Standard deviation of the noise, in units of accuracy, at each sparsity.
    axis : str, default "sparsity"
        As in `change_point`.
    simulations : int, default 100
        Number of simulated curves.
    seed : int, default 0
        Seed of the noise.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the corner is outside its range.
    """
    points, rng = np.asarray(sparsity, dtype=float), np.random.default_rng(seed)
    if not points[0] <= corner < points[-1]:
        raise ValueError(f"corner must lie between the first and the last sparsity, got {corner!r}")
    x, at = (points, corner) if axis == "sparsity" else (-np.log10(1 - points), -np.log10(1 - corner))
    curve = -drop * np.clip((x - at) / (x[-1] - at), 0, None)
    found = 0
    for number in range(simulations):
        drawn = curve + np.asarray(noise) * rng.standard_normal((runs, len(points)))
        found += change_point(points, drawn, axis=axis, resamples=99, seed=number).abrupt
    return found / simulations


def power_at(
    point: ChangePoint, sparsity: ArrayLike, accuracy: ArrayLike, *, axis: str = "sparsity", simulations: int = 25
) -> float | None:
    """Return the power for a steep drop at a curve's critical sparsity, as deep and with as much noise as the curve.

    Parameters
    ----------
    point : ChangePoint
        Of this curve.
    sparsity : array (p,)
        Increasing sparsities.
    accuracy : array (s, p)
        One row for each run. The noise is the standard deviation between runs, pooled on either side of the corner.
    axis : str, default "sparsity"
        As in `abrupt_power`.
    simulations : int, default 25
        Curves drawn. The standard error of the power is then at most 0.1, which is enough to tell a test that could
        have found a steep drop from one that could not.

    Returns
    -------
    float or None
        None for a single run, whose noise cannot be estimated, and without a corner before the last sparsity.
    """
    points, runs = np.asarray(sparsity, dtype=float), np.asarray(accuracy, dtype=float)
    corner = point.critical_sparsity
    if len(runs) == 1 or corner is None or not points[0] <= corner < points[-1]:
        return None
    variance, noise = runs.var(axis=0, ddof=1), np.empty(len(points))
    for side in (points <= corner, points > corner):
        noise[side] = np.sqrt(variance[side].mean())
    options = {"runs": len(runs), "corner": corner, "drop": float(np.ptp(runs.mean(0))), "noise": noise}
    return abrupt_power(points, **options, axis=axis, simulations=simulations)
