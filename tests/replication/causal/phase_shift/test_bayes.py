"""Oracles: the marginal likelihood by numerical integration. Nulls: lines, smooth curves."""

import numpy as np
import pytest
from scipy import integrate

from replication.beyond.uncertainty import POINTS, curves
from replication.causal.phase_shift import bayes


def test_evidence_is_that_of_numerical_integration():
    """Of y = a + b h + e with a flat prior of a, b ~ Cauchy(sigma sqrt(n) / |h|) and 1 / sigma^2, against b = 0."""
    rng, n = np.random.default_rng(0), 8
    h = np.linspace(-1, 1, n)
    y = 0.3 * h + 0.5 * rng.standard_normal(n)
    centred = y - y.mean()
    size, fit = h @ h, h @ centred / (h @ h)

    def integrand(precision, slope, prior):
        ssr = np.sum((centred - slope * h) ** 2)
        return precision ** ((n - 1) / 2 - 1) * np.exp(-precision * ssr / 2) * prior(slope, precision)

    def cauchy(slope, precision):
        scale = np.sqrt(n / (precision * size))
        return 1 / (np.pi * scale * (1 + (slope / scale) ** 2))

    bent = integrate.dblquad(lambda p, b: integrand(p, b, cauchy), fit - 6, fit + 6, 0, 200, epsrel=1e-6)[0]
    flat = integrate.quad(lambda p: integrand(p, 0.0, lambda *_: 1.0), 0, 200)[0]
    ssr = np.sum((centred - fit * h) ** 2)
    assert bayes._log_evidence(y[:, None], np.array([[ssr]]), 1)[0, 0] == pytest.approx(np.log(bent / flat), abs=1e-3)


def test_repetitions_add_their_bayes_factors_and_their_order_does_not_matter():
    accuracy = curves("ramp", 4, noise=0.02, seed=0)
    found = bayes.change_point_posterior(POINTS, accuracy)
    alone = [bayes.change_point_posterior(POINTS, row[None]).log10_bayes_factor for row in accuracy]
    assert found.per_run == pytest.approx(alone)
    assert found.log10_bayes_factor == pytest.approx(sum(alone))
    turned = bayes.change_point_posterior(POINTS, 100 * accuracy[::-1] - 3)  # nor do units
    assert (turned.low, turned.high, turned.probability) == pytest.approx((found.low, found.high, found.probability))


@pytest.mark.parametrize("shape, corner", [("stick", 0.8), ("ramp", 0.6)])
def test_interval_covers_the_corner(shape, corner):
    found = [bayes.change_point_posterior(POINTS, curves(shape, 5, noise=0.01, seed=s)) for s in range(12)]
    assert np.mean([one.low <= corner <= one.high for one in found]) >= 0.85
    assert np.mean([one.high - one.low for one in found]) < 0.15
    assert np.mean([one.probability > 0.95 for one in found]) >= 0.8
    assert all(one.decided for one in found if one.probability > 0.95)


@pytest.mark.parametrize("shape", ["line", "logistic", "exponential"])
def test_null_curves_are_rarely_called_abrupt(shape):
    found = [bayes.change_point_posterior(POINTS, curves(shape, 5, noise=0.02, seed=s)) for s in range(12)]
    assert np.mean([one.probability > 0.95 for one in found]) <= 0.1
    assert np.mean([one.probability for one in found]) < 0.3


def test_curves_without_any_error_are_finite():
    for accuracy in (0 * POINTS + 0.9, np.where(POINTS > 0.82, 0.1, 0.95)):
        found = bayes.change_point_posterior(POINTS, [accuracy] * 2)
        assert np.isfinite([found.probability, found.log10_bayes_factor, found.low, found.high]).all()
    assert found.probability > 0.99 and found.low <= 0.8 <= found.high


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="accuracy must have shape"):
        bayes.change_point_posterior(POINTS, np.zeros(3))
    with pytest.raises(ValueError, match="confidence_level must lie"):
        bayes.change_point_posterior(POINTS, np.zeros((1, 15)), confidence_level=1)
