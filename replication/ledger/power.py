"""Smallest effect that a test over n pairs detects with a given power."""

from functools import cache

import numpy as np

from ccprune._util.checks import require_at_least

#: Significance level of every claim and control, two-sided.
SIGNIFICANCE = 0.05
_POWER = 0.8  # probability of a rejection


def detectable_effect(sd: float, n: int) -> float:
    """Return the smallest mean difference that the two-sided paired t-test detects with 80% power at level 5%.

    Parameters
    ----------
    sd : float
        Standard deviation of the differences, above 0.
    n : int
        Number of pairs, at least 2.

    Returns
    -------
    float
        In the units of `sd`.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    References
    ----------
    Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, chapter 2.
    """
    if not (np.isfinite(sd) and sd > 0):
        raise ValueError(f"sd must be positive, got {sd!r}")
    require_at_least(2, n=n)
    return float(sd * _noncentrality(n) / np.sqrt(n))


@cache
def _noncentrality(n: int) -> float:
    from scipy.optimize import brentq  # slow to import
    from scipy.stats import nct, t

    critical, freedom = t.ppf(1 - SIGNIFICANCE / 2, n - 1), n - 1

    def short(noncentrality: float) -> float:
        # Rejections on the other side are neglected: their probability is below 1e-6 at any power of interest.
        return nct.sf(critical, freedom, noncentrality) - _POWER

    return brentq(short, 0.0, 2 * critical + 5)


def detectable_share(n: int) -> float | None:
    """Return the smallest share of favourable pairs, above one half, that the exact sign test detects with 80% power.

    Parameters
    ----------
    n : int
        Number of pairs that differ, at least 1.

    Returns
    -------
    float or None
        None if even n favourable pairs are not significant (below 6 pairs at 5%).

    Raises
    ------
    ValueError
        If an argument is outside its range.
    """
    require_at_least(1, n=n)
    from scipy.optimize import brentq
    from scipy.stats import binom

    # Smallest number of favourable pairs that is significant. The other tail is negligible under a favourable share.
    least = int(binom.isf(SIGNIFICANCE / 2, n, 0.5)) + 1
    if least > n:
        return None
    return float(brentq(lambda share: binom.sf(least - 1, n, share) - _POWER, 0.5, 1 - 1e-12))
