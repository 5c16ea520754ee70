"""Smallest effect that a test over n pairs detects with a given power."""

from functools import cache

import numpy as np

from ccprune._util.checks import require_at_least, require_inside_unit_interval


def detectable_effect(sd: float, n: int, *, power: float = 0.8, significance: float = 0.05) -> float:
    """Return the smallest mean difference that the two-sided paired t-test detects with the given power.

    Parameters
    ----------
    sd : float
        Standard deviation of the differences, above 0.
    n : int
        Number of pairs, at least 2.
    power : float, default 0.8
        Probability of a rejection, between 0 and 1.
    significance : float, default 0.05
        Significance level, between 0 and 1.

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
    require_inside_unit_interval(power=power)
    require_inside_unit_interval(significance=significance)
    return float(sd * _noncentrality(n, power, significance) / np.sqrt(n))


@cache
def _noncentrality(n: int, power: float, significance: float) -> float:
    from scipy.optimize import brentq  # slow to import
    from scipy.stats import nct, t

    critical, freedom = t.ppf(1 - significance / 2, n - 1), n - 1

    def short(noncentrality: float) -> float:
        # Rejections on the other side are neglected: their probability is below 1e-6 at any power of interest.
        return nct.sf(critical, freedom, noncentrality) - power

    return brentq(short, 0.0, 2 * critical + 5)


def detectable_share(n: int, *, power: float = 0.8, significance: float = 0.05) -> float | None:
    """Return the smallest share of favourable pairs, above one half, that the exact sign test detects.

    Parameters
    ----------
    n : int
        Number of pairs that differ, at least 1.
    power, significance : float
        As in `detectable_effect`.

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
    require_inside_unit_interval(power=power)
    require_inside_unit_interval(significance=significance)
    from scipy.optimize import brentq
    from scipy.stats import binom

    # Smallest number of favourable pairs that is significant. The other tail is negligible under a favourable share.
    least = int(binom.isf(significance / 2, n, 0.5)) + 1
    if least > n:
        return None
    return float(brentq(lambda share: binom.sf(least - 1, n, share) - power, 0.5, 1 - 1e-12))
