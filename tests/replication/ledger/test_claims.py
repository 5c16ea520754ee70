"""Rules for claims: oracles, and how often they are wrong and right by simulation under a known truth."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from replication.ledger.claims import fewer_epochs, higher, student_p
from replication.ledger.power import detectable_effect


def outcomes(rule, draw, *, times: int, seed: int = 0) -> dict[str, float]:
    """Share of each outcome over simulated pairs."""
    rng = np.random.default_rng(seed)
    found = [rule(*draw(rng))["outcome"] for _ in range(times)]
    return {word: found.count(word) / times for word in ("holds", "does_not_hold", "undecided")}


def normal(n: int, shift: float):
    return lambda rng: (shift + rng.standard_normal(n), np.zeros(n))


def epochs(n: int, factor: float, *, capped: float = 0.05):
    """Skewed epochs, a share of them never reaching the benchmark, of the same initialisations."""

    def draw(rng):
        base = rng.lognormal(3.5, 0.5, n)
        pair = [np.round(base * rng.lognormal(0.0, 0.2, n)), np.round(base * factor * rng.lognormal(0.0, 0.2, n))]
        return [np.where(rng.random(n) < capped, np.inf, side) for side in (pair[1], pair[0])]

    return draw


@pytest.mark.parametrize("n", [3, 5, 30])
def test_null_a_difference_that_is_not_there_is_found_in_one_of_twenty_at_most(n):
    found = outcomes(higher, normal(n, 0.0), times=150)
    assert found["holds"] + found["does_not_hold"] <= 0.10


def test_power_of_a_mean_difference_is_what_detectable_states():
    n = 20
    found = outcomes(higher, normal(n, detectable_effect(1.0, n)), times=100)
    assert 0.65 <= found["holds"] <= 0.95 and found["does_not_hold"] == 0


def test_margin_shifts_the_question():
    n = 30
    assert outcomes(lambda a, b: higher(a, b, margin=1.0), normal(n, -1.0), times=60)["undecided"] >= 0.88
    assert outcomes(lambda a, b: higher(a, b, margin=1.0), normal(n, 0.0), times=30)["holds"] >= 0.95
    assert outcomes(lambda a, b: higher(a, b, margin=1.0), normal(n, -2.0), times=30)["does_not_hold"] >= 0.95


@pytest.mark.parametrize("n", [10, 60])
def test_null_epochs_alike_are_told_apart_in_one_of_twenty_at_most(n):
    found = outcomes(fewer_epochs, epochs(n, 1.0), times=300)
    assert found["holds"] + found["does_not_hold"] <= 0.08


def test_power_of_the_sign_test_on_skewed_and_censored_epochs():
    found = outcomes(fewer_epochs, epochs(60, 0.85), times=100)
    assert found["holds"] >= 0.9 and found["does_not_hold"] == 0


def test_three_runs_decide_nothing_by_their_signs():
    """Three pairs on one side have p = .25: no claim about epochs holds or fails on them."""
    found = fewer_epochs([1, 2, 3], [11, 12, 13])
    assert (found["outcome"], found["p_value"], found["ci_low"], found["detectable"]) == ("undecided", 0.25, None, None)
    worse = fewer_epochs([11, 12, 13], [1, 2, 3])
    assert worse["outcome"] == "undecided"


def test_three_equal_differences_decide_nothing():
    assert higher([0.91, 0.92, 0.93], [0.9, 0.91, 0.92])["p_value"] == pytest.approx(0.25)
    assert higher([0.931, 0.94, 0.951], [0.927, 0.936, 0.947])["p_value"] == pytest.approx(0.25), (
        "equal but for rounding"
    )
    assert higher([0.9, 0.9, 0.9], [0.9, 0.9, 0.9], margin=0.01)["outcome"] == "undecided"


def test_few_pairs_are_judged_by_student():
    a, b = np.array([0.80, 0.82, 0.85]), np.array([0.70, 0.71, 0.76])
    found = higher(a, b)
    theirs = scipy_stats.ttest_rel(a, b)
    assert found["p_value"] == pytest.approx(theirs.pvalue)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(tuple(theirs.confidence_interval()))
    assert found["outcome"] == "holds"
    assert student_p(a - b) == pytest.approx(theirs.pvalue)


def test_one_pair_has_neither_p_nor_interval():
    assert higher([0.9], [0.8]) == {"ours": pytest.approx(0.1), "n": 1, "outcome": "undecided"}


def test_many_pairs_are_judged_by_sign_flips():
    rng = np.random.default_rng(3)
    a, b = 0.4 + rng.standard_normal(12), np.zeros(12)
    theirs = scipy_stats.permutation_test(
        (a - b,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert higher(a, b)["p_value"] == pytest.approx(theirs.pvalue, abs=1e-9)


def test_infinite_epochs_count_as_more_than_any_number():
    a, b = [10, 10, 10, 10, 10, 10, 10], [np.inf, 20, 20, 20, 20, 20, np.inf]
    found = fewer_epochs(a, b)
    assert found["outcome"] == "holds" and found["ours"] == -10 and found["n"] == 7
    assert found["ci_low"] is None, "the end of the interval is an infinite difference"
    assert fewer_epochs([np.inf] * 7, [np.inf] * 7)["p_value"] == 1


def test_an_undecided_claim_states_what_would_have_been_found():
    rng = np.random.default_rng(0)
    found = fewer_epochs(rng.integers(10, 20, 40), rng.integers(10, 20, 40))
    assert found["outcome"] == "undecided" and 0.5 < found["detectable"] < 0.85
    assert higher(np.r_[np.ones(10), np.zeros(10)], np.zeros(20))["detectable"] is None, "a decided one does not"


def test_equal_differences_say_nothing_of_what_would_have_been_found():
    nearly = higher([0.1 + 0.2, 0.3], [0.0, 0.0])
    assert nearly["outcome"] == "undecided" and nearly["detectable"] is None
