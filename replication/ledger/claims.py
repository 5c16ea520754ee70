"""Outcome of the claim that one method is better than another, from paired runs."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ccprune.stats import Interval, mean_interval, sign_flip_p
from replication.ledger.paired import paired_median_difference, sign_test
from replication.ledger.power import SIGNIFICANCE, detectable_effect, detectable_share

# With fewer pairs the sign-flip test cannot reach the significance level. Student's t, which assumes normal
# differences, can.
_FEWEST_PAIRS = 6
# Shares that differ by at most this much are equal up to rounding errors.
_ROUNDING = 1e-12


def fewer_epochs(method: ArrayLike, reference: ArrayLike) -> dict[str, Any]:
    """Test whether the method needs fewer epochs than the reference, by the median difference and the exact sign test.

    Epochs are skewed and censored at a cap. Their mean depends on the cap, and its interval covers too rarely. The sign
    test does not use the mean.

    Parameters
    ----------
    method, reference : array_like (n,)
        Epochs of the same initialisations, n >= 2; infinite where the benchmark was never reached.

    Returns
    -------
    dict
        Fields of a `Cell`: ours, ci_low and ci_high (median difference in epochs), n (pairs), p_value, outcome, note
        (numbers of pairs by sign), and detectable. That is the smallest share of favourable pairs, among those that
        differ, that the test detects with 80% power; it is None unless the outcome is "undecided".

    Raises
    ------
    ValueError
        As `paired.sign_test`.
    """
    median = paired_median_difference(method, reference)
    test = sign_test(method, reference)
    differing = test.n_less + test.n_greater
    outcome = outcome_of(test.p_value, test.n_less - test.n_greater)
    detectable = detectable_share(differing) if outcome == "undecided" and differing >= _FEWEST_PAIRS else None
    note = f"fewer in {test.n_less} pairs, more in {test.n_greater}, equal in {test.n_equal}"
    return _numbers(median) | {"p_value": test.p_value, "outcome": outcome, "detectable": detectable, "note": note}


def higher(method: ArrayLike, reference: ArrayLike, *, margin: float = 0.0, seed: int = 0) -> dict[str, Any]:
    """Test whether the method's mean is higher than the reference's, or, with a margin, not lower by the margin.

    The null hypothesis is that the mean difference is -margin; the test is two-sided. The claim holds if the hypothesis
    is rejected and the mean difference is above -margin. It does not hold if the hypothesis is rejected and the mean
    difference is below -margin. The test is the sign-flip test with six pairs or more, and Student's t with fewer. The
    interval is `stats.mean_interval`.

    With few pairs and rare large losses the test rejects too often. On either side, it rejects 2 to 3 in 100 true
    hypotheses for normal differences, and up to 12 (n = 3) and 8 (n = 10) for strongly skewed ones.

    Parameters
    ----------
    method, reference : array_like (n,)
        Finite values of the same initialisations, such as accuracies.
    margin : float, default 0.0
        Largest loss that still counts as "kept", in units of the values; 0 tests for "is better".
    seed : int, default 0
        Seed of the interval's resamples and of the test's signs.

    Returns
    -------
    dict
        Fields of a `Cell`: ours, ci_low and ci_high (mean difference), n, p_value, outcome, and detectable. That is the
        smallest distance of the mean difference from -margin that the test detects with 80% power; it is None unless
        the outcome is "undecided". A single pair gives only ours, n and the outcome "undecided".
    """
    difference = np.asarray(method, dtype=float) - np.asarray(reference, dtype=float)
    n, mean = len(difference), float(difference.mean())
    if n == 1:
        return {"ours": mean, "n": 1, "outcome": "undecided"}
    few = n < _FEWEST_PAIRS
    p_value = student_p(difference + margin) if few else sign_flip_p(difference + margin, seed=seed)
    interval = mean_interval(difference, seed=seed)
    outcome = outcome_of(p_value, mean + margin)
    varied = np.ptp(difference) > _ROUNDING
    least = detectable_effect(float(difference.std(ddof=1)), n) if outcome == "undecided" and varied else None
    return _numbers(interval) | {"p_value": p_value, "outcome": outcome, "detectable": least}


def student_p(difference: np.ndarray) -> float:
    """Return the two-sided p-value of Student's t-test of a zero mean.

    Equal differences have no variance. For these the p-value of the sign-flip test is returned, which is 1 if all
    differences are 0.

    Parameters
    ----------
    difference : ndarray (n,)
        Paired differences, n >= 2.

    Returns
    -------
    float
    """
    from scipy.stats import ttest_1samp  # slow to import

    if np.ptp(difference) <= _ROUNDING:
        return 1.0 if abs(difference[0]) <= _ROUNDING else 2.0 ** (1 - len(difference))
    return float(ttest_1samp(difference, 0.0).pvalue)


def outcome_of(p_value: float, direction: float) -> str:
    """Return the outcome of a claim from the p-value of its test and the sign of the effect, which is the claim's."""
    if p_value >= SIGNIFICANCE or direction == 0:
        return "undecided"
    return "holds" if direction > 0 else "does_not_hold"


def _numbers(interval: Interval) -> dict[str, Any]:
    ends = [None if end is None or not np.isfinite(end) else end for end in (interval.low, interval.high)]
    ends = [None, None] if None in ends else ends
    estimate = interval.estimate if np.isfinite(interval.estimate) else None
    return {"ours": estimate, "ci_low": ends[0], "ci_high": ends[1], "n": interval.n}
