"""Rows and cells of paper A's tables, on small runs; figures are checked against runs made by hand."""

import pandas as pd
import pytest
import torch

from ccprune import legcnet, legcnet_cells, legcnet_runs, stats
from ccprune.data import load
from ccprune.ensemble import initialise
from ccprune.results import Cell
from ccprune.train import accuracy, train

SMALL = legcnet.with_recording(
    legcnet.with_recording(legcnet.SETTINGS["iris"], "ft", epochs=30, max_lag=5), "pt", epochs=15, max_lag=5
)


@pytest.fixture(scope="module")
def data():
    return load("iris", preprocessing="authors", source="packaged")


@pytest.fixture(scope="module")
def runs(data):
    return pd.concat(legcnet_runs.fresh_runs(data, SMALL, seeds=6, seed=3))


def test_every_network_has_every_method_once(runs):
    retrained = {"dense", "ft", "random", "magnitude", "ft_causal", "pt", "random_pt", "magnitude_pt"}
    assert set(runs.method) == retrained | {"magnitude_after"}
    assert (runs.groupby(["network", "method"]).size() == 1).all() and len(runs) == 6 * 9


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
    by_hand = train(start, *parts, rate=SMALL.rate, epochs=SMALL.budget, benchmark=SMALL.benchmark, keep=keep)
    row = runs[(runs.network == 4) & (runs.method == "ft")].iloc[0]
    assert row.kept == int(keep.sum())
    assert row.epochs == by_hand.epochs.item() and row.accuracy == by_hand.test_accuracy.item()
    whole = train(start, *parts, rate=SMALL.rate, epochs=SMALL.budget, benchmark=None, keep=keep)
    assert row.accuracy_at_budget == whole.test_accuracy.item()


def test_rows_do_not_depend_on_the_chunk(data, runs, monkeypatch):
    monkeypatch.setattr(legcnet_runs, "CHUNK", 4)
    again = pd.concat(legcnet_runs.fresh_runs(data, SMALL, seeds=6, seed=3))
    order = ["network", "method"]
    columns = [name for name in runs.columns if name not in order]
    first, second = (table.sort_values(order).set_index(order)[columns] for table in (runs, again))
    pd.testing.assert_frame_equal(first, second)


def test_differences_are_those_of_the_pairs(runs):
    table = legcnet_cells.differences(runs)
    row = table[(table.method == "ft") & (table.reference == "dense") & (table.quantity == "epochs")].iloc[0]
    wide = runs.pivot(index="network", columns="method", values="epochs")
    assert row.estimate == pytest.approx((wide["ft"] - wide["dense"]).mean())
    assert row.n == 6 and row.low <= row.estimate <= row.high


def test_null_two_random_controls_do_not_differ(runs):
    """Nothing to find: a method compared with itself holds no claim of being better."""
    same = stats.paired_difference(runs[runs.method == "random"].accuracy, runs[runs.method == "random"].accuracy)
    assert same.estimate == 0 and same.p_value == 1
    assert stats.claim_holds(same, better="higher") != "holds"


def test_fresh_cells_judge_each_printed_figure(runs):
    cells = legcnet_cells.fresh_cells(runs, "iris", profile="smoke", budget=SMALL.budget)
    assert len(cells) == len(legcnet_cells.PRINTED) and all(isinstance(cell, Cell) for cell in cells)
    kept = next(cell for cell in cells if (cell.table, cell.method, cell.quantity) == ("1", "dense", "kept"))
    assert (kept.published, kept.ours, kept.verdict) == (42, 42, "within_noise")
    epochs = next(cell for cell in cells if (cell.table, cell.method, cell.quantity) == ("1", "ft", "epochs"))
    assert epochs.ours == pytest.approx(runs[runs.method == "ft"].epochs.mean())
    never = int((~runs[runs.method == "ft"].reached).sum())
    assert epochs.note.startswith(f"{never} of 6 never reached")


def test_numbers_made_without_the_paper_s_settings_are_underspecified(runs):
    cells = legcnet_cells.fresh_cells(runs, "cancer", profile="smoke", budget=SMALL.budget)
    verdicts = {method: {cell.verdict for cell in cells if cell.method == method} for method in ("ft", "pt")}
    assert verdicts["pt"] == {"underspecified"} and "underspecified" not in verdicts["ft"]
    claims = legcnet_cells.claim_cells(legcnet_cells.differences(runs), "cancer", profile="smoke")
    assert {cell.verdict for cell in claims if cell.method == "pt"} == {"underspecified"}
    assert "not found" in legcnet_cells.sentence(legcnet_cells.differences(runs), runs, "cancer", "pt")


def test_author_cells_compare_the_printed_trial_only():
    printed = legcnet_cells.published()["table1_dense_vs_ft"]["cancer"]
    row = {"method": "dense", "epochs": 70, "reached": True, "accuracy": 120 / 137, "f1": 0.86557, "kept": 60}
    rows = [row | {"network": trial, "epochs": 70 + (trial != 1), "pruned_pct": 0.0} for trial in range(5)]
    cells = legcnet_cells.author_cells(pd.DataFrame(rows), "cancer", budget=100)
    epochs = [cell for cell in cells if (cell.method, cell.quantity) == ("dense", "epochs")]
    assert [cell.verdict for cell in epochs] == ["not_published", "identical", *["not_published"] * 3]
    assert [cell.published for cell in epochs] == [None, printed["epochs_dense"], None, None, None]
    assert {cell.method for cell in cells} == {"dense"}


def test_magnitude_after_is_the_dense_network_cut_and_not_retrained(data, runs):
    start = initialise((4, 6, 3), 6, seed=3).select([2])
    dense = legcnet_runs.run(data, SMALL, start, torch.ones(1, 42, dtype=torch.bool))
    row = runs[(runs.network == 2) & (runs.method == "magnitude_after")].iloc[0]
    order = dense.ensemble.weights[0].abs().argsort()
    cut = dense.ensemble.weights.clone()
    cut[0, order[: 42 - int(row.kept)]] = 0
    assert row.accuracy == accuracy(dense.ensemble.with_weights(cut), data.x_test, data.y_test).item()


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
    cells = legcnet_cells.author_cells(pd.DataFrame([row]), "cancer", budget=100)
    assert {cell.verdict for cell in cells} == {"underspecified"}


def test_a_wrong_figure_is_not_reproduced_and_contradictions_are_named():
    row = {"network": 1, "method": "ft", "reached": True, "accuracy": 0.5, "kept": 54, "pruned_pct": 10.0}
    cells = legcnet_cells.author_cells(pd.DataFrame([row | {"epochs": 39, "f1": 0.857}]), "cancer", budget=100)
    verdicts = {(cell.table, cell.quantity): cell for cell in cells if cell.method == "ft"}
    assert verdicts["1", "epochs"].verdict == "not_reproduced" and verdicts["1", "kept"].verdict == "identical"
    assert verdicts["1", "f1"].verdict == "identical"
    assert "contradicts itself: table 1 prints 0.857, table 2 0.8656" in verdicts["2", "f1"].note


def test_claim_cells_carry_the_outcome_and_the_paper_s_own_difference(runs):
    table = legcnet_cells.differences(runs)
    cells = legcnet_cells.claim_cells(table, "iris", profile="smoke")
    fewer = next(cell for cell in cells if (cell.table, cell.method) == ("fewer_epochs", "ft"))
    assert fewer.published == 166 - 182 and fewer.note.startswith("claim ")
    words = {"holds": "within_noise", "undecided": "not_reproduced", "does not hold": "not_reproduced"}
    for cell in cells:
        outcome = cell.note.removeprefix("claim ").split(";")[0]
        assert cell.verdict in (words[outcome], "not_published")


def test_every_paired_difference_becomes_a_cell(runs):
    table = legcnet_cells.differences(runs)
    cells = legcnet_cells.difference_cells(table, "iris", profile="smoke")
    assert len(cells) == len(table) and {cell.verdict for cell in cells} == {"not_published"}
    other = next(cell for cell in cells if (cell.method, cell.quantity) == ("ft_causal", "accuracy_minus_ft"))
    wide = runs.pivot(index="network", columns="method", values="accuracy")
    assert other.ours == pytest.approx((wide["ft_causal"] - wide["ft"]).mean())


def test_mask_cells_name_their_trials():
    cells = legcnet_cells.mask_cells(torch.tensor([1.0, 0.5]), "iris", "ft")
    assert [(cell.ours, cell.note) for cell in cells] == [(1.0, "trial 1"), (0.5, "trial 2")]


def test_sentence_says_what_the_table_says(runs):
    table = legcnet_cells.differences(runs)
    text = legcnet_cells.sentence(table, runs, "iris", "pt")
    row = table[(table.method == "pt") & (table.reference == "dense") & (table.quantity == "epochs")].iloc[0]
    assert f"{row.estimate:+.1f}" in text and row.outcome in text and "over 6 initialisations" in text
