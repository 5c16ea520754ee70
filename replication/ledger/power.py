"""The smallest effect that a test over n pairs would have found."""

import numpy as np

from ccprune._util.checks import at_least, inside_unit_interval


def detectable_effect(sd: float, n: int, *, power: float = 0.8, significance: float = 0.05) -> float:
    """Smallest mean difference that Student's paired t-test finds with this power (two-sided; Cohen 1988, chapter 2).

    Parameters
    ----------
    sd
        Standard deviation of the differences, positive; the effect is in its units.
    n
        Pairs, at least 2.
    power, significance
        Chance to reject, and significance level, between 0 and 1.

    Raises
    ------
    ValueError
        For an argument outside the above.
    """
    if not (np.isfinite(sd) and sd > 0):
        raise ValueError(f"sd must be positive, got {sd!r}")
    at_least(2, n=n)
    inside_unit_interval(power=power)
    inside_unit_interval(significance=significance)
    from scipy.optimize import brentq  # these load slowly
    from scipy.stats import nct, t

    critical, freedom = t.ppf(1 - significance / 2, n - 1), n - 1

    def short(noncentrality: float) -> float:
        # The rejections on the other side are left out: below one in a million wherever the power is of interest.
        return nct.sf(critical, freedom, noncentrality) - power

    return float(sd * brentq(short, 0.0, 2 * critical + 5) / np.sqrt(n))


def detectable_share(n: int, *, power: float = 0.8, significance: float = 0.05) -> float | None:
    """Smallest share of favourable pairs, above one half, that the exact sign test of n differing pairs finds.

    None where even n favourable pairs of n would not be significant (below 6 pairs at 5%).

    Raises ValueError for fewer than 1 pair, or a power or significance outside (0, 1).
    """
    at_least(1, n=n)
    inside_unit_interval(power=power)
    inside_unit_interval(significance=significance)
    from scipy.optimize import brentq
    from scipy.stats import binom

    # Reject from this many favourable pairs on; the other tail adds next to nothing under a favourable share.
    least = int(binom.isf(significance / 2, n, 0.5)) + 1
    if least > n:
        return None
    return float(brentq(lambda share: binom.sf(least - 1, n, share) - power, 0.5, 1 - 1e-12))
