"""Oracles: the level that an F test in a regression on noise has exactly, scipy's noncentral F for its power,
`surrogates.rejection_rates` on the same series.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from ccprune.granger import benjamini_hochberg, granger_test
from replication import null as calibrate
from replication.legcnet import procedure as legcnet
from replication.null import series as surrogates


def test_without_a_cause_the_rate_is_the_level_and_corrections_hold_it_for_all_weights():
    draw = calibrate.noise_series("white noise", windows=40, weights=20)
    table = calibrate.false_positive_rate(draw, max_lag=1, lag=1, repeats=300).set_index("correction")
    plain = table.loc["none"]
    assert plain.share_low < 0.05 < plain.share_high and plain.share_high - plain.share_low < 0.03
    assert plain.any_low < 1 - 0.95**20 < plain.any_high  # 64%: of 20 weights, one is called causal
    for correction in ("bonferroni", "benjamini_hochberg"):
        assert table.any_low[correction] < 0.05 < table.any_high[correction] + 0.02
        assert table["any"][correction] <= 0.1 and table.share[correction] < 0.01
    assert set(table.windows) == {40} and set(table.weights) == {20} and set(table.repeats) == {300}


def test_the_smallest_p_over_lags_and_random_walks_break_the_level():
    white, walk = (calibrate.noise_series(kind, windows=60, weights=10) for kind in ("white noise", "random walk"))
    many = calibrate.false_positive_rate(white, max_lag=8, lag="smallest", repeats=60).share[0]
    walks = calibrate.false_positive_rate(walk, max_lag=1, lag=1, repeats=60)
    augmented = calibrate.false_positive_rate(walk, max_lag=1, lag=1, augment=1, repeats=60)
    assert many > 0.12 and walks.share_low[0] > 0.06 > augmented.share[0]


def test_rates_are_those_of_the_null_notebook():
    series = surrogates.noise("AR(1)", 50, 31, seed=4)
    effect, causes = series[:, 0], series[:, 1:]
    expected = surrogates.rejection_rates(effect[:, None], causes, max_lag=4)
    ways = {
        "one_lag": calibrate.p_values(effect, causes, max_lag=4, lag=1, test="ssr_chi2"),
        "smallest_p": calibrate.p_values(effect, causes, max_lag=4, lag="smallest", test="ssr_chi2"),
        "bic_lag": calibrate.p_values(effect, causes, max_lag=4),
        "corrected": benjamini_hochberg(calibrate.p_values(effect, causes, max_lag=4)),
        "augmented": calibrate.p_values(effect, causes, max_lag=1, lag=1, augment=1),
    }
    for way, p_value in ways.items():
        assert float((p_value < 0.05).double().mean()) == float(expected[way]), way
    found = granger_test(effect, causes, max_lag=4, test="ssr_f")
    assert torch.equal(calibrate.p_values(effect, causes, max_lag=4, lag="aic"), found.p_at(found.best_lag("aic")))
    with pytest.raises(ValueError, match="lag must be a number of lags, 'bic', 'aic' or 'smallest', got 'best'"):
        calibrate.p_values(effect, causes, max_lag=4, lag="best")


def test_exponents_of_noise_can_be_the_causes():
    recording = legcnet.SETTINGS["cancer"].pt
    effect, causes = calibrate.noise_series("random walk", windows=20, weights=3, recording=recording)(7)
    assert effect.shape == (20,) and causes.shape == (20, 3)
    assert torch.equal(causes, surrogates.null_exponents("random walk", recording, 20, 3, seed=8))


def test_surrogates_keep_the_effect_and_take_the_relation_away():
    effect, causes = calibrate.planted_series(2.0, windows=80, weights=6)(0)
    assert float(calibrate.p_values(effect, causes, max_lag=1, lag=1)[0]) < 1e-6
    draw = calibrate.surrogate_series(effect, causes)
    assert torch.equal(draw(1)[0], effect) and torch.equal(draw(1)[1], draw(1)[1])
    assert not torch.equal(draw(1)[1], draw(2)[1]) and not torch.equal(draw(1)[1], causes)
    table = calibrate.false_positive_rate(draw, max_lag=1, lag=1, repeats=60)
    assert 0.02 < table.share[0] < 0.09


def test_null_at_strength_zero_power_is_the_level():
    table = calibrate.power([0.0], windows=30, weights=5, max_lag=1, lag=1, repeats=500).set_index("correction")
    assert table.power_low["none"] < 0.05 < table.power_high["none"]
    assert table.share_low["none"] < 0.05 < table.share_high["none"]
    assert table.power_low["bonferroni"] < 0.01 < table.power_high["bonferroni"]


def test_power_is_that_of_the_noncentral_f():
    """One lag, white causes: given the cause, F is noncentral with strength^2 times the cause's sum of squares about
    its mean, less what the effect's own lag explains of it, which is about (windows - 1) - 2.
    """
    strengths, windows = [0.2, 0.4, 0.6], 60
    table = calibrate.power(strengths, windows=windows, weights=1, max_lag=1, lag=1, repeats=400)
    assert "share" not in table
    plain = table[table.correction == "none"]
    freedom = windows - 1 - 3
    critical = stats.f.ppf(0.95, 1, freedom)
    expected = [stats.ncf.sf(critical, 1, freedom, s**2 * (windows - 3)) for s in strengths]
    assert np.all((plain.power_low < np.array(expected) + 0.02) & (np.array(expected) - 0.02 < plain.power_high))
    assert plain.power.is_monotonic_increasing and plain.power.iloc[-1] > 0.95


def test_correction_costs_power_and_only_the_planted_cause_is_found():
    table = calibrate.power([0.5], windows=60, weights=20, max_lag=2, repeats=100).set_index("correction")
    assert table.power["none"] > table.power["bonferroni"] > 0.3
    assert table.power["benjamini_hochberg"] >= table.power["bonferroni"]
    assert table.share["bonferroni"] < 0.01 and table.share["none"] > 0.02
    for name in ("power", "share"):
        assert (table[f"{name}_low"] <= table[name]).all() and (table[name] <= table[f"{name}_high"]).all()


def test_planted_series_are_what_they_say():
    effect, causes = calibrate.planted_series(3.0, windows=4000, weights=2)(1)
    assert np.corrcoef(effect[1:], causes[:-1, 0])[0, 1] == pytest.approx(3 / 10**0.5, abs=0.02)
    assert abs(np.corrcoef(effect[1:], causes[:-1, 1])[0, 1]) < 0.05
    still = calibrate.planted_series(0.0, windows=4000, weights=2)(1)
    assert torch.equal(still[1], causes) and float(still[0].std()) == pytest.approx(1, abs=0.05)


def test_the_seed_decides():
    draw = calibrate.noise_series("AR(1)", windows=30, weights=4)
    tables = [calibrate.false_positive_rate(draw, max_lag=2, repeats=20, seed=seed) for seed in (1, 1, 2)]
    assert tables[0].equals(tables[1]) and not tables[0].equals(tables[2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: calibrate.noise_series("white noise", windows=0, weights=1),
            "windows must be an integer of at least 1",
        ),
        (lambda: calibrate.noise_series("pink", windows=9, weights=1)(0), "kind must be one of"),
        (lambda: calibrate.planted_series(float("nan"), windows=9, weights=1), "strength must be finite"),
        (lambda: calibrate.planted_series(1.0, windows=9, weights=0), "weights must be an integer of at least 1"),
        (
            lambda: calibrate.power([1.0], windows=20, weights=1, max_lag=1, significance=1.0),
            "significance must lie between 0 and 1",
        ),
        (lambda: calibrate.power([1.0], windows=20, weights=1, max_lag=1, repeats=1), "repeats must be an integer"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
