"""Rows and cells of paper A's tables, on small runs; figures are checked against runs made by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from replication.data import load
from replication.ledger import paired
from replication.legcnet import figures
from replication.legcnet import procedure as legcnet
from replication.legcnet import runs as legcnet_runs
from replication.legcnet import verdicts as judge
from replication.legcnet.cells import lesson_cells
from replication.legcnet.settings import SETTINGS, with_recording
from replication.networks.ensemble import initialise
from replication.networks.training import accuracy, train

SMALL = with_recording(with_recording(SETTINGS["iris"], "ft", epochs=30, max_lag=5), "pt", epochs=15, max_lag=5)


@pytest.fixture(scope="module")
def data():
    return load("iris", preprocessing="authors", source="packaged")


@pytest.fixture(scope="module")
def runs(data):
    return pd.concat(legcnet_runs.fresh_runs(data, SMALL, seeds=6, seed=3))


def test_every_network_has_every_method_once(runs):
    retrained = {"dense", "ft", "random", "magnitude", "ft_causal", "pt", "random_pt", "magnitude_pt"}
    assert set(runs.method) == retrained | {"magnitude_after", "ft_after", "pt_after"}
    assert (runs.groupby(["network", "method"]).size() == 1).all() and len(runs) == 6 * 11


def test_controls_remove_exactly_as_many_weights(runs):
    kept = runs.pivot(index="network", columns="method", values="kept")
    assert (kept["dense"] == 42).all()
    assert kept["ft"].lt(42).any() and kept["pt"].lt(42).any()
    for method in ("random", "magnitude", "magnitude_after", "ft_causal"):
        assert (kept[method] == kept["ft"]).all()
    for method in ("random_pt", "magnitude_pt"):
        assert (kept[method] == kept["pt"]).all()


def test_a_row_is_the_run_it_says(data, runs):
    start = initialise((4, 6, 3), 6, seed=3).select([4])
    parts = (data.x_train, data.y_train, data.x_test, data.y_test)
    keep = legcnet.masks(start, data, SMALL, method="ft")
    by_hand = train(start, *parts, lr=SMALL.lr, epochs=SMALL.budget, benchmark=SMALL.benchmark, keep=keep)
    row = runs[(runs.network == 4) & (runs.method == "ft")].iloc[0]
    assert row.kept == int(keep.sum())
    assert row.epochs == by_hand.epochs.item() and row.accuracy == by_hand.test_accuracy.item()
    whole = train(start, *parts, lr=SMALL.lr, epochs=SMALL.budget, benchmark=None, keep=keep)
    assert row.accuracy_at_budget == whole.test_accuracy.item()


def test_rows_do_not_depend_on_the_chunk(data, runs, monkeypatch):
    monkeypatch.setattr(legcnet_runs, "CHUNK", 4)
    again = pd.concat(legcnet_runs.fresh_runs(data, SMALL, seeds=6, seed=3))
    order = ["network", "method"]
    columns = [name for name in runs.columns if name not in order]
    first, second = (table.sort_values(order).set_index(order)[columns] for table in (runs, again))
    pd.testing.assert_frame_equal(first, second)


def test_magnitude_after_is_the_dense_network_cut_and_not_retrained(data, runs):
    start = initialise((4, 6, 3), 6, seed=3).select([2])
    dense = legcnet_runs.run(data, SMALL, start, torch.ones(1, 42, dtype=torch.bool))
    row = runs[(runs.network == 2) & (runs.method == "magnitude_after")].iloc[0]
    order = dense.ensemble.weights[0].abs().argsort()
    cut = dense.ensemble.weights.clone()
    cut[0, order[: 42 - int(row.kept)]] = 0
    assert row.accuracy == accuracy(dense.ensemble.with_weights(cut), data.x_test, data.y_test).item()


@pytest.mark.parametrize("method", ["ft", "pt"])
def test_unretrained_networks_are_the_dense_ones_under_the_mask(data, runs, method):
    start = initialise((4, 6, 3), 6, seed=3).select([4])
    dense = legcnet_runs.run(data, SMALL, start, torch.ones(1, 42, dtype=torch.bool))
    keep = legcnet.masks(start, data, SMALL, method=method)
    row = runs[(runs.network == 4) & (runs.method == f"{method}_after")].iloc[0]
    cut = dense.ensemble.with_weights(dense.ensemble.weights * keep)
    assert row.accuracy == accuracy(cut, data.x_test, data.y_test).item() and row.kept == int(keep.sum())


def content(dataset):
    return {"parameters": {"dataset": dataset}, "profile": "smoke"}


@pytest.fixture(scope="module")
def concluded(runs):
    return judge.cells(runs.assign(study="fresh"), content("iris"))


def one(cells, **wanted):
    (found,) = [cell for cell in cells if all(getattr(cell, name) == value for name, value in wanted.items())]
    return found


def test_each_distinct_figure_is_judged_once(concluded):
    judged = [cell for cell in concluded if cell.kind == "figure"]
    assert len(judged) == len(figures.PRINTED) == 16 and figures.DISTINCT == 112
    assert len({(cell.table, cell.method, cell.quantity) for cell in judged}) == 16
    assert not [cell for cell in judged if (cell.table, cell.method) == ("2", "ft")], "table 2 repeats FT"
    assert "pruned_pct" not in {cell.quantity for cell in judged}, "it follows from kept"


def test_every_figure_of_the_papers_json_is_judged_repeated_derived_or_no_result():
    paper = figures.published_figures()
    listed = {(figures.TABLES[table], key) for table, _, _, key, _ in figures.PRINTED}
    for table in figures.TABLES.values():
        for key in paper[table]["cancer"]:
            repeated = table == figures.TABLES["2"] and key.endswith("_ft")
            derived = key.startswith("pruned_pct") or key == "noncausal"
            setting = key in ("hidden", "weights_dense", "recorded_epochs")
            assert ((table, key) in listed) != (repeated or derived or setting), key


def test_epochs_are_a_median_of_runs_that_may_never_end(runs, concluded):
    part = runs[runs.method == "ft"]
    epochs = one(concluded, kind="figure", table="1", method="ft", quantity="epochs")
    assert epochs.ours == part.epochs.where(part.reached, np.inf).median()
    never = one(concluded, table="reached", method="ft")
    assert never.ours == part.reached.mean() and never.ci_low < never.ours <= never.ci_high


def test_claims_are_against_dense_and_controls_against_masks(concluded):
    claims = {(cell.table, cell.method, cell.reference) for cell in concluded if cell.kind == "claim"}
    names = ("fewer_epochs", "keeps_accuracy", "keeps_f1")
    assert claims == {(name, method, "dense") for name in names for method in ("ft", "pt")}
    controls = {(cell.table, cell.method, cell.reference) for cell in concluded if cell.kind == "control"}
    assert {reference for table, _, reference in controls if table == "margins"} == {"dense"}
    assert controls >= {
        ("beats_random", "ft", "random"),
        ("beats_magnitude", "pt", "magnitude_pt"),
        ("beats_magnitude_unretrained", "ft_after", "magnitude_after"),
    }


def test_masks_that_are_compared_have_the_same_count(runs, concluded):
    kept = runs.pivot(index="network", columns="method", values="kept")
    pairs = {(cell.method, cell.reference) for cell in concluded if cell.table.startswith("beats_")}
    assert pairs and all((kept[method] == kept[reference]).all() for method, reference in pairs)


def test_retrained_is_compared_with_retrained_only(concluded):
    for cell in concluded:
        if cell.kind == "control":
            assert cell.method.endswith("_after") == cell.reference.endswith("_after"), cell


def test_claims_carry_the_papers_own_difference(runs, concluded):
    fewer = one(concluded, table="fewer_epochs", method="ft")
    assert (fewer.published, fewer.origin) == (166 - 182, "printed")
    wide = runs.pivot(index="network", columns="method")
    epochs = wide["epochs"].where(wide["reached"].astype(bool), np.inf)
    test = paired.sign_test(epochs["ft"], epochs["dense"])
    assert fewer.p_value == test.p_value and fewer.n == 6
    kept = one(concluded, table="keeps_accuracy", method="pt")
    assert kept.ours == pytest.approx((wide["accuracy"]["pt"] - wide["accuracy"]["dense"]).mean())
    assert kept.margin == judge.MARGIN


def test_margins_stand_beside_random_masks(concluded):
    found = [cell for cell in concluded if cell.table == "margins"]
    assert {cell.method for cell in found} == {"ft", "random", "pt", "random_pt"}
    assert {cell.margin for cell in found} == set(judge.MARGINS)
    kept = one(found, method="ft", margin=0.01)
    assert (kept.p_value, kept.outcome) == (
        one(concluded, table="keeps_accuracy", method="ft").p_value,
        one(concluded, table="keeps_accuracy", method="ft").outcome,
    )


def test_null_a_method_beside_itself_holds_nothing(runs):
    dense = runs[runs.method == "dense"]
    twins = pd.concat([dense, *(dense.assign(method=name) for name in ("ft", "random", "magnitude"))])
    cells = judge.comparisons(twins, "iris", profile="smoke", budget=250, references={"ft": ("random", "magnitude")})
    outcomes = {cell.table: cell.outcome for cell in cells if cell.kind in ("claim", "control") and cell.margin is None}
    assert outcomes == {"fewer_epochs": "undecided", "beats_random": "undecided", "beats_magnitude": "undecided"}


def test_more_epochs_in_the_papers_own_row_are_no_claim(runs):
    cells = judge.comparisons(runs, "mnist", profile="smoke", budget=250)
    assert one(cells, table="fewer_epochs", method="ft").kind == "measurement", "the paper prints 30 against 27"
    assert one(cells, table="keeps_accuracy", method="ft").kind == "claim"


def test_numbers_made_without_the_papers_settings_cannot_be_judged(runs):
    cells = judge.cells(runs.assign(study="fresh"), content("cancer"))
    verdicts = {name: {c.verdict for c in cells if c.kind == "figure" and c.method == name} for name in ("ft", "pt")}
    assert verdicts["pt"] == {"underspecified"} and "underspecified" not in verdicts["ft"]
    outcomes = {cell.outcome for cell in cells if cell.kind == "claim" and cell.method == "pt"}
    assert outcomes == {"cannot_be_known"}


def test_the_printed_trial_alone_is_a_figure():
    row = {"method": "dense", "epochs": 70, "reached": True, "accuracy": 120 / 137, "f1": 0.86557, "kept": 60}
    rows = [row | {"network": trial, "epochs": 70 + (trial != 1)} for trial in range(5)]
    cells = judge.author_cells(pd.DataFrame(rows), "cancer")
    epochs = [cell for cell in cells if cell.quantity == "epochs"]
    assert [(cell.trial, cell.kind, cell.verdict) for cell in epochs] == [
        (1, "measurement", ""),
        (2, "figure", "identical"),
        *((k, "measurement", "") for k in (3, 4, 5)),
    ]
    assert {cell.method for cell in cells} == {"dense"}


def test_a_random_mask_that_happens_to_agree_is_no_replication():
    row = {
        "network": 1,
        "method": "random",
        "reached": True,
        "epochs": 42,
        "accuracy": 0.8759,
        "f1": 0.8656,
        "kept": 54,
    }
    cells = judge.author_cells(pd.DataFrame([row]), "cancer")
    assert {cell.verdict for cell in cells} == {"underspecified"}


def test_another_figure_is_outside_and_contradictions_are_named():
    row = {"network": 1, "method": "ft", "reached": True, "accuracy": 0.5, "kept": 54, "epochs": 39, "f1": 0.857}
    cells = judge.author_cells(pd.DataFrame([row]), "cancer")
    verdicts = {cell.quantity: cell for cell in cells}
    assert verdicts["epochs"].verdict == "outside" and verdicts["kept"].verdict == "identical"
    assert verdicts["f1"].verdict == "identical" and verdicts["f1"].note == "table 2 prints 0.8656 for the same run"


def test_outside_by_chance_counts_our_own_runs_as_if_printed():
    rng = np.random.default_rng(0)
    names = {figures.RUN_AS.get(method, method) for _, method, *_ in figures.PRINTED}
    fresh = pd.DataFrame(
        {"network": k, "method": name, "epochs": float(rng.integers(10, 90)), "reached": True, "kept": 40}
        | {quantity: rng.random() for quantity in ("accuracy", "f1")}
        for k in range(100)
        for name in names
    )
    counts = figures.outside_by_chance(fresh, {method for _, method, *_ in figures.PRINTED})
    assert counts.shape == (100,)
    # 14 figures that vary, each outside in about one of twenty; kept is constant and never outside.
    assert 0.3 <= counts.mean() <= 1.0
    shares = judge.chance_cells(fresh, "iris", profile="smoke")
    assert sum(cell.ours for cell in shares) == pytest.approx(1)
    assert sum(k * cell.ours for k, cell in enumerate(shares)) == pytest.approx(counts.mean())


def test_every_paired_difference_becomes_a_cell(runs, concluded):
    found = [cell for cell in concluded if cell.table == "paired_difference"]
    assert {cell.kind for cell in found} == {"measurement"} and len({cell.key for cell in found}) == len(found)
    other = one(found, method="ft_causal", reference="ft", quantity="accuracy")
    wide = runs.pivot(index="network", columns="method", values="accuracy")
    assert other.ours == pytest.approx((wide["ft_causal"] - wide["ft"]).mean())


def test_cells_of_masks_name_their_trials():
    *masks, resolution = lesson_cells({"ft": torch.tensor([1.0, 0.5])}, samples=45, dataset="iris", profile="smoke")
    assert [(cell.method, cell.ours, cell.trial) for cell in masks] == [("ft", 1.0, 1), ("ft", 0.5, 2)]
    assert resolution.ours == pytest.approx(1 / 45) and resolution.profile == "smoke"


@pytest.mark.usefixtures("authors_files")
@pytest.mark.parametrize(("name", "most"), [("iris", 5), ("vowel", 10)])
def test_more_trials_than_were_released_are_named(name, most):
    there = load(name, preprocessing="authors", source="authors")
    for trials in (0, most + 1):
        with pytest.raises(ValueError, match=f"trials must be from 1 to {most}.*got {trials}"):
            legcnet_runs.rerun_authors(there, SETTINGS[name], trials=trials)
