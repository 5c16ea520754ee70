"""Medians, shares and signs of runs that may be censored: nothing here needs more than their order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ccprune._util.checks import inside_unit_interval
from ccprune.stats.intervals import Interval, check_sample


@dataclass(frozen=True)
class SignTest:
    """Pairs by the sign of a - b, and the exact two-sided p of "each sign is as likely".

    Attributes
    ----------
    n_less, n_greater, n_equal
        Pairs with a < b, a > b and a = b; two infinite values are equal.
    p_value
        Binomial, over the pairs that differ; 1 where none does.
    """

    n_less: int
    n_greater: int
    n_equal: int
    p_value: float


def sign_test(a: ArrayLike, b: ArrayLike) -> SignTest:
    """Test over pairs whether a is as often below b as above it (Dixon and Mood 1946).

    Parameters
    ----------
    a, b : (n,)
        Paired runs, n >= 2. Infinity stands for a run that never reached the benchmark.

    Raises
    ------
    ValueError
        For NaN, or samples of different or too small size.
    """
    a, b = _pair(a, b)
    from scipy.stats import binomtest  # it loads slowly

    less, greater = int(np.sum(a < b)), int(np.sum(a > b))
    p_value = float(binomtest(less, less + greater).pvalue) if less + greater else 1.0
    return SignTest(less, greater, len(a) - less - greater, p_value)


def median_interval(sample: ArrayLike, *, confidence_level: float = 0.95) -> Interval:
    """Median with its distribution-free interval between two order statistics (Conover 1999, section 3.2).

    The ranks are the innermost symmetric ones whose coverage is at least `confidence_level` for every distribution.

    Parameters
    ----------
    sample : (n,)
        Independent runs, n >= 2; infinity stands for a run that never reached the benchmark.
    confidence_level
        Between 0 and 1.

    Returns
    -------
    Interval
        Ends are None where n is too small for the level (below 6 runs at 95%), and infinite where the order statistic
        is. The estimate is infinite where half of the runs or more are, and NaN halfway between two infinities.

    Raises
    ------
    ValueError
        For NaN, fewer than 2 values, or a level outside (0, 1).
    """
    ordered = np.sort(check_sample(sample, "sample", finite=False))
    inside_unit_interval(confidence_level=confidence_level)
    n = len(ordered)
    below, above = ordered[(n - 1) // 2], ordered[n // 2]
    with np.errstate(invalid="ignore"):
        estimate = float(below if below == above else (below + above) / 2)
    from scipy.stats import binom

    # The interval from the (r + 1)-th smallest to the (r + 1)-th largest covers 1 - 2 P(X <= r), X binomial (n, 1/2).
    rank = int(binom.ppf((1 - confidence_level) / 2, n, 0.5))
    if binom.cdf(rank, n, 0.5) > (1 - confidence_level) / 2:
        rank -= 1
    if rank < 0:
        return Interval(estimate, None, None, n)
    return Interval(estimate, float(ordered[rank]), float(ordered[n - 1 - rank]), n)


def paired_median_difference(a: ArrayLike, b: ArrayLike, *, confidence_level: float = 0.95) -> Interval:
    """`median_interval` of a - b over pairs, of which two infinite values differ by 0; errors as there."""
    a, b = _pair(a, b)
    both = np.isinf(a) & (a == b)
    difference = np.where(both, 0.0, a - np.where(both, 0.0, b))
    return median_interval(np.where(both, 0.0, difference), confidence_level=confidence_level)


def share_interval(count: int, n: int, *, confidence_level: float = 0.95) -> Interval:
    """A share with its exact interval (Clopper and Pearson 1934), which covers at least as often as it says.

    Raises ValueError unless 0 <= count <= n, n >= 1 and the level lies in (0, 1).
    """
    inside_unit_interval(confidence_level=confidence_level)
    if not (n >= 1 and 0 <= count <= n):
        raise ValueError(f"count must lie in 0..n and n be at least 1, got {count} and {n}")
    from scipy.stats import binomtest

    found = binomtest(count, n).proportion_ci(confidence_level, method="exact")
    return Interval(count / n, float(found.low), float(found.high), n)


def holm(p_values: ArrayLike) -> np.ndarray:
    """p-values corrected for their number by Holm (1979): the chance of any false rejection stays below the level.

    Parameters
    ----------
    p_values : (m,)
        In [0, 1].

    Returns
    -------
    (m,) in the order given; reject those below the significance level.

    Raises
    ------
    ValueError
        For a value outside [0, 1] or NaN.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"p_values must be a sequence of numbers in [0, 1], got {p_values!r}")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = check_sample(a, "a", finite=False), check_sample(b, "b", finite=False)
    if len(a) != len(b):
        raise ValueError(f"a and b must have the same length, got {len(a)} and {len(b)}")
    return a, b
