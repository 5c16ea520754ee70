"""A reader's run beside the committed one."""

from dataclasses import replace

import pytest

from replication import ledger
from replication.ledger import Cell, environment
from replication.reporting.judging import judge
from replication.runner import committed, placing

CELL = Cell(
    paper="legcnet", table="t", dataset="iris", method="ft", quantity="accuracy", ours=0.9123456, ci_low=0.9,
    ci_high=0.93,
    n=5, profile="default",
)  # fmt: skip


def test_equal_as_the_tables_print_them():
    other = replace(CELL, dataset="vowel")
    found = committed.compare([CELL, other], [replace(CELL, ours=0.9123456 + 1e-9), other])
    assert str(found) == "2 of 2 numbers equal to the committed ones"


def test_what_differs_is_named_and_no_more_than_five():
    old = [replace(CELL, dataset=f"d{k}") for k in range(9)]
    new = [replace(cell, ours=0.5) for cell in old[:7]] + old[7:]
    found = committed.compare(old, new)
    assert (found.equal, len(found.differing)) == (2, 7)
    text = str(found)
    assert text.startswith(
        "2 of 9 numbers equal to the committed ones, differing: legcnet t d0 ft accuracy: 0.912346 [0.9, 0.93]"
    )
    assert "0.5 [0.9, 0.93] here" in text and text.endswith("and 2 more")


@pytest.mark.parametrize("quantity", ["time_over_dense", "seconds, full score"])
def test_null_times_and_new_numbers_are_not_compared(quantity):
    timed = replace(CELL, quantity=quantity)
    assert committed.compare([timed], [replace(timed, ours=0.1), CELL]) == committed.Comparison()


def save(folder, *cells, skipped=()):
    return ledger.write(
        folder / "results" / "a.default.json",
        notebook="x.ipynb",
        parameters={"profile": "default", "seeds": 5},
        seeds=[],
        data_checksums={},
        cells=cells,
        skipped=skipped,
    )


def test_runs_are_compared_where_both_folders_have_them(tmp_path):
    save(tmp_path / "here", CELL)
    save(tmp_path / "there", CELL)
    both = committed.compare_runs(["a.default", "b.default"], tmp_path / "there", tmp_path / "here", judge=judge)
    assert both == committed.Comparison(1)
    assert (
        committed.compare_runs(["a.default"], tmp_path / "nowhere", tmp_path / "here", judge=judge)
        == committed.Comparison()
    )


def test_a_result_that_left_out_more_is_poorer(tmp_path):
    path = save(tmp_path, CELL)
    less = {"what": "the authors' files, re-run", "why": "no network"}
    new = ledger.read(path) | {"skipped": [less]}
    assert "this run left out the authors' files, re-run (no network)" in placing.why_kept(path, new)
    assert placing.why_kept(path, new | {"parameters": {"profile": "default", "seeds": 6}}) == "", "another question"
    assert placing.why_kept(path, ledger.read(path)) == ""
    save(tmp_path, CELL, skipped=[less])
    assert placing.why_kept(path, new) == "", "the one that is here left it out too"
    assert placing.why_kept(tmp_path / "none.json", new) == ""


@pytest.mark.parametrize("processor, named", [("Kind B", True), ("Kind A", False), (None, False)])
def test_another_processor_is_named_where_numbers_differ(tmp_path, monkeypatch, processor, named):
    monkeypatch.setattr(environment, "_processor", lambda: "Kind A")
    save(tmp_path / "there", CELL)
    monkeypatch.setattr(environment, "_processor", lambda: processor)
    save(tmp_path / "here", replace(CELL, ours=0.5))
    found = committed.compare_runs(["a.default"], tmp_path / "there", tmp_path / "here", judge=judge)
    assert ("another processor (Kind A)" in str(found)) == named
