"""Single changes and searches: against the very run that a change or a hit stands for, made by hand.

With the authors' files the searches must find what is known to be there: that is their power; on a printed row that no
run can give they must find nothing: that is their null.
"""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from replication.data import authors, load
from replication.legcnet import (
    choices as legcnet_choices,
)
from replication.legcnet import procedure as legcnet
from replication.legcnet import (
    released as legcnet_released,
)
from replication.legcnet import (
    search as legcnet_search,
)
from replication.legcnet.runs import run
from replication.legcnet.settings import NOT_FOUND, SETTINGS, with_recording
from replication.networks.ensemble import initialise, stack_mlps
from replication.networks.masks import jaccard_pruned, masks_from_lists

SMALL = with_recording(SETTINGS["iris"], "pt", epochs=15, max_lag=5)


@pytest.fixture(scope="module")
def data():
    return load("iris", preprocessing="authors", source="packaged")


@pytest.fixture(scope="module")
def start():
    return initialise((4, 6, 3), 3, seed=3)


def test_every_choice_changes_one_thing_and_is_what_it_says(data, start):
    masks = {name: keep for name, keep, _ in legcnet_choices.masks_by_choice(start, data, SMALL, "pt")}
    assert list(masks) == list(legcnet_choices.choices(SMALL.pt))
    assert torch.equal(masks["as found"], legcnet.masks(start, data, SMALL, method="pt"))
    longer = with_recording(SMALL, "pt", window=60)
    assert torch.equal(masks["windows 10 points longer"], legcnet.masks(start, data, longer, method="pt"))
    assert torch.equal(masks["risk on the training part"], legcnet.masks(start, data, SMALL, method="pt", risk="train"))
    for choice in legcnet_choices.choices(SMALL.pt).values():
        default = legcnet_choices.Choice()
        changed = sum(getattr(choice, name) != getattr(default, name) for name in vars(default))
        assert changed <= 1 and len(choice.recording) <= 1


def test_agreement_with_itself_is_one_and_with_other_masks_is_less(data, start):
    own = legcnet.masks(start, data, SMALL, method="pt")
    assert (~own).any()
    assert legcnet_choices.agreement(start, data, SMALL, "pt", own).jaccard_pruned["as found"] == 1
    assert legcnet_choices.agreement(start, data, SMALL, "pt", own.roll(1, 1)).jaccard_pruned["as found"] < 1


def test_unknown_method_is_refused(data, start):
    with pytest.raises(ValueError, match="method must be 'ft' or 'pt'"):
        list(legcnet_choices.masks_by_choice(start, data, SMALL, "both"))


def test_lag_search_finds_the_row_of_a_known_run_and_no_impossible_one(data, start):
    keep = legcnet.masks(start, data, replace(SMALL, pt=replace(SMALL.pt, max_lag=4)), method="pt")
    known = run(data, SMALL, start, keep)
    printed = {
        "epochs": known.epochs[1].item(),
        "accuracy": known.test_accuracy[1].item(),
        "f1": known.test_f1[1].item(),
        "kept": int(keep[1].sum()),
    }
    found = legcnet_search.search_lags(start, data, SMALL, "pt", printed=printed, lags=(3, 4, 5))
    assert ((found.lags == 4) & (found.trial == 2) & found.fits).any()
    assert len(found) == 9
    none = legcnet_search.search_lags(start, data, SMALL, "pt", printed=printed | {"f1": 2.0}, lags=(3, 4, 5))
    assert not none.fits.any()


def test_vowel_s_row_comes_out_of_one_combination_only(authors_files):
    vowel = load("vowel", preprocessing="authors", source="authors")
    networks = authors.initial_weights("vowel")[:3]
    options = dict(rates=(0.5, 0.4), benchmark=0.8, epoch=36, epochs=38)
    grid = legcnet_search.search_dense_row(networks, [vowel], figures=(0.7462, 0.7307), **options)
    assert len(grid) == 2 * 2 * 2 * 2 * 3
    hit = grid[grid.fits].iloc[0]
    assert grid.fits.sum() == 1
    assert (hit.output, hit.gradient, hit.lr, hit.initialisation) == ("softmax", "sum", 0.5, 3)
    assert not legcnet_search.search_dense_row(networks, [vowel], figures=(0.7462, 2.0), **options).fits.any()


def test_vowel_s_masks_from_scratch_give_the_printed_rows(authors_files):
    vowel, settings = load("vowel", preprocessing="authors", source="authors"), SETTINGS["vowel"]
    start = stack_mlps(authors.initial_weights("vowel")[2:3], output=settings.output)
    for method, printed in (("ft", (34, 14, 0.7538, 0.74)), ("pt", (28, 20, 0.7538, 0.7441))):
        keep = legcnet.masks(start, vowel, settings, method=method)
        outcome = run(vowel, settings, start, keep)
        figures = (outcome.test_accuracy.item(), outcome.test_f1.item())
        assert (int(keep.sum()), outcome.epochs.item()) == printed[:2]
        assert figures == pytest.approx(printed[2:], abs=1e-4)


def test_banknote_ft_masks_are_the_released_ones_without_the_last_window(authors_files):
    banknote, settings = load("banknote", preprocessing="authors", source="authors"), SETTINGS["banknote"]
    start = stack_mlps(authors.initial_weights("banknote")[:5])
    released = masks_from_lists(authors.masks("banknote", "ft"), 40)
    derived = legcnet.masks(start, banknote, settings, method="ft")
    assert pd.Series(jaccard_pruned(derived, released).tolist()).eq(1).all()


@pytest.fixture(scope="module")
def planted():
    return legcnet_released.load("planted", 2, seed=1)


def test_planted_masks_are_those_of_the_choice_that_made_them(planted):
    """The picture of notebook 10 where its answer is known: the planted choice alone gives all masks."""
    start, data = planted.starts["iris"], planted.data["iris"]
    found = legcnet_choices.agreement(start, data, SETTINGS["iris"], "pt", planted.masks["iris", "pt"]).jaccard_pruned
    assert found["half as many lags"] == 1
    assert found["as found"] < 1 and found["windows 10 points longer"] < 1
    keep = legcnet.masks(planted.starts["cancer"], planted.data["cancer"], SETTINGS["cancer"], method="ft")
    assert torch.equal(keep, planted.masks["cancer", "ft"])
    assert set(planted.masks) == {(name, method) for name in ("cancer", "iris") for method in ("ft", "pt")}


def test_planted_rows_are_found(planted):
    start, data, settings = planted.starts["iris"], planted.data["iris"], SETTINGS["iris"]
    found = legcnet_search.search_lags(start, data, settings, "pt", printed=planted.rows["iris"], lags=(3, 9))
    assert list(found[found.fits][["lags", "trial"]].itertuples(index=False, name=None)) == [(9, 1)]
    row = planted.dense
    grid = legcnet_search.search_dense_row(
        row.networks,
        row.variants,
        rates=(0.5,),
        benchmark=row.benchmark,
        epoch=row.epoch,
        figures=row.figures,
        epochs=60,
    )
    hits = grid[grid.fits]
    known = ("authors", "softmax", "sum", "all outputs rounded", 10)
    columns = ["scaling", "output", "gradient", "accuracy rule", "initialisation"]
    assert known in list(hits[columns].itertuples(index=False, name=None))
    assert len(hits) < len(grid) / 10


def test_other_files_than_these_are_refused():
    with pytest.raises(ValueError, match="files must be 'authors' or 'planted', got 'plantd'"):
        legcnet_released.load("plantd", 1)


def test_the_authors_files_are_what_the_lesson_starts_from(authors_files):
    given = legcnet_released.load("authors", 2)
    assert not given.truth and given.unknown == NOT_FOUND
    assert {name for name, _ in given.masks} == set(SETTINGS) - {"vowel"}
    assert given.rows["vowel"] == {"epochs": 20, "accuracy": 0.7538, "f1": 0.7441, "kept": 28}
    assert (given.dense.epoch, given.dense.figures, len(given.dense.networks)) == (36, (0.7462, 0.7307), 10)


def test_a_printed_epoch_that_is_not_trained_is_named():
    options = {"rates": [0.1], "benchmark": 0.9, "epoch": 3, "figures": (0.9, 0.9), "epochs": 3}
    with pytest.raises(ValueError, match="epoch must be from 0 to below epochs, 3, got 3"):
        legcnet_search.search_dense_row([], [], **options)
