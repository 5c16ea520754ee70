"""Confidence intervals of a mean."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy  # its submodules are imported on first use
from numpy.typing import ArrayLike

from ccprune._util.checks import require_at_least, require_inside_unit_interval
from ccprune.stats.samples import CHUNK, check_sample, drawn_places, draws


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, in the units of the sample; `mean_interval` returns one.

    Attributes
    ----------
    estimate, low, high : float
        The ends are None if the sample is too small for them.
    n : int
        Size of the sample.
    """

    estimate: float
    low: float | None
    high: float | None
    n: int


def bootstrap_interval(
    sample: ArrayLike,  # (n,)
    *,
    confidence_level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval (BCa; Efron 1987) of the mean; of equal values, of zero width.

    Parameters
    ----------
    sample : (n,)
        Values of independent runs, n >= 2, finite. Runs without a finite value (benchmark never reached) are for the
        caller to count and report.
    confidence_level : float, default 0.95
        Coverage, between 0 and 1.
    resamples : int, default 10,000
        Number of bootstrap samples.
    seed : int

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Examples
    --------
    >>> found = bootstrap_interval([0.90, 0.91, 0.92, 0.93, 0.99], resamples=1000)
    >>> found.low < found.estimate < found.high, found.high - found.estimate > found.estimate - found.low  # skewed
    (True, True)
    """
    values = check_sample(sample, "sample")
    require_inside_unit_interval(confidence_level=confidence_level)
    require_at_least(1, resamples=resamples)
    n, estimate = len(values), float(np.mean(values))
    if np.all(values == values[0]):
        return Interval(float(values[0]), float(values[0]), float(values[0]), n)

    drawn = np.concatenate([values.take(places).mean(1) for places in draws(drawn_places, n, resamples, seed)])
    # Half of the ties count as below, so that a symmetric sample has no bias. Clipping keeps the quantile finite.
    below = (np.sum(drawn < estimate) + 0.5 * np.sum(drawn == estimate)) / resamples
    bias = scipy.special.ndtri(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples))
    left_out = np.concatenate([others.mean(1) for others in _left_out(values)])
    gap = left_out.mean() - left_out
    spread = np.sum(gap**2)
    acceleration = np.sum(gap**3) / (6 * spread**1.5) if spread > 0 else 0.0  # values may differ by rounding alone
    z = bias + scipy.special.ndtri([(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    low, high = np.quantile(drawn, scipy.special.ndtr(bias + z / (1 - acceleration * z)))
    return Interval(estimate, float(low), float(high), n)


def student_interval(
    sample: ArrayLike,  # (n,)
    *,
    confidence_level: float = 0.95,
) -> Interval:
    """Student's t interval of the mean, for few runs, for which a bootstrap interval is too narrow.

    Parameters
    ----------
    sample : (n,)
        Values of independent runs, n >= 2, finite.
    confidence_level : float, default 0.95
        Coverage, between 0 and 1.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Examples
    --------
    >>> found = student_interval([0.91, 0.93, 0.92])
    >>> f"{found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]"
    '0.920 [0.895, 0.945]'
    """
    values = check_sample(sample, "sample")
    require_inside_unit_interval(confidence_level=confidence_level)
    n, mean = len(values), float(values.mean())
    reach = float(scipy.special.stdtrit(n - 1, (1 + confidence_level) / 2) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, n)


#: From this number of runs on, `mean_interval` uses the bootstrap; with fewer, Student's interval has better coverage,
#: also for skewed runs.
BOOTSTRAP_FROM = 30


def mean_interval(sample: ArrayLike, *, confidence_level: float = 0.95, seed: int = 0) -> Interval:
    """Mean of runs with an interval: none for one run, Student's below `BOOTSTRAP_FROM` runs, BCa from there on.

    The coverage in per cent at a level of 95%, measured in 3,000 samples with n = 3, 10, 20 and 30, was 71, 90, 92 and
    93 for BCa and 95, 95, 94 and 95 for Student's interval with normal runs. With exponential runs it was 68, 89, 90
    and 92 for BCa and 89, 90, 92 and 93 for Student's interval.

    Parameters
    ----------
    sample : (n,)
        Values of independent runs, finite; one is enough.
    confidence_level : float, default 0.95
        Coverage, between 0 and 1.
    seed : int
        Seed of the bootstrap samples.

    Raises
    ------
    ValueError
        If the sample is empty or not finite, or the level is outside (0, 1).

    Examples
    --------
    >>> mean_interval([0.9])
    Interval(estimate=0.9, low=None, high=None, n=1)
    >>> mean_interval([0.91, 0.93, 0.92]) == student_interval([0.91, 0.93, 0.92])
    True
    """
    values = np.asarray(sample, dtype=np.float64)
    if values.shape == (1,) and np.isfinite(values[0]):
        return Interval(float(values[0]), None, None, 1)
    if len(check_sample(values, "sample")) < BOOTSTRAP_FROM:
        return student_interval(values, confidence_level=confidence_level)
    return bootstrap_interval(values, confidence_level=confidence_level, seed=seed)


def _left_out(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the samples without one of their values, in parts (k, n - 1)."""
    n = len(values)
    part = max(1, CHUNK // n)
    for start in range(0, n, part):
        places = np.arange(start, min(start + part, n))
        others = np.arange(n - 1)[None] + (np.arange(n - 1)[None] >= places[:, None])
        yield values[others]
