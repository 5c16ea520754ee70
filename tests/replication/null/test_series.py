"""The null: what exponents and tests say of noise, against what is known of the noise itself.

Independent: autocorrelations and variances of the processes are known in closed form, and the size of an F test in a
regression on independent regressors is its level.
"""

import pytest
import torch

from ccprune.granger import granger_test
from replication.legcnet.settings import SETTINGS
from replication.null import series as noise_series


@pytest.mark.parametrize(
    ("kind", "correlation"), [("white noise", 0.0), ("AR(1)", noise_series.AR_COEFFICIENT), ("random walk", 1.0)]
)
def test_noise_has_the_autocorrelation_of_its_kind(kind, correlation):
    series = noise_series.noise(kind, 4000, 20, seed=1)
    ahead, behind = series[1:], series[:-1]
    measured = (ahead * behind).sum(0) / behind.square().sum(0)
    assert measured.mean() == pytest.approx(correlation, abs=0.02)


def test_noise_steps_have_the_stated_size_and_the_seed_decides():
    white = noise_series.noise("white noise", 5000, 4, seed=3)
    assert white.std().item() == pytest.approx(noise_series.STEP, rel=0.03)
    assert torch.equal(white, noise_series.noise("white noise", 5000, 4, seed=3))
    assert not torch.equal(white, noise_series.noise("white noise", 5000, 4, seed=4))


def test_causal_shares_are_those_of_the_tests_and_missing_where_nothing_can_be_tested():
    effect, causes = (
        noise_series.noise("white noise", 60, 1, seed=0)[:, 0],
        noise_series.noise("white noise", 60, 7, seed=1),
    )
    result = granger_test(effect, causes, max_lag=4)
    shares = noise_series.causal_shares([result, None, result], 0.05)
    assert shares[0] == (result.min_p < 0.05).double().mean() and bool(shares[1].isnan())
    risks = {"own risk": shares, "another's risk": shares[1:2]}
    (cell,) = noise_series.lesson_cells({}, {}, {"iris FT": risks}, seed=0, profile="smoke")
    assert cell.n == 2 and cell.ours == pytest.approx(float(shares[0]))
    assert (cell.dataset, cell.method, cell.quantity) == ("iris", "ft", "own_risk")


def test_cells_of_noise_are_named_by_the_rows_of_the_tables():
    values = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=torch.float64)
    rejections = {"iris PT, AR(1) (119 windows, 5 lags)": {"one_lag": values[0]}}
    exponents = {"white noise, FT": values, "weights (cancer), FT": values}
    found = noise_series.lesson_cells(exponents, rejections, {}, seed=0, profile="smoke")
    assert [(cell.table, cell.dataset, cell.method, cell.quantity, cell.ours) for cell in found] == [
        ("null_exponent", "noise", "ft", "white_noise", pytest.approx(0.25)),
        ("null_rejections", "iris", "pt", "one_lag_AR(1)", pytest.approx(0.15)),
    ]


def test_noise_of_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be one of"):
        noise_series.noise("pink", 10, 1, seed=0)


@pytest.mark.parametrize("kind", noise_series.KINDS)
def test_exponents_of_noise_are_positive(kind):
    """Contradiction 7 of the paper: a positive exponent of a short window is no sign of chaos."""
    for recording in (SETTINGS["cancer"].ft, SETTINGS["cancer"].pt):
        exponents = noise_series.null_exponents(kind, recording, 20, 5, seed=0)
        assert exponents.shape == (20, 5)
        assert (exponents > 0).double().mean() > 0.9


def test_one_lag_keeps_its_level_and_the_smallest_p_does_not():
    generator = torch.Generator().manual_seed(0)
    effects = torch.randn(150, 30, generator=generator, dtype=torch.float64)
    causes = torch.randn(150, 60, generator=generator, dtype=torch.float64)
    rates = {
        way: share.mean().item() for way, share in noise_series.rejection_rates(effects, causes, max_lag=20).items()
    }
    assert 0.03 < rates["one_lag"] < 0.08
    assert 0.03 < rates["augmented"] < 0.07
    assert rates["smallest_p"] > 0.3
    assert rates["smallest_p_f"] < rates["smallest_p"]
    assert rates["corrected"] < 0.03


def test_a_planted_cause_is_found_by_every_way_of_asking():
    generator = torch.Generator().manual_seed(0)
    cause = torch.randn(150, 1, generator=generator, dtype=torch.float64)
    effect = torch.zeros(150, 1, dtype=torch.float64)
    effect[1:] = cause[:-1] + 0.1 * torch.randn(149, 1, generator=generator, dtype=torch.float64)
    rates = noise_series.rejection_rates(effect, cause, max_lag=5)
    assert {way: share.item() for way, share in rates.items()} == dict.fromkeys(rates, 1.0)
