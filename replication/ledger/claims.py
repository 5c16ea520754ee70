"""What becomes of a claim that one method is better than another, from paired runs."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import ttest_1samp

from ccprune.stats import Interval, mean_interval, sign_flip_p
from replication.ledger.paired import paired_median_difference, sign_test
from replication.ledger.power import detectable_effect, detectable_share

#: Significance level of every claim and control, two-sided.
SIGNIFICANCE = 0.05
# Below so many pairs the sign-flip test cannot reach the level; Student's t, which assumes normal differences, can.
_FEWEST_PAIRS = 6
# Differences of shares that are equal but for rounding.
_ROUNDING = 1e-12


def fewer_epochs(method: ArrayLike, reference: ArrayLike) -> dict[str, Any]:
    """Does the method need fewer epochs? Median difference, exact sign test, and the outcome, as fields of a cell.

    Parameters
    ----------
    method, reference : (n,)
        Epochs of the same initialisations; infinite where the benchmark was never reached. Epochs are skewed and
        censored, so that their mean depends on the cap and its interval covers too rarely; the sign test needs neither.

    Returns
    -------
    dict
        ours, ci_low, ci_high (median difference), n (pairs), p_value, outcome, note (how many pairs), and detectable:
        the smallest share of favourable pairs, among those that differ, that would be found with 80% power.
    """
    median = paired_median_difference(method, reference)
    test = sign_test(method, reference)
    differing = test.n_less + test.n_greater
    outcome = _outcome(test.p_value, test.n_less - test.n_greater)
    found = detectable_share(differing) if outcome == "undecided" and differing >= _FEWEST_PAIRS else None
    note = f"fewer in {test.n_less} pairs, more in {test.n_greater}, equal in {test.n_equal}"
    return _numbers(median) | {"p_value": test.p_value, "outcome": outcome, "detectable": found, "note": note}


def higher(method: ArrayLike, reference: ArrayLike, *, margin: float = 0.0, seed: int = 0) -> dict[str, Any]:
    """Is a mean higher, or with a margin not lower by as much? Mean difference, p and the outcome, as fields of a cell.

    The test is of "the mean difference is -margin", two-sided; the claim holds when it is rejected from above and does
    not hold when from below. From six pairs on it is the sign-flip test, below it is Student's t; the interval is
    `stats.mean_interval`. With few pairs and rare large losses the test finds a difference too often: of normal
    differences 2 to 3 in 100 on either side, of strongly skewed ones up to 12 (n = 3) and 8 (n = 10).

    Parameters
    ----------
    method, reference : (n,)
        Finite values of the same initialisations, such as accuracies.
    margin
        By how much less the method may have and still be said to keep up; 0 for "is better".
    seed
        Of the interval's resamples and the test's signs.

    Returns
    -------
    dict
        ours, ci_low, ci_high (mean difference), n, p_value (None of a single pair), outcome, and detectable: the
        smallest mean distance from -margin that would be found with 80% power.
    """
    difference = np.asarray(method, dtype=float) - np.asarray(reference, dtype=float)
    n, mean = len(difference), float(difference.mean())
    if n == 1:
        return {"ours": mean, "n": 1, "outcome": "undecided"}
    few = n < _FEWEST_PAIRS
    p_value = student_p(difference + margin) if few else sign_flip_p(difference + margin, seed=seed)
    interval = mean_interval(difference, seed=seed)
    outcome = _outcome(p_value, mean + margin)
    spread = float(difference.std(ddof=1))
    least = detectable_effect(spread, n) if outcome == "undecided" and spread > 0 else None
    return _numbers(interval) | {"p_value": p_value, "outcome": outcome, "detectable": least}


def student_p(difference: np.ndarray) -> float:
    """Two-sided p of Student's t that the mean is 0.

    Equal differences have no variance to judge by: then it is that of the sign-flip test, 1 for all zeros.
    """
    if np.ptp(difference) <= _ROUNDING:
        return 1.0 if abs(difference[0]) <= _ROUNDING else 2.0 ** (1 - len(difference))
    return float(ttest_1samp(difference, 0.0).pvalue)


def _outcome(p_value: float, direction: float) -> str:
    if p_value >= SIGNIFICANCE or direction == 0:
        return "undecided"
    return "holds" if direction > 0 else "does_not_hold"


def _numbers(found: Interval) -> dict[str, Any]:
    ends = [None if end is None or not np.isfinite(end) else end for end in (found.low, found.high)]
    ends = [None, None] if None in ends else ends
    estimate = found.estimate if np.isfinite(found.estimate) else None
    return {"ours": estimate, "ci_low": ends[0], "ci_high": ends[1], "n": found.n}
