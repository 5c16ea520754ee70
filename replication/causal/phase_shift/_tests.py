"""Tests of the shape of a curve, and the standard error of its corner, by resampling; `change_point` describes them."""

import numpy as np

from replication.causal.phase_shift._curves import PARAMETERS, Curves, residual, rounding

# Share of the total variation below which a difference is rounding.
TIE = 1e-9


def standard_error(breaks: Curves, series: np.ndarray, resamples: int, rng: np.random.Generator) -> tuple[float, int]:
    """Standard error of the first corner on the unit axis, and its degrees of freedom."""
    points, runs = series.shape
    if runs > 1:
        drawn = series[:, rng.integers(0, runs, (resamples, runs))].mean(2)
        freedom, widen = runs - 1, np.sqrt(runs / (runs - 1))
    else:
        fitted = breaks.fitted_values(series)
        freedom, widen = points - PARAMETERS, np.sqrt(points / (points - PARAMETERS))
        drawn = fitted + (series - fitted) * rng.choice((-1.0, 1.0), (points, resamples))
    fit = breaks.fit(drawn)
    # A resample without a drop has held to the end.
    return float(np.where(breaks.no_drop(drawn, fit), 1.0, fit.theta[:, 0]).std() * widen), freedom


def against_line(breaks: Curves, series: np.ndarray, resamples: int, rng: np.random.Generator) -> float:
    """p-value of a straight line: sup-F on the mean over the series (p, s)."""
    mean = series.mean(1, keepdims=True)
    basis = np.linalg.qr(np.stack([np.ones_like(breaks.x), breaks.x], 1))[0]
    line = basis @ (basis.T @ mean)
    left = (mean - line) / (1 - (basis**2).sum(1, keepdims=True))  # HC3: outer points pull the line to themselves
    nulls = [line + left * rng.choice((-1.0, 1.0), (len(mean), resamples))]
    if series.shape[1] > 1:  # not divided by the number of runs: F does not depend on the errors' size
        nulls.append(line + (series - mean) @ rng.standard_normal((series.shape[1], resamples)))

    def sup_f(curves: np.ndarray) -> np.ndarray:
        restricted = np.maximum(residual(breaks.x, curves, on_line=True), rounding(curves))
        return restricted / breaks.fit(curves).ssr  # grows with F, which only subtracts 1 and counts parameters

    seen = sup_f(mean)[0]
    return max(_share(sup_f(null), seen) for null in nulls)


def against_smooth(
    breaks: Curves, bends: Curves, series: np.ndarray, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """p-value of smooth curves, one for each of the series (p, s), and the BIC of these less that of abrupt ones."""
    points, runs = series.shape

    def log_ratio(curves: np.ndarray) -> np.ndarray:
        smooth_ssr, abrupt_ssr = (c.fit(curves).ssr.reshape(-1, runs).sum(1) for c in (bends, breaks))
        return np.log(smooth_ssr / abrupt_ssr)

    seen = float(log_ratio(series)[0])
    fitted = bends.fitted_values(series)
    left = (series - fitted) * np.sqrt(points / (points - PARAMETERS))
    null = fitted[:, None] + left[:, None] * rng.choice((-1.0, 1.0), (points, resamples, runs))
    return _share(log_ratio(null.reshape(points, -1)), seen), points * runs * seen


def _share(null: np.ndarray, seen: float) -> float:
    """Share of a null distribution at least as large as what was seen, which is counted among it."""
    return float((1 + np.sum(null >= seen - TIE * abs(seen))) / (len(null) + 1))
