"""Medians, shares and sign tests of runs that may be censored. They depend only on the order of the values."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ccprune._util.checks import require_inside_unit_interval
from ccprune.stats.intervals import Interval
from ccprune.stats.samples import check_sample


@dataclass(frozen=True)
class SignTest:
    """Result of the exact two-sided sign test of the hypothesis that a < b and a > b are equally likely.

    Attributes
    ----------
    n_less, n_greater, n_equal : int
        Numbers of pairs with a < b, a > b and a = b. Two infinite values are equal.
    p_value : float
        p-value of the binomial test over the pairs that differ; 1 if no pair differs.
    """

    n_less: int
    n_greater: int
    n_equal: int
    p_value: float


def sign_test(a: ArrayLike, b: ArrayLike) -> SignTest:
    """Test whether a < b and a > b are equally likely (exact two-sided sign test).

    Parameters
    ----------
    a, b : array_like (n,)
        Paired runs, n >= 2. Infinity stands for a run that never reached the benchmark.

    Returns
    -------
    SignTest

    Raises
    ------
    ValueError
        If a value is NaN, the lengths differ, or there are fewer than 2 pairs.

    References
    ----------
    Dixon and Mood (1946), The statistical sign test, Journal of the American Statistical Association 41.
    """
    a, b = _pair(a, b)
    from scipy.stats import binomtest  # slow to import

    less, greater = int(np.sum(a < b)), int(np.sum(a > b))
    p_value = float(binomtest(less, less + greater).pvalue) if less + greater else 1.0
    return SignTest(less, greater, len(a) - less - greater, p_value)


def median_interval(sample: ArrayLike, *, confidence_level: float = 0.95) -> Interval:
    """Return the median and its distribution-free interval between two order statistics.

    The ranks are the innermost symmetric ones whose coverage is at least `confidence_level` for every distribution.

    Parameters
    ----------
    sample : array_like (n,)
        Independent runs, n >= 2. Infinity stands for a run that never reached the benchmark.
    confidence_level : float, default 0.95
        Between 0 and 1.

    Returns
    -------
    Interval
        The ends are None if n is too small for the confidence level (below 6 runs at 95%), and infinite if the order
        statistic is infinite. The estimate is infinite if at least half of the runs are, and NaN halfway between minus
        and plus infinity.

    Raises
    ------
    ValueError
        If a value is NaN, there are fewer than 2 values, or the confidence level is not between 0 and 1.

    References
    ----------
    Conover (1999), Practical Nonparametric Statistics, section 3.2.
    """
    ordered = np.sort(check_sample(sample, "sample", finite=False))
    require_inside_unit_interval(confidence_level=confidence_level)
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


def paired_median_difference(a: ArrayLike, b: ArrayLike) -> Interval:
    """Return the `median_interval` of a - b over pairs. Two infinite values of a pair differ by 0.

    Parameters
    ----------
    a, b : array_like (n,)
        Paired runs, as in `sign_test`.

    Returns
    -------
    Interval
        As `median_interval`.

    Raises
    ------
    ValueError
        As `sign_test` and `median_interval`.
    """
    a, b = _pair(a, b)
    both = np.isinf(a) & (a == b)
    difference = np.where(both, 0.0, a - np.where(both, 0.0, b))
    return median_interval(np.where(both, 0.0, difference))


def share_interval(count: int, n: int, *, confidence_level: float = 0.95) -> Interval:
    """Return a share and its exact interval, whose coverage is at least `confidence_level`.

    Parameters
    ----------
    count : int
        Number of successes, from 0 to n.
    n : int
        Number of trials, at least 1.
    confidence_level : float, default 0.95
        Between 0 and 1.

    Returns
    -------
    Interval
        Interval of count / n.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    References
    ----------
    Clopper and Pearson (1934), The use of confidence or fiducial limits, Biometrika 26.
    """
    require_inside_unit_interval(confidence_level=confidence_level)
    if not (n >= 1 and 0 <= count <= n):
        raise ValueError(f"count must lie between 0 and n, and n must be at least 1, got count={count} and n={n}")
    from scipy.stats import binomtest

    interval = binomtest(count, n).proportion_ci(confidence_level, method="exact")
    return Interval(count / n, float(interval.low), float(interval.high), n)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Correct p-values for multiple testing by Holm's method, which bounds the probability of any false rejection.

    Parameters
    ----------
    p_values : array_like (m,)
        p-values in [0, 1].

    Returns
    -------
    ndarray (m,)
        Corrected p-values in the given order. Reject the hypotheses below the significance level.

    Raises
    ------
    ValueError
        If a value is NaN or outside [0, 1].

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.
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
