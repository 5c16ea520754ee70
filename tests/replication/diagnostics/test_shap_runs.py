"""Oracles: one network taken by hand from initial weights to importance, and tables of which the answer is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from ccprune.stats import paired_difference
from replication.data import Dataset
from replication.diagnostics import shap_runs
from replication.diagnostics.explanations import background_sample, importance, shap_values
from replication.diagnostics.shap_runs import NOISE_FLOOR, agreements, claims, fresh_importances
from replication.legcnet import procedure as legcnet
from replication.legcnet import runs as legcnet_runs
from replication.legcnet.runs import run
from replication.legcnet.settings import Settings, WindowSettings
from replication.networks import models
from replication.networks.ensemble import initialise
from replication.networks.masks import remove_lowest

RECORDING = WindowSettings(epochs=9, window=20, steps=3, max_lag=3)
SMALL = Settings(hidden=4, lr=0.6, benchmark=0.9, budget=20, ft=RECORDING, pt=replace(RECORDING, epochs=5, max_lag=1))
FEATURES = ("a", "b", "c")
METHODS = ("dense", "ft", "random", "magnitude", "pt", "random_pt", "magnitude_pt", NOISE_FLOOR)
PAIRS = (("ft", "random"), ("pt", "random_pt"), ("random", "random_pt"), ("random", "dense"), ("magnitude", "dense"))


def dataset(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 3))
    y = (x[:, :1] + 0.8 * rng.standard_normal((60, 1)) > 0).astype(float)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    return Dataset("small", x[:40], y[:40], x[40:], y[40:], FEATURES, 2, "standard", "packaged")


def fresh(**options):
    return pd.concat(fresh_importances(dataset(), SMALL, **{"seeds": 5, "background": 15, **options}))


@pytest.fixture(scope="module")
def rows():
    return fresh()


def of(rows, network, method):
    return rows[(rows.network == network) & (rows.method == method)].set_index("feature").importance[list(FEATURES)]


def test_there_is_one_row_for_each_network_method_and_feature(rows):
    assert len(rows) == 5 * len(METHODS) * len(FEATURES)
    assert list(dict.fromkeys(rows.method)) == list(METHODS)
    assert not rows.duplicated(["network", "method", "feature"]).any() and set(rows.network) == set(range(5))
    removed = rows.groupby(["network", "method"]).removed.first().unstack()
    for method, controls in (("ft", ("random", "magnitude")), ("pt", ("random_pt", "magnitude_pt"))):
        assert removed[method].any()
        assert all((removed[method] == removed[control]).all() for control in controls)
    assert (removed[["dense", NOISE_FLOOR]] == 0).all(axis=None)


@pytest.mark.parametrize("method", ["dense", "ft", "pt", "magnitude"])
def test_importances_are_those_of_a_network_taken_through_by_hand(rows, method):
    data, network = dataset(), 3
    ensemble = initialise((3, 4, 1), 5, seed=0).select([network])
    keep = torch.ones(1, 16, dtype=torch.bool)
    if method in ("ft", "pt"):
        keep = legcnet.masks(ensemble, data, SMALL, method=method)
    elif method == "magnitude":
        removed = (~legcnet.masks(ensemble, data, SMALL)).sum(1)
        keep = remove_lowest(run(data, SMALL, ensemble, keep).ensemble.weights.abs(), removed)
    trained = run(data, SMALL, ensemble, keep)
    background = background_sample(data.x_train, rows=15, seed=0)
    expected = importance(shap_values(models.from_ensemble(trained.ensemble, 0), background, data.x_test))
    assert of(rows, network, method).tolist() == pytest.approx(expected.tolist(), rel=1e-9)
    row = rows[(rows.network == network) & (rows.method == method)].iloc[0]
    assert row.removed == (~keep).sum() and row.reached == trained.reached[0]
    assert row.accuracy == trained.test_accuracy[0]


def test_random_masks_and_the_noise_floor_are_networks_of_their_own(rows):
    wide = rows.pivot(index=["network", "feature"], columns="method", values="importance")
    differ = {pair: (wide[pair[0]] - wide[pair[1]]).abs().groupby("network").max() > 1e-6 for pair in PAIRS}
    assert all(found.any() for found in differ.values())
    for network in range(5):
        assert all(abs(of(rows, n, "dense") - of(rows, network, NOISE_FLOOR)).max() > 1e-6 for n in range(5))


def test_a_network_depends_on_the_seed_and_its_number_alone(rows, monkeypatch):
    order = ["network", "method", "feature"]
    expected = rows[rows.network < 3].sort_values(order, ignore_index=True)
    monkeypatch.setattr(legcnet_runs, "CHUNK", 2)
    pd.testing.assert_frame_equal(fresh(seeds=3).sort_values(order, ignore_index=True), expected)
    other = fresh(seeds=3, seed=1).sort_values(order, ignore_index=True)
    dense = expected.method.isin(["dense", NOISE_FLOOR])
    assert not np.isclose(other.importance, expected.importance)[dense].any()


def test_methods_and_the_end_of_training_can_be_chosen(rows):
    whole = fresh(methods=("pt",), stop=False)
    assert list(dict.fromkeys(whole.method)) == ["dense", "pt", "random_pt", "magnitude_pt", NOISE_FLOOR]
    assert rows.reached.any() and not whole.reached.any()
    trained = run(dataset(), SMALL, initialise((3, 4, 1), 1, seed=0), torch.ones(1, 16, dtype=torch.bool), stop=False)
    background = background_sample(dataset().x_train, rows=15, seed=0)
    expected = importance(shap_values(models.from_ensemble(trained.ensemble, 0), background, dataset().x_test))
    assert of(whole, 0, "dense").tolist() == pytest.approx(expected.tolist(), rel=1e-9)


def table_of(importances):
    """{(network, method): (removed, importances)} in the form of `fresh_importances`."""
    rows = []
    for (network, method), (removed, values) in importances.items():
        about = {"network": network, "method": method, "removed": removed, "reached": True, "accuracy": 0.5}
        rows += [{**about, "feature": f"f{i}", "importance": value} for i, value in enumerate(values)]
    return pd.DataFrame(rows)


def test_agreements_compare_with_the_dense_network_of_the_same_initialisation():
    up, down = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    part = {(0, "dense"): (0, up), (0, "ft"): (2, up), (1, "ft"): (3, up), (1, "dense"): (0, down)}
    part |= {(0, NOISE_FLOOR): (0, down), (1, NOISE_FLOOR): (0, [0.0, 0.0, 1.0, 1.0, 1.0, 1.0])}
    found = agreements(table_of(part)).set_index(["network", "method"])
    assert set(found.index) == {(0, "ft"), (1, "ft"), (0, NOISE_FLOOR), (1, NOISE_FLOOR)}
    expected = {(0, "ft"): (1, 1, 1, 1), (1, "ft"): (-1, -1, 0, 12 / 21), (0, NOISE_FLOOR): (-1, -1, 0, 12 / 21)}
    for index, values in expected.items():  # top_k: two features, a third of six
        assert found.loc[index, list(shap_runs.QUANTITIES)].tolist() == pytest.approx(values)
    assert found.loc[(1, NOISE_FLOOR), "top_k"] == 0
    assert found.removed.to_dict() == {(0, "ft"): 2, (1, "ft"): 3, (0, NOISE_FLOOR): 0, (1, NOISE_FLOOR): 0}
    assert found.unused.to_dict() == {(0, "ft"): 0, (1, "ft"): 0, (0, NOISE_FLOOR): 0, (1, NOISE_FLOOR): 2}
    assert found.reached.all() and (found.accuracy == 0.5).all()


def agreement_table(effect, *, kept_whole=0, networks=40, seed=0):
    """FT agrees by `effect` more than random, in networks of which something was removed."""
    rng = np.random.default_rng(seed)
    rows = []
    for network in range(networks):
        whole = network < kept_whole
        for method in ("ft", "random", "magnitude", NOISE_FLOOR):
            values = 0.6 + 0.1 * rng.standard_normal(4) + effect * (method == "ft")
            values = np.ones(4) if whole and method != NOISE_FLOOR else values
            removed = 0 if whole or method == NOISE_FLOOR else 3
            about = {"network": network, "method": method, "removed": removed}
            rows.append({**about, **dict(zip(shap_runs.QUANTITIES, values, strict=True))})
    return pd.DataFrame(rows)


def test_claims_are_paired_differences_among_all_and_among_pruned_networks():
    table = agreement_table(0.2, kept_whole=10)
    found = claims(table).set_index(["method", "reference", "quantity", "networks"])
    pairs = {("ft", "random"), ("ft", "magnitude")} | {(m, NOISE_FLOOR) for m in ("ft", "random", "magnitude")}
    assert {index[:2] for index in found.index} == pairs and len(found) == len(pairs) * 4 * 2
    wide = table.pivot(index="network", columns="method", values="kendall")
    for networks, part in (("all", wide), ("pruned", wide.loc[10:])):
        expected = paired_difference(part.ft, part.random)
        row = found.loc[("ft", "random", "kendall", networks)]
        assert (row.estimate, row.low, row.high, row.p_value, row.n) == (
            expected.estimate, expected.low, expected.high, expected.p_value, expected.n,
        )  # fmt: skip
        assert row.outcome == "holds"
    assert found.loc[("ft", "random", "kendall", "all")].estimate < 0.17 < 0.18
    assert found.loc[("ft", "random", "kendall", "pruned")].n == 30


def test_networks_of_which_nothing_was_removed_exceed_the_noise_floor_trivially():
    found = claims(agreement_table(0.0, kept_whole=30)).set_index(["method", "reference", "quantity", "networks"])
    at = ("ft", NOISE_FLOOR, "spearman")
    assert found.loc[(*at, "all")].outcome == "holds" and found.loc[(*at, "all")].estimate > 0.25
    assert found.loc[(*at, "pruned")].outcome == "undecided"


def test_null_without_a_difference_a_claim_seldom_holds():
    held = [(claims(agreement_table(0.0, networks=15, seed=s)).outcome == "holds").mean() for s in range(8)]
    assert np.mean(held) < 0.1  # 2.5% at one end of the interval, a little more for so few networks


def test_a_comparison_without_networks_is_left_out():
    found = claims(agreement_table(0.1, kept_whole=39))
    assert set(found.networks) == {"all"}


def test_summary_compares_ft_and_pt_with_their_random_masks_and_the_noise_floor():
    ft = agreement_table(0.2)
    names = {"ft": "pt", "random": "random_pt", "magnitude": "magnitude_pt"}
    table = pd.concat([ft, ft[ft.method != NOISE_FLOOR].replace({"method": names})])
    first, second = shap_runs.summary(table, claims(table)).split("; PT ")
    means = ft.groupby("method").spearman.mean()
    assert first.startswith(f"FT agrees with dense by {means.ft:.2f}, random masks by {means.random:.2f} (difference +")
    assert f"two dense networks by {means[NOISE_FLOOR]:.2f}; 3.0 weights removed" in first
    assert second == first.removeprefix("FT ")
