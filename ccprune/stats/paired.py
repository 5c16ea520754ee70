"""Differences of paired runs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ccprune._util.checks import require_at_least
from ccprune.stats.intervals import mean_interval
from ccprune.stats.samples import check_sample, drawn_signs, draws

#: Up to this many pairs the sign-flip test enumerates all 2**n patterns instead of drawing a sample of them.
EXACT_PAIRS = 14


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
    require_at_least(1, permutations=permutations)
    n = len(values)
    # A sum that differs from the observed one only by rounding counts as equal.
    seen = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    if n <= EXACT_PAIRS:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(np.mean(np.abs((2 * patterns - 1) @ values) >= seen))
    extreme = sum(int(np.sum(np.abs(signs @ values) >= seen)) for signs in draws(drawn_signs, n, permutations, seed))
    return (extreme + 1) / (permutations + 1)
