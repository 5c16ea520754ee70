"""Oracles: scipy.stats (bootstrap, permutation_test), closed forms, and simulation under a known truth."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from ccprune import stats
from ccprune.stats import intervals, paired, samples


def exponential(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).exponential(10.0, n)


@pytest.mark.parametrize("n", [12, 41])
def test_bootstrap_agrees_with_scipy_bca(n):
    sample = exponential(n) ** 2
    ours = stats.bootstrap_interval(sample, resamples=100_000)
    theirs = scipy_stats.bootstrap(
        (sample,), np.mean, n_resamples=100_000, method="BCa", rng=np.random.default_rng(9)
    ).confidence_interval
    assert ours.estimate == pytest.approx(np.mean(sample))
    # Two independent Monte Carlo runs.
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.02 * width)


def test_bootstrap_corrects_for_skewness():
    sample = exponential(25, seed=3) ** 2
    interval = stats.bootstrap_interval(sample)
    percentile = scipy_stats.bootstrap((sample,), np.mean, method="percentile", rng=0).confidence_interval
    # For a right-skewed sample BCa moves both ends up.
    assert interval.low > percentile.low
    assert interval.high > percentile.high * 1.02


def test_bootstrap_covers_the_true_mean():
    hits = 0
    for seed in range(400):
        interval = stats.bootstrap_interval(exponential(60, seed), resamples=500, seed=seed)
        hits += interval.low <= 10.0 <= interval.high
    assert 0.90 <= hits / 400 <= 0.98


def test_bootstrap_honours_seed_and_level():
    sample = exponential(30)
    assert stats.bootstrap_interval(sample, seed=1) == stats.bootstrap_interval(sample, seed=1)
    assert stats.bootstrap_interval(sample, seed=1) != stats.bootstrap_interval(sample, seed=2)
    narrow, wide = (stats.bootstrap_interval(sample, confidence_level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_bootstrap_does_not_depend_on_memory_chunks(monkeypatch):
    sample = exponential(30)
    whole = stats.bootstrap_interval(sample, resamples=999)
    monkeypatch.setattr(samples, "CHUNK", 30 * 70)
    monkeypatch.setattr(intervals, "CHUNK", 30 * 70)
    assert stats.bootstrap_interval(sample, resamples=999) == whole


def test_bootstrap_of_equal_values_has_no_width():
    assert stats.bootstrap_interval([0.1] * 7) == stats.Interval(0.1, 0.1, 0.1, 7)


def test_bootstrap_of_a_nearly_constant_sample_is_finite():
    for sample in ([0.9] * 9 + [1.0], [1.0] * 9 + [1.0 + 2**-52]):
        interval = stats.bootstrap_interval(sample)
        assert np.isfinite([interval.low, interval.high]).all()
        assert interval.low <= interval.high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample": [1.0]}, "at least 2 values"),
        ({"sample": [[1.0, 2.0]]}, "one-dimensional"),
        ({"sample": [1.0, float("nan")]}, "sample must be finite, got nan at index 1"),
        ({"sample": [1.0, float("inf")]}, "finite"),
        ({"sample": [1.0, 2.0], "confidence_level": 95}, "confidence_level"),
        ({"sample": [1.0, 2.0], "resamples": 0}, "resamples"),
    ],
)
def test_bootstrap_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        stats.bootstrap_interval(arguments.pop("sample"), **arguments)


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_exact_sign_flip_equals_scipy(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.4, 1, n), rng.normal(0, 1, n)
    theirs = scipy_stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert stats.paired_difference(a, b).p_value == pytest.approx(theirs.pvalue, abs=1e-12)


def test_exact_sign_flip_closed_form():
    # All n differences of one sign: only the two extreme patterns reach the sum seen.
    for n in (3, paired.EXACT_PAIRS):
        result = stats.paired_difference(np.arange(1.0, n + 1), np.zeros(n))
        assert result.p_value == pytest.approx(2 / 2**n, rel=1e-12)
        assert result.estimate == pytest.approx((n + 1) / 2)


def test_rounding_does_not_hide_ties():
    # The sum of 0.1, 0.2 and -0.3 is not 0 in floating point, but it is no evidence against 0.
    difference = np.array([0.1, 0.2, -0.3, 0.1, 0.2, -0.3])
    assert 0 < abs(difference.sum()) < 1e-15
    assert stats.paired_difference(difference, np.zeros(6)).p_value == 1.0


def test_monte_carlo_sign_flip_is_close_to_exact_and_never_zero(monkeypatch):
    a = np.random.default_rng(0).normal(0.5, 1, 13)
    exact = stats.paired_difference(a, np.zeros(13)).p_value
    monkeypatch.setattr(paired, "EXACT_PAIRS", 0)
    drawn = stats.sign_flip_p(a, permutations=40_000)
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 40_000))
    assert stats.sign_flip_p(np.full(40, 9.0) + np.arange(40), permutations=99) == 1 / 100


@pytest.mark.parametrize("n", [10, 20])
def test_p_is_uniform_under_the_null(n):
    rng = np.random.default_rng(5)
    p = [stats.sign_flip_p(np.subtract(*rng.normal(size=(2, n))), permutations=400, seed=s) for s in range(500)]
    assert scipy_stats.kstest(p, "uniform").pvalue > 0.01


@pytest.mark.parametrize("n", [6, 30])
def test_no_difference_at_all(n):
    a = np.arange(float(n))
    assert stats.paired_difference(a, a) == stats.PairedDifference(0.0, 0.0, 0.0, 1.0, n)


def test_paired_difference_is_of_pairs():
    a, b = exponential(30), exponential(30) * 0 + 1.0
    result = stats.paired_difference(a, b, seed=4)
    interval = stats.bootstrap_interval(a - b, seed=4)
    assert (result.estimate, result.low, result.high) == (interval.estimate, interval.low, interval.high)
    with pytest.raises(ValueError, match="same length, got 30 and 29"):
        stats.paired_difference(a, b[1:])
