"""Confidence intervals of a mean, and paired differences."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy  # its submodules are imported on first use
from numpy.typing import ArrayLike

from ccprune._util.checks import at_least, inside_unit_interval

#: Up to this many pairs the sign-flip test enumerates all 2**n patterns instead of drawing a sample of them.
EXACT_PAIRS = 14

_KEPT = 2**21  # entries of random draws that are kept for the next interval (16 MiB)
_CHUNK = 2**21  # resampled values held at once (16 MiB of float64)


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


@dataclass(frozen=True)
class PairedDifference:
    """Mean of `a - b` over pairs; result of `paired_difference`.

    Attributes
    ----------
    estimate, low, high : float
        Mean and its interval.
    p_value : float
        Two-sided, of "no difference".
    n : int
        Number of pairs.
    """

    estimate: float
    low: float
    high: float
    p_value: float
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
    inside_unit_interval(confidence_level=confidence_level)
    at_least(1, resamples=resamples)
    n, estimate = len(values), float(np.mean(values))
    if np.all(values == values[0]):
        return Interval(float(values[0]), float(values[0]), float(values[0]), n)

    drawn = np.concatenate([values.take(places).mean(1) for places in _draws(_places, n, resamples, seed)])
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
    inside_unit_interval(confidence_level=confidence_level)
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


def paired_difference(
    a: ArrayLike,  # (n,)
    b: ArrayLike,  # (n,)
    *,
    seed: int = 0,
) -> PairedDifference:
    """Mean of a - b over pairs, with the interval of `mean_interval` and a sign-flip p-value.

    Under the null hypothesis of no difference, the sign of each pair's difference is positive or negative with equal
    probability. The p-value is therefore the share of sign patterns whose mean is at least as far from 0 as the mean
    observed. Up to `EXACT_PAIRS` pairs every pattern is counted. With more pairs 10,000 patterns are drawn and the
    observed pattern is added to them (Phipson and Smyth 2010), so p is never 0. It is 1 if all differences are 0.

    Parameters
    ----------
    a, b : (n,)
        Paired runs (the same initialisation under two methods), n >= 2, finite.
    seed : int
        Seed of the drawn patterns and of the bootstrap samples.

    Raises
    ------
    ValueError
        If the lengths differ, or if an argument is outside its range.

    Examples
    --------
    >>> found = paired_difference([0.92, 0.95, 0.97], [0.91, 0.93, 0.94])
    >>> round(found.estimate, 3), found.p_value  # 2 of 8 patterns of signs are as extreme
    (0.02, 0.25)
    """
    a, b = check_sample(a, "a"), check_sample(b, "b")
    if len(a) != len(b):
        raise ValueError(f"a and b must have the same length, got {len(a)} and {len(b)}")
    difference = a - b
    found, p_value = mean_interval(difference, seed=seed), sign_flip_p(difference, seed=seed)
    return PairedDifference(found.estimate, found.low, found.high, p_value, len(difference))


def sign_flip_p(difference: ArrayLike, *, permutations: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of the mean under random signs of the differences; see `paired_difference`.

    Parameters
    ----------
    difference : (n,)
        Finite differences of pairs, n >= 2.
    permutations : int, default 10,000
        Number of patterns of signs that are drawn if not all are counted.
    seed : int

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Examples
    --------
    >>> sign_flip_p([0.1, 0.2, 0.3])  # 2 of 8 patterns are as extreme: all positive, all negative
    0.25
    """
    values = check_sample(difference, "difference")
    at_least(1, permutations=permutations)
    n = len(values)
    # A sum that differs from the observed one only by rounding counts as equal.
    seen = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    if n <= EXACT_PAIRS:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(np.mean(np.abs((2 * patterns - 1) @ values) >= seen))
    extreme = sum(int(np.sum(np.abs(signs @ values) >= seen)) for signs in _draws(_signs, n, permutations, seed))
    return (extreme + 1) / (permutations + 1)


def _left_out(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the samples without one of their values, in parts (k, n - 1)."""
    n = len(values)
    part = max(1, _CHUNK // n)
    for start in range(0, n, part):
        places = np.arange(start, min(start + part, n))
        others = np.arange(n - 1)[None] + (np.arange(n - 1)[None] >= places[:, None])
        yield values[others]


def _draws(make: Callable, n: int, rows: int, seed: int) -> Iterable[np.ndarray]:
    """Return `make(n, rows, seed)`, which yields `rows` rows of n entries in parts of about `_CHUNK` entries.

    Reports compute thousands of intervals of samples of few lengths, so that small draws are kept.
    """
    return _kept_draws(make, n, rows, seed) if rows * n <= _KEPT else make(n, rows, seed)


@lru_cache(maxsize=2)
def _kept_draws(make: Callable, n: int, rows: int, seed: int) -> tuple[np.ndarray, ...]:
    return tuple(make(n, rows, seed))


def _places(n: int, rows: int, seed: int) -> Iterator[np.ndarray]:
    """Yield places in a sample of n values, drawn with replacement."""
    return _integers(n, n, rows, seed)


def _signs(n: int, rows: int, seed: int) -> Iterator[np.ndarray]:
    """Yield random signs as float64."""
    return (2.0 * bits - 1.0 for bits in _integers(2, n, rows, seed))


def _integers(high: int, n: int, rows: int, seed: int) -> Iterator[np.ndarray]:
    rng, part = np.random.default_rng(seed), max(1, _CHUNK // n)
    for start in range(0, rows, part):
        yield rng.integers(0, high, (min(part, rows - start), n))


def check_sample(values: ArrayLike, name: str, *, finite: bool = True) -> np.ndarray:
    """Return a sample as float64 of shape (n,), n >= 2, or raise ValueError that names the argument."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name} must be one-dimensional with at least 2 values, got shape {array.shape}")
    bad = ~np.isfinite(array) if finite else np.isnan(array)
    if bad.any():
        kind = "finite" if finite else "free of NaN"
        raise ValueError(f"{name} must be {kind}, got {array[bad][0]} at index {int(np.argmax(bad))}")
    return array
