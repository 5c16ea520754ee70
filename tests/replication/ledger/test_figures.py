"""The rules for single published figures. Oracles: printed figures rounded by hand, and simulated further runs."""

import numpy as np
import pytest
from scipy.stats import t

from ccprune import stats
from replication.ledger import VERDICTS
from replication.ledger.figures import pooled_range, prediction_range, verdict_exact, verdict_sample


def exponential(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).exponential(10.0, n)


@pytest.mark.parametrize(
    ("published", "ours", "decimals", "verdict"),
    [
        (0.8759, 120 / 137, 4, "identical"),  # 0.875912
        (0.8686, 119 / 137, 4, "identical"),  # 0.868613
        (0.1428, 1 / 7, 4, "identical"),  # 0.142857 truncated
        (0.1429, 1 / 7, 4, "identical"),  # ... or rounded
        (0.1430, 1 / 7, 4, "outside"),
        (0.13, 0.125, 2, "identical"),  # half up
        (0.12, 0.125, 2, "identical"),  # half to even
        (70, 70.0, 0, "identical"),
        (70, 71, 0, "outside"),
        (-0.5, -0.56, 1, "identical"),
        (70, None, 0, "outside"),
    ],
)
def test_verdict_exact(published, ours, decimals, verdict):
    assert verdict_exact(published, ours, decimals=decimals) == verdict
    assert verdict in VERDICTS


def test_verdict_exact_refuses():
    with pytest.raises(ValueError, match="at most 2 decimals, got 0.8759"):
        verdict_exact(0.8759, 0.87, decimals=2)
    with pytest.raises(ValueError, match="ours must be finite"):
        verdict_exact(0.8, float("nan"), decimals=1)


def test_prediction_range_covers_the_next_run():
    rng = np.random.default_rng(0)
    for n in (39, 60, 200):
        draws = rng.lognormal(size=(4000, n + 1))
        ranges = np.array([prediction_range(draw[:-1]) for draw in draws])
        share = np.mean((ranges[:, 0] <= draws[:, -1]) & (draws[:, -1] <= ranges[:, 1]))
        assert share == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))


def test_prediction_range_of_few_runs_is_smallest_to_largest():
    assert prediction_range([3.0, 1.0, 2.0]) == (1.0, 3.0)
    sample = exponential(50)
    assert prediction_range(sample) == pytest.approx(tuple(np.quantile(sample, [0.025, 0.975], method="weibull")))


def test_prediction_range_with_runs_that_never_finished():
    never = float("inf")
    assert prediction_range([30.0] * 36 + [40.0] * 2 + [never] * 3) == (30.0, never)
    assert prediction_range([30.0] * 99 + [never]) == (30.0, 30.0)
    assert verdict_sample(400, [30.0] * 38 + [never] * 3, decimals=0) == "within_noise"


def test_verdict_sample_uses_single_runs_not_their_mean():
    sample = np.random.default_rng(0).normal(50, 10, 400)
    assert verdict_sample(62, sample, decimals=0) == "within_noise"  # far outside the mean's interval
    assert stats.bootstrap_interval(sample).high < 55
    assert verdict_sample(95, sample, decimals=0) == "outside"
    assert verdict_sample(5, sample, decimals=0) == "outside"


def test_verdict_sample_allows_for_printed_decimals():
    sample = [120 / 137] * 50
    assert verdict_sample(0.8759, sample, decimals=4) == "within_noise"
    assert verdict_sample(0.8760, [0.87596] * 50, decimals=4) == "within_noise"
    assert verdict_sample(0.8758, sample, decimals=4) == "outside"
    assert verdict_sample(0.8761, sample, decimals=4) == "outside"
    with pytest.raises(ValueError, match="free of NaN"):
        verdict_sample(0.8759, [0.8, float("nan")], decimals=4)


def test_pooled_range_is_a_prediction_interval_of_few_runs():
    # Oracle: with one setting it is the textbook interval of one further normal value.
    values = [0.71, -0.72, 0.74]
    low, high = pooled_range(values, [values])
    half = t.ppf(0.975, 2) * np.std(values, ddof=1) * np.sqrt(4 / 3)
    assert (low, high) == pytest.approx((np.mean(values) - half, np.mean(values) + half))
    logs = pooled_range(np.exp(values), [np.exp(values)])
    assert logs == pytest.approx((np.exp(low), np.exp(high)))
    assert pooled_range([1.0], [[1.0], [2.0, 3.0]]) is None  # one degree of freedom
    with pytest.raises(ValueError, match="finite"):
        pooled_range([np.nan], [[1.0, 2.0, 3.0]])


@pytest.mark.parametrize("runs", [1, 2, 3])
def test_pooled_range_has_its_coverage_where_settings_scatter_alike_and_power_against_a_shift(runs):
    generator = np.random.default_rng(runs)
    groups = 100 * np.exp(0.05 * generator.standard_normal((2000, 6, 2)))
    further = 100 * np.exp(0.05 * generator.standard_normal(2000))
    ranges = [pooled_range(part[0][:runs] if runs < 3 else [*part[0], part[1][0]], list(part)) for part in groups]
    inside = np.mean([low <= value <= high for (low, high), value in zip(ranges, further, strict=True)])
    shifted = np.mean([low <= 1.4 * value <= high for (low, high), value in zip(ranges, further, strict=True)])
    assert 0.935 < inside < 0.965
    assert shifted < 0.2  # 40% away is seven standard deviations of single runs


def test_pooled_range_is_too_narrow_where_a_setting_scatters_more():
    # What the assumption of equal scatter is worth: a setting with three times the others' scatter is covered rarely.
    generator = np.random.default_rng(0)
    spread = np.array([3, 1, 1, 1, 1, 1])
    groups = 100 * np.exp(0.05 * spread[:, None] * generator.standard_normal((2000, 6, 2)))
    further = 100 * np.exp(0.15 * generator.standard_normal(2000))
    ranges = [pooled_range(part[0], list(part)) for part in groups]
    inside = np.mean([low <= value <= high for (low, high), value in zip(ranges, further, strict=True)])
    assert 0.6 < inside < 0.85
