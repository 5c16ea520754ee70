"""Medians, signs, shares and corrections: oracles in SciPy and statsmodels, coverage by simulation."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from ccprune import stats
from replication.ledger import paired
from replication.ledger.power import detectable_effect, detectable_share


def capped_epochs(rng: np.random.Generator, n: int) -> np.ndarray:
    """Epochs near 10, of which half a percent run into a cap of 100: what banknote's look like."""
    return np.where(rng.random(n) < 0.005, 100.0, rng.integers(8, 13, n).astype(float))


def test_rare_capped_runs_break_the_interval_of_the_mean_and_not_that_of_the_median():
    """The mean of the mixture is 10.45. Where no run of a sample was capped its interval lies below, every time."""
    rng, n, times = np.random.default_rng(0), 184, 200
    mean, median = 0.995 * 10 + 0.005 * 100, 10.0
    covered = {"mean": 0, "median": 0}
    for seed in range(times):
        sample = capped_epochs(rng, n)
        by_mean = stats.bootstrap_interval(sample, resamples=300, seed=seed)
        by_median = paired.median_interval(np.where(sample == 100, np.inf, sample))
        covered["mean"] += by_mean.low <= mean <= by_mean.high
        covered["median"] += by_median.low <= median <= by_median.high
    assert covered["mean"] / times < 0.75
    assert covered["median"] / times >= 0.95


@pytest.mark.parametrize("n", [6, 15, 60])
def test_the_medians_interval_covers_as_often_as_it_says(n):
    rng = np.random.default_rng(n)
    found = [paired.median_interval(rng.exponential(1.0, n)) for _ in range(1000)]
    covered = np.mean([one.low <= np.log(2) <= one.high for one in found])
    assert 0.935 <= covered <= 1.0


@pytest.mark.parametrize("n", [6, 7, 40, 200])
def test_the_medians_ranks_are_the_innermost_that_cover(n):
    found = paired.median_interval(np.arange(n))
    rank = int(found.low)
    assert found.high == n - 1 - rank
    assert 1 - 2 * scipy_stats.binom.cdf(rank, n, 0.5) >= 0.95 > 1 - 2 * scipy_stats.binom.cdf(rank + 1, n, 0.5)


def test_few_runs_have_a_median_and_no_interval():
    assert paired.median_interval([3.0, 1.0, 2.0, 9.0, 5.0]) == stats.Interval(3.0, None, None, 5)
    assert paired.median_interval([1.0, np.inf, np.inf]).estimate == np.inf


def test_paired_medians_take_two_runs_that_never_ended_as_equal():
    a, b = [np.inf, np.inf, 5, 5, 5, 5, 5, 5, 5], [np.inf, 7, 7, 7, 7, 7, 7, 7, np.inf]
    found = paired.paired_median_difference(a, b)
    assert (found.estimate, found.low, found.high) == (-2, -2, 0)


@pytest.mark.parametrize(("less", "greater"), [(106, 78), (99, 86), (5, 0), (1, 1)])
def test_the_sign_test_is_scipys(less, greater):
    a = np.r_[np.zeros(less), np.ones(greater), 3.0, np.inf]
    b = np.r_[np.ones(less), np.zeros(greater), 3.0, np.inf]
    found = paired.sign_test(a, b)
    assert (found.n_less, found.n_greater, found.n_equal) == (less, greater, 2)
    assert found.p_value == pytest.approx(scipy_stats.binomtest(less, less + greater).pvalue)


def test_null_signs_of_nothing_reject_as_often_as_the_level():
    rng = np.random.default_rng(0)
    p = [paired.sign_test(*rng.exponential(1.0, (2, 50))).p_value for _ in range(1000)]
    assert np.mean(np.array(p) < 0.05) <= 0.06


def test_signs_without_a_difference_have_p_one():
    assert paired.sign_test([1, 2], [1, 2]).p_value == 1


def test_shares_are_scipys_exact_interval():
    theirs = scipy_stats.binomtest(184, 200).proportion_ci(0.9, method="exact")
    found = paired.share_interval(184, 200, confidence_level=0.9)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert paired.share_interval(0, 5).low == 0 and paired.share_interval(5, 5).high == 1


@pytest.mark.parametrize(("successes", "trials", "level"), [(0, 20, 0.95), (7, 30, 0.9), (30, 30, 0.95)])
def test_the_interval_of_a_share_is_made_of_beta_quantiles(successes, trials, level):
    found, tail = paired.share_interval(successes, trials, confidence_level=level), (1 - level) / 2
    low = scipy_stats.beta.ppf(tail, successes, trials - successes + 1) if successes else 0.0
    high = scipy_stats.beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    assert (found.low, found.high) == pytest.approx((low, high)) and found.estimate == successes / trials


def test_holm_is_statsmodels():
    p = np.random.default_rng(0).random(31) ** 3
    assert paired.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert paired.holm([]).shape == (0,) and paired.holm([0.04]).tolist() == [0.04]


def test_null_holm_keeps_the_chance_of_any_false_rejection():
    rng = np.random.default_rng(0)
    any_false = np.mean([(paired.holm(rng.random(14)) < 0.05).any() for _ in range(2000)])
    assert any_false <= 0.065
    assert np.mean([(rng.random(14) < 0.05).any() for _ in range(2000)]) > 0.4


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_the_detectable_effect_is_statsmodels(n):
    theirs = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert detectable_effect(2.5, n) == pytest.approx(2.5 * theirs, rel=1e-4)


@pytest.mark.parametrize("n", [10, 60, 184])
def test_the_detectable_share_is_found_four_times_in_five(n):
    rng, share = np.random.default_rng(n), detectable_share(n)
    favourable = rng.binomial(n, share, 2000)
    critical = {k: scipy_stats.binomtest(k, n).pvalue < 0.05 for k in set(favourable.tolist())}
    assert np.mean([critical[k] for k in favourable.tolist()]) == pytest.approx(0.8, abs=0.03)
    assert detectable_share(5) is None, "five signs on one side have p = .0625"


def test_a_mean_of_few_runs_has_students_interval_and_of_one_none():
    assert stats.mean_interval([0.5]) == stats.Interval(0.5, None, None, 1)
    assert stats.mean_interval([1, 2, 4]) == stats.student_interval([1, 2, 4])
    many = np.random.default_rng(0).random(30)
    assert stats.mean_interval(many, seed=3) == stats.bootstrap_interval(many, seed=3)


def test_three_runs_are_too_few_for_a_bootstrap():
    """Why `mean_interval` is Student's there: coverage of the mean of three normal runs at a level of 95%."""
    rng, times = np.random.default_rng(0), 300
    covered = {"bootstrap": 0, "ours": 0}
    for seed in range(times):
        sample = rng.standard_normal(3)
        for name, found in (
            ("bootstrap", stats.bootstrap_interval(sample, resamples=300, seed=seed)),
            ("ours", stats.mean_interval(sample)),
        ):
            covered[name] += found.low <= 0 <= found.high
    assert covered["bootstrap"] / times < 0.85
    assert covered["ours"] / times >= 0.92


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired.sign_test([1, 2], [1]), "same length|at least 2"),
        (lambda: paired.sign_test([1, np.nan], [1, 2]), "a must be free of NaN, got nan at index 1"),
        (lambda: paired.median_interval([1]), "sample must be one-dimensional with at least 2"),
        (lambda: paired.median_interval([1, 2], confidence_level=1), "between 0 and 1"),
        (lambda: paired.share_interval(3, 2), "count must lie between 0 and n"),
        (lambda: paired.holm([0.5, 1.5]), r"p_values must be .* in \[0, 1\]"),
        (lambda: paired.holm([np.nan]), "p_values must be"),
        (lambda: detectable_effect(0.0, 5), "sd must be positive"),
        (lambda: detectable_effect(1.0, 1), "n must be an integer of at least 2"),
        (lambda: detectable_share(0), "n must be an integer of at least 1"),
        (lambda: stats.mean_interval([]), "sample must be"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
