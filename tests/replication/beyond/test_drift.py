"""Noise and drift: disturbances without effect, noise of a known law, and series whose disturbance is known."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, levy_stable, norm

from replication.beyond import drift
from replication.causal import Setting
from replication.data.images import Images
from replication.networks import models


@pytest.fixture(scope="module")
def images():
    x = torch.randint(0, 256, (160, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0, 0, 0] > 127).long()
    return Images.from_tensors("planted", x[:128], y[:128], x[128:], y[128:], classes=2, source="test")


def last_epoch(name, images):
    return drift.DISTURBANCES[name].images(images, 0.75, 0)


def test_a_disturbance_without_effect_gives_what_another_order_gives(images):
    still = {drift.ANOTHER_ORDER: drift.Disturbance(), "none": drift.Disturbance(tail=1.5)}
    strong = {"noise": drift.Disturbance(noise=5.0, tail=1.5)}
    names = ["magnitude", "random", "causal_consecutive"]
    runs = drift.drift_runs(
        lambda seed: models.mlp([16, 8, 2], seed=seed),
        images,
        Setting(batch_size=16),
        names,
        sparsities=[0.5],
        epochs=2,
        seeds=[0, 1],
        disturbances=still | strong,
    )
    effects = drift.drift_effects(runs, "overlap", sparsity=0.5).set_index(["disturbance", "method"])
    assert (effects.loc[("none", "magnitude"), ["difference", "low", "high"]] == 0).all()
    assert effects.loc[("noise", "magnitude"), "difference"] < -0.05
    assert effects.loc[("none", "random"), "value"] == pytest.approx(0.5, abs=0.15)
    ranks = drift.drift_effects(runs, "rank correlation")
    assert ranks.method.tolist() == names * 2 and ranks.value.between(-1, 1).all()
    assert len(drift.drift_cells(runs, "planted", "smoke")) == 4 * 4 + 3 * 6


def test_disturbed_images(images):
    wrong = last_epoch("20% wrong labels", images)
    assert float((wrong.y_train != images.y_train).double().mean()) == pytest.approx(0.2, abs=0.01)
    turned = last_epoch("inputs turned half-way", images)
    assert torch.equal(turned.x_test[..., 0, :], images.x_test[..., -1])  # the last column becomes the first row
    renamed = last_epoch("labels renamed half-way", images)
    assert torch.equal(renamed.y_test, 1 - images.y_test)
    for name in ("inputs turned half-way", "labels renamed half-way"):
        assert drift.DISTURBANCES[name].images(images, 0.25, 0) is images
    shares = [
        float(drift.DISTURBANCES["seasonal classes"].images(images, share, 0).y_train.double().mean())
        for share in (0.0, 0.25)
    ]
    assert shares[0] > 0.7 and shares[1] < 0.3


@pytest.mark.parametrize(("tail", "law"), [(2.0, norm(scale=2**0.5)), (1.5, levy_stable(1.5, 0))])
def test_noise_has_the_stable_distribution(tail, law):
    drawn = drift.stable_noise(400, tail=tail, generator=torch.Generator().manual_seed(0)).numpy()
    assert kstest(drawn, law.cdf).pvalue > 0.01


def test_series_have_the_effects_that_are_planted():
    with pytest.raises(ValueError, match="kind must be one of"):
        drift.disturbed_series("unknown", points=50, strength=0.0, seed=0)
    for kind in drift.SERIES_KINDS:
        assert all(one.shape == (60,) for one in drift.disturbed_series(kind, points=60, strength=0.3, seed=0))
    # Least squares on the series' own equation returns its coefficients.
    effect, cause, _ = drift.disturbed_series("undisturbed", points=4000, strength=0.3, seed=0)
    rows = np.stack([effect[:-1], cause[:-1]], axis=1)
    assert np.linalg.lstsq(rows, effect[1:].numpy(), rcond=None)[0] == pytest.approx([0.5, 0.3], abs=0.05)
    effect, cause, driver = drift.disturbed_series("common driver", points=4000, strength=0.0, seed=0)
    alone = np.corrcoef(cause[1:-1], effect[2:] - 0.5 * effect[1:-1])[0, 1]
    given = np.corrcoef(cause[1:-1] - driver[:-2], effect[2:] - 0.5 * effect[1:-1] - driver[:-2])[0, 1]
    assert alone > 0.3 and abs(given) < 0.05


def test_rates_of_the_forms_of_the_test():
    rates = drift.granger_rates(points=120, strength=0.6, repeats=8, significance=0.05, seed=0)
    share = rates.set_index(["kind", "rate", "form"]).sort_index().share
    assert share["undisturbed", "null", "plain"] <= 0.4 and share["undisturbed", "power", "plain"] == 1
    assert share["common driver", "null", "plain"] == 1 and share["common driver", "null", "conditional"] <= 0.4
    changing = share["coupling changes sign half-way", "power"]
    assert changing["time-varying"] > 0.7 and changing["plain"] < 0.4


def test_chaos_of_known_series():
    found = drift.chaos_tests(points=1000, repeats=2, seed=0).groupby("series")[["K", "exponent"]].mean()
    assert found.loc["logistic, r = 4", "exponent"] == pytest.approx(np.log(2), abs=0.05)
    assert found.loc["logistic, r = 4", "K"] > 0.9 > 0.1 > abs(found.loc["sine", "K"])
    assert found.loc["white noise", "K"] > 0.9  # noise looks chaotic
