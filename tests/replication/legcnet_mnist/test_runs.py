"""Rows of the tables on made-up digits, against masks and networks made by hand."""

import pandas as pd
import pytest
import torch

from replication.data import authors_mnist
from replication.diagnostics import mnist_cells
from replication.legcnet.mnist import assumptions, recording, runs, training
from replication.legcnet.mnist import verdicts as judge
from replication.legcnet.mnist.rows import Digits
from replication.legcnet.settings import WindowSettings
from replication.legcnet.verdicts import comparisons
from replication.networks.masks import remove_lowest
from replication.networks.models import legcnet_mnist
from replication.networks.stacked import stack_models

EFFORT = runs.Effort(batch_size=16, benchmark=0.3, budget=12)
FT = WindowSettings(epochs=30, window=50, steps=3, max_lag=2)
PT = WindowSettings(epochs=26, window=50, steps=3, max_lag=1)


@pytest.fixture(scope="module")
def outcomes(small):
    return list(runs.fresh_outcomes(small, seeds=(3, 4), effort=EFFORT, ft=FT, pt=PT))


def test_every_method_once_and_controls_with_the_same_count(outcomes):
    for outcome in outcomes:
        rows = outcome.rows.set_index("method")
        assert rows.index.is_unique and len(outcome.networks) == len(rows)
        assert set(rows.index) == {"dense", "magnitude_after", *runs.CONTROLS, *sum(runs.CONTROLS.values(), ())}
        for method, controls in {**runs.CONTROLS, "ft": ("random", "magnitude", "magnitude_after")}.items():
            assert (rows.kept[list(controls)] == rows.kept[method]).all()
        assert rows.kept.dense == 41_000 and rows.kept[["ft", "pt", "pt_all"]].lt(41_000).all()
        assert rows.removed_fc4.pt == rows.removed_fc4.pt_all


def test_networks_are_those_of_their_rows(outcomes, small):
    outcome = outcomes[1]
    zeros = (outcome.networks.weights == 0).sum(1)
    assert ((41_000 - zeros).numpy() == outcome.rows.kept).all()
    for row, found in zip(
        outcome.rows.itertuples(), training.measure(outcome.networks, small, batch_size=16), strict=True
    ):
        assert row.accuracy == found.accuracy and row.network == 4


def test_magnitude_after_is_the_dense_network_without_its_smallest_weights(outcomes):
    outcome = outcomes[0]
    names = outcome.rows.method.tolist()
    dense, cut = (outcome.networks.weights[names.index(name)] for name in ("dense", "magnitude_after"))
    removed = 41_000 - int(outcome.rows.kept[names.index("ft")])
    assert torch.equal(cut, dense * remove_lowest(dense[None].abs(), torch.tensor([removed]))[0])


def test_a_mask_is_the_one_made_by_hand(outcomes, small):
    network = stack_models([legcnet_mnist(seed=3)])
    found = recording.exponents_and_risk(network, small, FT, seed=3, batch_size=16)
    keep = recording.keep_mask(found, network, FT)
    names = outcomes[0].rows.method.tolist()
    assert torch.equal(outcomes[0].networks.weights[names.index("ft")] != 0, keep[0])


@pytest.mark.usefixtures("authors_files")
def test_the_authors_masks_and_their_script(small):
    (outcome,) = runs.rerun_authors(small, effort=runs.Effort(16, 1.0, 1), trials=[3])
    rows = outcome.rows.set_index("method")
    assert rows.kept.ft_meant == 41_000 - 138 and rows.kept.pt_meant == 41_000 - 133
    assert rows.removed_fc4.ft_meant == 6 and rows.removed_fc4.pt_meant == 20
    assert rows.removed_fc4[["ft", "pt"]].eq(0).all() and rows.kept.ft == 41_000 - 132
    assert rows.kept.random == rows.kept.magnitude_after == rows.kept.ft_meant
    found = judge._author_cells(outcome.rows)
    by = {(cell.table, cell.method, cell.quantity): cell for cell in found}
    assert by["2", "pt", "kept"].verdict == "identical" and by["2", "pt", "kept"].published == 40867
    assert by["1", "ft", "kept"].verdict == "outside" and "138" in by["1", "ft", "kept"].note
    assert by["1", "dense", "accuracy"].verdict == "underspecified" and by["1", "dense", "epochs"].ours is None
    assert len(found) == 16 and len(mnist_cells.script_cells(outcome.rows)) == 4


@pytest.mark.usefixtures("authors_files")
def test_masks_from_scratch_beside_the_released_ones(small):
    table = runs.masks_from_scratch(small, batch_size=16, ft=FT, pt=PT, trials=[3])
    assert table.released.tolist() == [138, 133]
    network = stack_models([legcnet_mnist(seed=3)])  # trial 3's initial state
    keep = recording.keep_mask(recording.exponents_and_risk(network, small, PT, seed=3, batch_size=16), network, PT)
    ours = set((~keep[0, 39_200:]).nonzero()[:, 0].tolist())
    theirs = set(authors_mnist.removed_weights(3, "pt"))
    assert table.removed[1] == len(ours)
    assert table.jaccard_pruned[1] == pytest.approx(len(ours & theirs) / len(ours | theirs))
    both = len(ours) * 133 / 1800
    assert table.by_chance[1] == pytest.approx(both / (len(ours) + 133 - both))
    assert [cell.ours for cell in mnist_cells.mask_cells(table)] == table.jaccard_pruned.tolist()


def test_indices_as_applied_and_as_meant(monkeypatch):
    """What the script does with index 0, with fc2's and with fc4's."""
    monkeypatch.setattr(authors_mnist.authors, "read", lambda path: b"0\n5\n1499\n1500\n1799\n")
    meant = (~authors_mnist.keep_mask(1, "ft", as_applied=False)).nonzero()[:, 0].tolist()
    applied = (~authors_mnist.keep_mask(1, "ft", as_applied=True)).nonzero()[:, 0].tolist()
    assert meant == [39200, 39205, 40699, 40700, 40999]
    assert applied == [39199, 39200, 39205, 40699]


def test_bad_masks_and_trials_are_named(monkeypatch):
    monkeypatch.setattr(authors_mnist.authors, "read", lambda path: b"1800\n")
    with pytest.raises(ValueError, match=r"mask_mnist_12.csv must have indices from 0 to 1799"):
        authors_mnist.removed_weights(1, "pt")
    with pytest.raises(ValueError, match="trial must be one of .* got 6"):
        authors_mnist.removed_weights(6, "ft")
    with pytest.raises(ValueError, match="method must be 'ft' or 'pt', got 'dense'"):
        authors_mnist.removed_weights(1, "dense")


@pytest.mark.parametrize("dataset", ["mnist", "mnist5k"])
def test_cells_of_fresh_runs(outcomes, dataset):
    rows = pd.concat([outcome.rows for outcome in outcomes])
    content = {"parameters": {"dataset": dataset, "budget": 12}, "profile": "smoke"}
    found = judge.cells(rows.assign(study="fresh"), content)
    assert len({cell.key for cell in found}) == len(found)
    judged = [cell for cell in found if cell.kind in ("figure", "claim")]
    if dataset == "mnist5k":
        assert not judged, "the paper says nothing of these digits"
        return
    figures = [cell for cell in judged if cell.kind == "figure"]
    assert len(figures) == 16 and {cell.verdict for cell in figures} == {"underspecified"}, "its rows are not released"
    accuracy = next(cell for cell in figures if (cell.table, cell.method, cell.quantity) == ("1", "ft", "accuracy"))
    assert accuracy.ours == pytest.approx(rows[rows.method == "ft"].accuracy_printed.mean())
    assert accuracy.published == 0.9165 and "rows of our choosing it lies outside" in accuracy.note


def test_differences_cover_the_wider_scope_too(outcomes):
    rows = pd.concat([outcome.rows for outcome in outcomes])
    found = comparisons(rows, "mnist5k", profile="smoke", budget=12, references=runs.CONTROLS)
    wanted = ("paired_difference", "pt_all", "random_pt_all", "accuracy")
    (row,) = [cell for cell in found if (cell.table, cell.method, cell.reference, cell.quantity) == wanted]
    by = pd.concat([o.rows for o in outcomes]).pivot(index="network", columns="method", values="accuracy")
    assert row.ours == pytest.approx((by.pt_all - by.random_pt_all).mean()) and row.n == 2


def test_assumptions_are_tried_one_by_one(small):
    other = Digits(small.x_train / 255, small.y_train, small.x_test / 255, small.y_test, "unit")
    table = assumptions.dense_runs({"raw": small, "unit": other}, seeds=(1, 2), effort=EFFORT)
    assert table[["assumed", "network"]].to_numpy().tolist() == [["raw", 1], ["raw", 2], ["unit", 1], ["unit", 2]]
    network = stack_models([legcnet_mnist(seed=2)])
    alone = training.train(network, small, seed=2, batch_size=16, benchmark=0.3, budget=12)
    assert table.epochs[1] == alone.epochs[0]
    found = assumptions.cells(table, dataset="mnist5k", profile="smoke")
    assert found[0].ours == pytest.approx(table.accuracy_printed[:2].mean()) and len(found) == 4


def test_rounding_moves_all_copies_but_the_first_by_a_unit_in_the_last_place(small, monkeypatch):
    seen = {}
    whole = assumptions.train

    def spy(networks, *args, **options):
        seen["weights"] = networks.weights
        return whole(networks, *args, **options)

    monkeypatch.setattr(assumptions, "train", spy)
    table = assumptions.rounding(small, seed=1, copies=3, effort=runs.Effort(16, 1.0, 2))
    start = stack_models([legcnet_mnist(seed=1)]).weights[0]
    moved = (seen["weights"] - start).abs()
    assert not bool(moved[0].any()) and bool(moved[1].any()) and not torch.equal(moved[1], moved[2])
    assert bool((moved <= 1.2e-7 * start.abs() + 1e-45).all())
    epochs, accuracy = assumptions.rounding_cells(table, dataset="mnist5k", profile="smoke")
    assert epochs.ours == 2 and accuracy.ours == pytest.approx(table.accuracy.mean()) and accuracy.n == 3
