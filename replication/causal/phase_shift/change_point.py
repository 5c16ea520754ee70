"""The critical sparsity: where accuracy begins to drop as the pruned fraction grows, and whether it drops abruptly."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from ccprune._util.checks import require_at_least, require_inside_unit_interval
from replication.causal.phase_shift._curves import PARAMETERS, Curves, Drop, abrupt, smooth
from replication.causal.phase_shift._tests import TIE, against_line, against_smooth, standard_error

#: Four parameters and two residuals.
FEWEST_POINTS = PARAMETERS + 2
#: Largest share of the fall that may be lost before a drop that is called abrupt.
HELD = 0.1


@dataclass(frozen=True)
class ChangePoint:
    """A fitted change point. Sparsities are fractions, accuracies in the units given.

    Attributes
    ----------
    critical_sparsity : float or None
        The first corner of the curve fitted to the mean over runs; None where accuracy never bends down into a drop.
        The first point itself means that there is no plateau: accuracy falls at once.
    low, high : float or None
        Ends of its interval, cut off at the ends of the points; None without a critical sparsity.
    resampled : str
        What the interval is over: "runs", or with a single run its "residuals". In the second case it does not show how
        another run would differ.
    per_run : tuple of float or None (s,)
        The same corner for each run alone.
    shape : str
        "stick" (two joined lines), "ramp" (plateau, straight fall, floor), or "line" where there is no drop.
    corners : tuple of (float, float)
        (sparsity, accuracy) of the fitted curve, straight along the axis between them.
    slope_before, slope_after : float
        Accuracy per unit of the axis on the two sides of the critical sparsity; a ramp's are 0 and its fall's.
    lost_before : float or None
        Share of the mean's fall, best to worst, that is lost already at the last point up to the critical sparsity. Far
        from 0, the critical sparsity is where the fall becomes steep, and not "the point just before the drop".
    p_line : float
        p-value of "a straight line". A small value means that the curve is bent, which a smooth curve is too.
    p_smooth : float
        p-value of "a smooth curve", each run's own. A small value means that the drop is abrupt.
    delta_bic : float
        BIC of the smooth less that of the abrupt curves, both with 4 parameters per run. Positive values support an
        abrupt drop, values above 10 very strongly (Kass and Raftery, 1995).
    abrupt : bool
        Whether it is shown that accuracy holds and then drops abruptly: the critical sparsity is not below the second
        point, lost_before is at most `HELD`, both p-values are at most 1 - level, and delta_bic is positive. All are
        needed: where neither kind of curve fits, p_smooth alone shows little.
    """

    critical_sparsity: float | None
    low: float | None
    high: float | None
    resampled: Literal["runs", "residuals"]
    per_run: tuple[float | None, ...]
    shape: Literal["stick", "ramp", "line"]
    corners: tuple[tuple[float, float], ...]
    slope_before: float
    slope_after: float
    lost_before: float | None
    p_line: float
    p_smooth: float
    delta_bic: float
    abrupt: bool


def change_point(
    sparsity: ArrayLike,  # (p,)
    accuracy: ArrayLike,  # (s, p)
    *,
    axis: Literal["sparsity", "log_density"] = "sparsity",
    confidence_level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> ChangePoint:
    """Locate the drop of accuracy over sparsity, and test whether there is one and whether it is abrupt.

    Two abrupt curves are fitted by least squares, a stick (broken line; Hudson, 1966) and a ramp, and the better is
    kept; their smooth counterparts with as many parameters are a line less an exponential, and a logistic.

    - The interval is Student's t with s - 1 degrees of freedom on the standard error over resampled runs, times
      sqrt(s / (s - 1)): quantiles of a few resampled runs are too narrow. In simulations at 95% it covered 90 to 97
      times in 100 with 3 to 10 runs, and 81 to 88 times with a single one, whose own corner that is: where corners
      moved by 0.02 from run to run, it covered their mean 39 to 44 times (run posterior.paper).
    - `p_line`: sup-F of the abrupt curve against a line, on the mean over runs. Null: the line with residuals of random
      sign (wild bootstrap; Davidson and Flachaire, 2008) and, with several runs, with whole runs' deviations at random
      weights, because runs err alike at neighbouring sparsities; the larger p-value counts. In simulations at 5% it
      rejected straight lines 1 to 12 times in 100, with a single run and autocorrelated errors 23 times.
    - `p_smooth`: the ratio of the residual sums of squares, over runs fitted one by one, so that drops at different
      places are not mistaken for a smooth one, under the smooth curves with residuals of random sign (as Williams,
      1970, compared a broken line with a smooth one).

    Parameters
    ----------
    sparsity : array (p,)
        Increasing, in [0, 1], at least `FEWEST_POINTS`.
    accuracy : array (s, p)
        One row per run (seed). Any measure that falls when too much is pruned.
    axis : str, default "sparsity"
        Axis along which lines are straight: "sparsity", or "log_density" (-log10 of the kept fraction). The two need
        not agree: a fall that is straight in log density accelerates in sparsity, and its corner there comes late.
    confidence_level : float, default 0.95
        Coverage of the interval, between 0 and 1.
    resamples : int, default 1000
        Number of bootstrap samples.
    seed : int, default 0
        Seed of the bootstrap samples.

    Returns
    -------
    ChangePoint

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    points, runs = _on_axis(sparsity, accuracy, axis)
    require_inside_unit_interval(confidence_level=confidence_level)
    require_at_least(1, resamples=resamples)
    start, length = float(points[0]), float(points[-1] - points[0])
    x, series, mean = (points - start) / length, runs.T, runs.mean(0)  # (p,), (p, s), (p,)
    breaks, bends = Curves(x, abrupt(x)), Curves(x, smooth(x))
    rng = np.random.default_rng(seed)
    p_line = against_line(breaks, series, resamples, rng)
    p_smooth, delta_bic = against_smooth(breaks, bends, series, resamples, rng)

    def to_sparsity(unit: float) -> float:
        value = start + length * unit
        return float(value if axis == "sparsity" else 1 - 10**-value)

    def critical(drop: Drop) -> float | None:
        return None if drop.shape == "line" else to_sparsity(drop.x[1])

    found, *alone = breaks.drops(np.column_stack([mean, series]))
    lost, held = _plateau(x, mean, found)
    low = high = None
    if found.shape != "line":
        error, freedom = standard_error(breaks, series, resamples, rng)
        reach = stdtrit(freedom, (1 + confidence_level) / 2) * error
        low, high = (to_sparsity(np.clip(found.x[1] + side * reach, 0, 1)) for side in (-1, 1))
    significance = 1 - confidence_level + TIE
    return ChangePoint(
        critical_sparsity=critical(found),
        low=low,
        high=high,
        resampled="runs" if len(runs) > 1 else "residuals",
        per_run=tuple(critical(drop) for drop in alone),
        shape=found.shape,
        corners=tuple((to_sparsity(a), float(b)) for a, b in zip(found.x, found.y, strict=True)),
        slope_before=found.slopes[0] / length,
        slope_after=found.slopes[1] / length,
        lost_before=lost,
        p_line=p_line,
        p_smooth=p_smooth,
        delta_bic=delta_bic,
        abrupt=held and max(p_line, p_smooth) <= significance and delta_bic > 0,
    )


def is_abrupt(
    sparsity: ArrayLike,
    accuracy: ArrayLike,
    *,
    axis: Literal["sparsity", "log_density"] = "sparsity",
    resamples: int = 1000,
    seed: int = 0,
) -> bool:
    """Return `change_point(...).abrupt` at 95%, in less time: what cannot change the answer any more is not computed.

    Parameters
    ----------
    sparsity : array (p,)
        As in `change_point`.
    accuracy : array (s, p)
        As in `change_point`.
    axis : str, default "sparsity"
        As in `change_point`.
    resamples : int, default 1000
        As in `change_point`.
    seed : int, default 0
        As in `change_point`.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        As `change_point`.
    """
    points, runs = _on_axis(sparsity, accuracy, axis)
    require_at_least(1, resamples=resamples)
    x, series, mean = (points - points[0]) / (points[-1] - points[0]), runs.T, runs.mean(0)
    breaks, rng = Curves(x, abrupt(x)), np.random.default_rng(seed)
    (drop,) = breaks.drops(mean[:, None])
    significance = 1 - 0.95 + TIE
    if not _plateau(x, mean, drop)[1] or against_line(breaks, series, resamples, rng) > significance:
        return False
    p_smooth, delta_bic = against_smooth(breaks, Curves(x, smooth(x)), series, resamples, rng)
    return p_smooth <= significance and delta_bic > 0


def _on_axis(sparsity: ArrayLike, accuracy: ArrayLike, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Check the arguments; return the points (p,) on the axis and the runs (s, p)."""
    points, runs = check_curves(sparsity, accuracy)
    if axis not in ("sparsity", "log_density"):
        raise ValueError(f"axis must be 'sparsity' or 'log_density', got {axis!r}")
    if axis == "log_density":
        if points[-1] == 1:
            raise ValueError("sparsity must stay below 1 on axis 'log_density', got 1.0")
        points = -np.log10(1 - points)
    return points, runs


def _plateau(x: np.ndarray, mean: np.ndarray, drop: Drop) -> tuple[float | None, bool]:
    """Return the share of the fall of the mean (p,) that is lost before the drop, and whether the mean has held."""
    if drop.shape == "line":
        return None, False
    last = int(np.searchsorted(x, drop.x[1] + 1e-6, side="right")) - 1
    lost = float((mean.max() - mean[last]) / np.ptp(mean))
    return lost, last >= 1 and lost <= HELD


def check_curves(
    sparsity: ArrayLike, accuracy: ArrayLike, fewest: int = FEWEST_POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Return sparsity and accuracy in float64.

    Parameters
    ----------
    sparsity : array (p,)
        Increasing, in [0, 1].
    accuracy : array (s, p)
        One row per run, finite.
    fewest : int, default `FEWEST_POINTS`
        Smallest number of points.

    Returns
    -------
    points : array (p,)
    runs : array (s, p)

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    points, runs = (np.asarray(value, dtype=np.float64) for value in (sparsity, accuracy))
    if points.ndim != 1 or len(points) < fewest:
        raise ValueError(f"sparsity must be one-dimensional with at least {fewest} points, got shape {points.shape}")
    if not (np.all(np.diff(points) > 0) and 0 <= points[0] and points[-1] <= 1):
        raise ValueError(f"sparsity must increase within [0, 1], got {points.tolist()}")
    if runs.ndim != 2 or len(runs) < 1 or runs.shape[1] != len(points):
        raise ValueError(f"accuracy must have shape (runs, {len(points)}), got {runs.shape}")
    if not np.isfinite(runs).all():
        raise ValueError(f"accuracy must be finite, got {runs[~np.isfinite(runs)][0]}")
    return points, runs
