"""Robustness and power of the test for an abrupt drop: re-fits of a curve, and simulated curves of known shape."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from replication.causal.phase_shift.change_point import FEWEST_POINTS, ChangePoint, is_abrupt


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
    kept = sum(is_abrupt(some, of, axis=axis) for some, of in parts)
    return Robustness(len(parts), kept)


def abrupt_power(
    sparsity: ArrayLike,
    *,
    runs: int,
    corner: float,
    drop: float,
    noise: ArrayLike,
    offset: ArrayLike = 0.0,
    axis: str = "sparsity",
    simulations: int = 100,
    seed: int = 0,
) -> float:
    """Return the share of simulated drops that `change_point` calls abrupt at these sparsities.

    Each run is a plateau up to `corner`, then a straight fall by `drop` (along `axis`) to the last sparsity, with
    independent normal noise, and with a normal offset of its own on either side of the corner.

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
        Standard deviation of the noise at each sparsity, in units of accuracy.
    offset : float or array (p,), default 0.0
        Standard deviation of the offsets at each sparsity, in units of accuracy.
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
    side = (points > corner).astype(int)
    found = 0
    for number in range(simulations):
        drawn = curve + np.asarray(noise) * rng.standard_normal((runs, len(points)))
        drawn += np.asarray(offset) * rng.standard_normal((runs, 2))[:, side]
        found += is_abrupt(points, drawn, axis=axis, resamples=99, seed=number)
    return found / simulations


def power_at(
    point: ChangePoint, sparsity: ArrayLike, accuracy: ArrayLike, *, axis: str = "sparsity", simulations: int
) -> float | None:
    """Return the power for a straight fall from a curve's critical sparsity to its last sparsity.

    The fall is as deep as the curve's, and the runs differ as the curve's do: on either side of the corner a run has
    an offset, because the deviations of a run persist over sparsities, and independent noise. The power is that of
    `change_point` alone, without re-fits and without a correction for the number of curves.

    Parameters
    ----------
    point : ChangePoint
        Of this curve.
    sparsity : array (p,)
        Increasing sparsities.
    accuracy : array (s, p)
        One row for each run.
    axis : str, default "sparsity"
        As in `abrupt_power`.
    simulations : int
        Number of simulated curves.

    Returns
    -------
    float or None
        None for a single run, whose noise cannot be estimated, and without a corner before the last sparsity.
    """
    points, runs = np.asarray(sparsity, dtype=float), np.asarray(accuracy, dtype=float)
    corner = point.critical_sparsity
    if len(runs) == 1 or corner is None or not points[0] <= corner < points[-1]:
        return None
    noise, offset = np.empty(len(points)), np.empty(len(points))
    for side in (points <= corner, points > corner):
        noise[side], offset[side] = _spread(runs[:, side])
    options = {"runs": len(runs), "corner": corner, "drop": float(np.ptp(runs.mean(0))), "noise": noise}
    return abrupt_power(points, **options, offset=offset, axis=axis, simulations=simulations)


def _spread(runs: np.ndarray) -> tuple[float, float]:
    """Return the standard deviations of the noise and of the offsets of runs (s, p), by analysis of variance.

    A single point cannot separate the two. The whole deviation then counts as noise.
    """
    count, points = runs.shape
    if points == 1:
        return float(runs.std(ddof=1)), 0.0
    means = runs.mean(axis=1, keepdims=True)
    residual = runs - means - runs.mean(axis=0) + runs.mean()
    noise = (residual**2).sum() / ((count - 1) * (points - 1))
    return float(np.sqrt(noise)), float(np.sqrt(max(means.var(ddof=1) - noise / points, 0.0)))
