import csv
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ccprune
from ccprune import results, stats
from ccprune.results import Cell, environment, storage

CELL = Cell(
    paper="legcnet",
    table="1",
    dataset="cancer",
    method="ft",
    quantity="epochs",
    published=38,
    ours=41.5,
    ci_low=36.25,
    ci_high=47.0,
    n=50,
    verdict="within_noise",
    note="",
    profile="default",
)
AUTHORS = replace(CELL, ours=38, ci_low=None, ci_high=None, n=1, verdict="identical", note="trial 2", profile="authors")


def save(folder: Path, name: str, *cells: Cell, profile: str = "default", **changes) -> Path:
    arguments = {
        "notebook": "01_tables.ipynb",
        "parameters": {"profile": profile, "seed": 0, "out": "somewhere"},
        "seeds": [0, 1],
        "data_checksums": {"cancer": "ab" * 32},
        "cells": cells,
    }
    return results.write(folder / "results" / f"{name}.{profile}.json", **(arguments | changes))


def test_written_file_holds_what_a_reader_needs(tmp_path):
    path = save(tmp_path, "tables", CELL, AUTHORS, figures={"curve": np.arange(3) / 4}, skipped=[])
    content = results.read(path)
    assert [Cell.from_dict(cell) for cell in content["cells"]] == [CELL, AUTHORS]
    assert content["parameters"] == {"profile": "default", "seed": 0}  # without the path it was written to
    assert content["figures"] == {"curve": [0.0, 0.25, 0.5]}
    assert content["environment"]["packages"]["torch"] == torch.__version__
    assert content["environment"]["packages"]["ccprune"] == ccprune.__version__
    assert content["environment"]["threads"] == torch.get_num_threads()
    assert content["device"] == "cpu"
    assert content["wall_seconds"] > 0
    assert content["peak_memory_mb"] > 10
    assert path.read_text().endswith("}\n")
    assert list(content) == sorted(content)


def test_commit_and_dirty_flag(tmp_path, monkeypatch):
    package = tmp_path / "ccprune"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(ccprune, "__file__", str(package / "__init__.py"))
    assert environment._commit() == {"commit": None, "dirty": None}

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    (tmp_path / "replication").mkdir()
    (tmp_path / "replication" / "verdicts.csv").write_text("generated")
    assert environment._commit() == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (package / "new.py").write_text("")
    assert environment._commit()["dirty"] is True


def test_numpy_numbers_become_plain():
    cell = replace(CELL, published=np.int64(38), ours=np.float32(41.5), n=np.int32(50))
    assert cell == CELL
    assert [type(v) for v in (cell.published, cell.ours, cell.n)] == [int, float, int]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"ours": float("nan")}, ValueError, "ours must be finite or None, got nan"),
        ({"ci_high": float("inf")}, ValueError, "ci_high must be finite"),
        ({"ours": "41"}, TypeError, "ours must be a number"),
        ({"ours": True}, TypeError, "ours must be a number"),
        ({"verdict": "reproduced"}, ValueError, "verdict must be one of identical, within_noise"),
        ({"profile": "quick"}, ValueError, "profile must be one of smoke, default, paper, authors"),
        ({"paper": "legnet"}, ValueError, "paper must be one of"),
        ({"dataset": ""}, ValueError, "dataset must be one line"),
        ({"note": "two\nlines"}, ValueError, "note must be one line"),
        ({"table": 1}, TypeError, "table must be a string"),
        ({"n": 0}, ValueError, "n must be at least 1"),
        ({"n": 2.0}, TypeError, "n must be an integer"),
        ({"ci_low": None}, ValueError, "both"),
        ({"ci_low": 99}, ValueError, "must not exceed"),
        ({"published": None}, ValueError, "not_published"),
        ({"verdict": "not_published"}, ValueError, "not_published"),
    ],
)
def test_cell_refuses(change, error, message):
    with pytest.raises(error, match=message):
        replace(CELL, **change)


def test_cell_allows_underspecified_without_a_figure():
    assert replace(CELL, published=None, verdict="underspecified").published is None
    assert replace(CELL, published=None, verdict="not_published").published is None


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"figures": {"rates": [0.1, float("nan")]}},
            ValueError,
            r"result.figures.rates\[1\] must be finite",
        ),
        (
            {"figures": {"x": torch.tensor([float("inf")])}},
            ValueError,
            r"result.figures.x\[0\] must be finite",
        ),
        ({"figures": {"x": Path("x")}}, TypeError, "result.figures.x must be something JSON can hold"),
        ({"figures": {1: 2}}, TypeError, "strings as keys"),
        ({"parameters": {"seed": 0}}, TypeError, "profile must be str, got None"),
        ({"parameters": {"profile": "fast"}}, ValueError, "profile of smoke, default, paper"),
        ({"notebook": "notebooks/01.ipynb"}, ValueError, "file name"),
        ({"seeds": [0.5]}, TypeError, "seeds must be integers"),
        ({"data_checksums": {"iris": "abc"}}, ValueError, "data_checksums"),
        ({"skipped": [{"what": "x"}]}, ValueError, "skipped"),
        ({"skipped": [{"what": "x", "why": 3}]}, ValueError, "skipped"),
        ({"cells": [CELL, replace(CELL, ours=40)]}, ValueError, "twice got legcnet 1 cancer ft epochs"),
        ({"cells": [AUTHORS, AUTHORS]}, ValueError, "twice got .* trial 2"),
        ({"cells": [replace(CELL, profile="paper")]}, ValueError, "'default' or 'authors', got 'paper'"),
    ],
)
def test_write_refuses_and_leaves_the_old_file(tmp_path, changes, error, message):
    path = save(tmp_path, "tables", CELL)
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        save(tmp_path, "tables", CELL, **changes)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_atomic_write_keeps_the_old_file_when_the_disk_fails(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    results.write_atomic(path, "old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        results.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_atomic_write_replaces_and_is_readable_by_others(tmp_path):
    path = tmp_path / "new" / "file.txt"
    results.write_atomic(path, "a\n")
    results.write_atomic(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-40], "Expecting|Unterminated|delimiter"),
        (lambda text: text.replace("41.5", "NaN"), "numbers must be finite, got NaN"),
        (lambda text: text.replace('"within_noise"', '"great"'), "verdict must be one of"),
        (lambda text: text.replace('"cells"', '"cels"'), r"missing \['cells'\], unknown \['cels'\]"),
        (lambda text: text.replace('"ci_low"', '"low"'), r"missing \['ci_low'\], unknown \['low'\]"),
        (lambda text: text.replace('"schema": 2', '"schema": 1'), "schema must be 2, got 1"),
        (lambda text: text.replace("41.5", "41.4"), "changed after it was written"),
        (lambda text: "[]", "JSON object"),
    ],
)
def test_read_names_the_file_and_the_fault(tmp_path, damage, message):
    path = save(tmp_path, "tables", CELL)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=message) as caught:
        results.read(path)
    assert str(path) in str(caught.value)


def test_signature_is_of_the_content_whatever_its_spacing(tmp_path):
    path = save(tmp_path, "tables", CELL)
    content = results.read(path)
    path.write_text(json.dumps(content, indent=4))
    assert results.read(path) == content
    results.save(path, content | {"energy_joules": 3.5})
    assert results.read(path)["energy_joules"] == 3.5 and results.read(path)["signature"] != content["signature"]


def test_lock_tells_what_is_installed_otherwise(tmp_path):
    path = tmp_path / "requirements.lock"
    assert environment.lock(path) is None
    text = f"# versions\nnumpy=={np.__version__}\ntorch=={torch.__version__.split('+')[0]}\nnot-here-at-all==1.0\n"
    path.write_text(text)
    assert environment.lock(path) == {"sha256": hashlib.sha256(text.encode()).hexdigest(), "differing": []}
    path.write_text("numpy==1.0\n")
    assert environment.lock(path)["differing"] == [f"numpy {np.__version__}"]


def test_collect_refuses_a_misnamed_file(tmp_path):
    path = save(tmp_path, "tables", CELL)
    path.rename(path.with_name("tables.paper.json"))
    with pytest.raises(ValueError, match="must end with the profile, 'default'"):
        results.collect(tmp_path)
    assert results.collect(tmp_path / "nothing") == []


def test_skipped_reasons_lose_this_machines_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("CCPRUNE_DATA", "/some/folder/data")
    why = f"not in /some/folder/data nor {sys.prefix}/share nor {Path.home()}/x"
    content = results.read(save(tmp_path, "tables", skipped=[{"what": "vowel", "why": why}]))
    assert content["skipped"][0]["why"].startswith("not in $CCPRUNE_DATA nor ")
    assert sys.prefix not in content["skipped"][0]["why"]


def rows(folder: Path) -> list[dict]:
    return results.verdict_rows(results.collect(folder))


def test_verdicts_csv_has_the_columns_of_the_design(tmp_path):
    save(tmp_path, "tables", CELL, replace(AUTHORS, published=None, ours=None, verdict="not_published"))
    path = results.write_verdicts(tmp_path)
    header = "paper,table,dataset,method,quantity,published,ours,ci_low,ci_high,n,verdict,profile,notebook,note"
    assert path.read_text() == (
        f"{header}\n"
        "legcnet,1,cancer,ft,epochs,,,,,1,not_published,authors,01_tables.ipynb,trial 2\n"
        "legcnet,1,cancer,ft,epochs,38,41.5,36.25,47,50,within_noise,default,01_tables.ipynb,\n"
    )


def test_the_largest_profile_wins_and_smoke_never_enters(tmp_path):
    other = replace(CELL, dataset="iris")
    save(tmp_path, "tables", CELL, other)
    save(tmp_path, "tables", replace(CELL, ours=40, profile="paper"), profile="paper")
    save(tmp_path, "tables", replace(CELL, ours=1, profile="smoke"), profile="smoke")
    save(tmp_path, "more", replace(CELL, table="2", profile="smoke"), profile="smoke")
    found = [(row["dataset"], row["ours"], row["profile"]) for row in rows(tmp_path)]
    assert found == [("cancer", 40, "paper"), ("iris", 41.5, "default")]


def test_smoke_enters_where_there_is_nothing_else(tmp_path):
    save(tmp_path, "tables", replace(CELL, profile="smoke"), profile="smoke")
    assert [row["profile"] for row in rows(tmp_path)] == ["smoke"]


def test_authors_rows_count_once_and_keep_their_trials(tmp_path):
    trials = [replace(AUTHORS, note=f"trial {k}", ours=30 + k) for k in (10, 2, 1)]
    save(tmp_path, "tables", CELL, *trials)
    again = [replace(trial, ours=trial.ours + 0.5) for trial in trials]
    save(tmp_path, "tables", *again, profile="paper")
    found = [(row["profile"], row["note"], row["ours"]) for row in rows(tmp_path)]
    assert found == [
        ("authors", "trial 1", 31.5),
        ("authors", "trial 2", 32.5),
        ("authors", "trial 10", 40.5),
        ("default", "", 41.5),
    ]


def test_two_runs_may_not_give_the_same_number(tmp_path):
    save(tmp_path, "a", CELL)
    save(tmp_path, "b", CELL)
    with pytest.raises(ValueError, match="a.default.json and b.default.json both give legcnet 1 cancer ft epochs"):
        rows(tmp_path)


def test_rows_come_in_the_papers_order(tmp_path):
    names = [("causal", "1", "iris"), ("legcnet", "null", "iris"), ("legcnet", "10", "iris")]
    names += [("legcnet", "2", "zoo"), ("legcnet", "2", "vowel"), ("legcnet", "2", "cancer")]
    save(tmp_path, "t", *[replace(CELL, paper=p, table=t, dataset=d) for p, t, d in names])
    found = [(row["paper"], row["table"], row["dataset"]) for row in rows(tmp_path)]
    assert found == names[::-1]
    methods = ("dense", "ft", "pt", "random", "magnitude", "causal_ft")
    save(tmp_path, "t", *[replace(CELL, method=method) for method in reversed(methods)])
    assert [row["method"] for row in rows(tmp_path)] == list(methods)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, ""),
        (70, "70"),
        (70.0, "70"),
        (0.8759, "0.8759"),
        (120 / 137, "0.875912"),
        (1.5e-9, "1.5e-09"),
        (41000.04, "41000"),
        (12345678, "12345678"),
        (-0.30000000000000004, "-0.3"),
    ],
)
def test_format_number(number, text):
    assert results.format_number(number) == text


def test_verdicts_are_the_same_bytes_again(tmp_path):
    save(tmp_path, "tables", CELL, AUTHORS)
    first = results.write_verdicts(tmp_path).read_bytes()
    assert results.write_verdicts(tmp_path).read_bytes() == first
    assert len(list(csv.DictReader(first.decode().splitlines()))) == 2
    assert json.loads(next((tmp_path / "results").iterdir()).read_text())


def test_a_measured_cell_is_ours_alone():
    cell = Cell.measured("legcnet", "t", "iris", "ft", "q", stats.Interval(0.5, 0.4, 0.6, 7), profile="smoke", note="x")
    assert (cell.published, cell.ours, cell.ci_low, cell.ci_high, cell.n) == (None, 0.5, 0.4, 0.6, 7)
    assert (cell.verdict, cell.note, cell.profile) == ("not_published", "x", "smoke")
