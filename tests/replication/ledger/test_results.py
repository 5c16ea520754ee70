import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import ccprune
from ccprune import stats
from ccprune._util.files import write_atomic
from replication import ledger
from replication.ledger import Cell, environment, journal, storage

CELL = Cell(
    paper="legcnet",
    table="1",
    dataset="cancer",
    method="ft",
    quantity="epochs",
    kind="figure",
    origin="printed",
    published=38,
    ours=41.5,
    ci_low=36.25,
    ci_high=47.0,
    n=50,
    verdict="within_noise",
    profile="default",
)
AUTHORS = replace(CELL, ours=38, ci_low=None, ci_high=None, n=1, verdict="identical", trial=2, profile="authors")
CLAIM = replace(
    CELL,
    table="fewer_epochs",
    reference="dense",
    kind="claim",
    published=-32,
    verdict="",
    outcome="holds",
    p_value=0.01,
)


def save(folder: Path, name: str, *cells: Cell, profile: str = "default", **changes) -> Path:
    arguments = {
        "notebook": "01_tables.ipynb",
        "parameters": {"profile": profile, "seed": 0, "out": "somewhere"},
        "seeds": [0, 1],
        "data_checksums": {"cancer": "ab" * 32},
        "cells": cells,
    }
    return ledger.write(folder / "results" / f"{name}.{profile}.json", **(arguments | changes))


def test_written_file_holds_what_a_reader_needs(tmp_path):
    path = save(tmp_path, "tables", CELL, AUTHORS, figures={"curve": np.arange(3) / 4}, skipped=[])
    content = ledger.read(path)
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
    monkeypatch.setattr(environment, "ROOT", tmp_path)
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
        ({"verdict": "reproduced"}, ValueError, "verdict must be one of 'identical', 'within_noise'"),
        ({"profile": "quick"}, ValueError, "profile must be one of 'smoke', 'default', 'paper', 'authors'"),
        ({"dataset": ""}, ValueError, "dataset must be one line"),
        ({"note": "two\nlines"}, ValueError, "note must be one line"),
        ({"table": 1}, TypeError, "table must be a string"),
        ({"n": 0}, ValueError, "n must be at least 1"),
        ({"n": 2.0}, TypeError, "n must be an integer"),
        ({"ci_low": None}, ValueError, "both"),
        ({"ci_low": 99}, ValueError, "must not exceed"),
        ({"published": None, "origin": ""}, ValueError, "published must be given for kind 'figure'"),
        ({"published": None}, ValueError, "origin must be one of '', got 'printed'"),
        ({"origin": ""}, ValueError, "origin must be one of 'printed', 'released', 'derived', got ''"),
        ({"outcome": "holds"}, ValueError, "outcome must be one of '', got 'holds'"),
        ({"kind": "claim"}, ValueError, "verdict must be one of '', got 'within_noise'"),
        ({"kind": "claim", "verdict": ""}, ValueError, "outcome must be one of 'holds'"),
        ({"kind": "guess"}, ValueError, "kind must be one of 'figure'"),
        ({"p_value": 1.5}, ValueError, "p_value must lie in"),
        ({"trial": 2}, ValueError, "trial must be given exactly for profile 'authors'"),
        ({"profile": "authors"}, ValueError, "trial must be given exactly for profile 'authors'"),
    ],
)
def test_cell_refuses(change, error, message):
    with pytest.raises(error, match=message):
        replace(CELL, **change)


@pytest.mark.parametrize("outcome", ledger.OUTCOMES)
def test_no_outcome_of_a_claim_can_become_a_verdict_on_a_figure(outcome):
    """An undecided claim was once counted as a figure that is not reproduced."""
    for kind in ("claim", "control"):
        assert replace(CLAIM, kind=kind, outcome=outcome).verdict == ""
        for verdict in ledger.VERDICTS:
            with pytest.raises(ValueError, match="verdict must be one of ''"):
                replace(CLAIM, kind=kind, outcome=outcome, verdict=verdict)
    with pytest.raises(ValueError, match="verdict must be one of 'identical'"):
        replace(CELL, verdict=outcome)
    assert not set(ledger.OUTCOMES) & set(ledger.VERDICTS)


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
        ({"figures": {"x": Path("x")}}, TypeError, "result.figures.x must be of a type that JSON can hold"),
        ({"figures": {1: 2}}, TypeError, "strings as keys"),
        ({"parameters": {"seed": 0}}, TypeError, "profile must be str, got None"),
        ({"parameters": {"profile": "fast"}}, ValueError, "profile of smoke, default, paper"),
        ({"notebook": "notebooks/01.ipynb"}, ValueError, "file name"),
        ({"seeds": [0.5]}, TypeError, "seeds must be integers"),
        ({"data_checksums": {"iris": "abc"}}, ValueError, "data_checksums"),
        ({"skipped": [{"what": "x"}]}, ValueError, "skipped"),
        ({"skipped": [{"what": "x", "why": 3}]}, ValueError, "skipped"),
        ({"cells": [CELL, replace(CELL, ours=40)]}, ValueError, "got twice legcnet 1 cancer ft .*epochs"),
        ({"cells": [AUTHORS, AUTHORS]}, ValueError, "got twice legcnet 1 cancer ft .*epochs .*2"),
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
    write_atomic(path, "old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_atomic_write_replaces_and_is_readable_by_others(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomic(path, "a\n")
    write_atomic(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    assert path.stat().st_mode & 0o777 == 0o644


def signed(text: str) -> str:
    """The text with the signature of what it holds now."""
    content = json.loads(text)
    return json.dumps(content | {"signature": ledger.signature(content)})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-40], "Expecting|Unterminated|delimiter"),
        (lambda text: text.replace("41.5", "NaN"), "numbers must be finite, got NaN"),
        (lambda text: text.replace('"ours": 41.5', '"ours": 9, "ours": 41.5'), "keys must be unique, got twice 'ours'"),
        (lambda text: signed(re.sub('"commit": .*,', '"commit": "--output=x",', text)), "environment.commit must be"),
        (lambda text: signed(text.replace('"within_noise"', '"great"')), "verdict must be one of"),
        (lambda text: signed(text.replace('"cells"', '"cels"')), r"missing \['cells'\], unknown \['cels'\]"),
        (lambda text: signed(text.replace('"ci_low"', '"low"')), r"missing \['ci_low'\], unknown \['low'\]"),
        (lambda text: text.replace('"schema": 3', '"schema": 1'), "schema must be 3, got 1"),
        (lambda text: text.replace("41.5", "41.4"), "changed after it was written"),
        (lambda text: "[]", "JSON object"),
    ],
)
def test_read_names_the_file_and_the_fault(tmp_path, damage, message):
    path = save(tmp_path, "tables", CELL)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=message) as caught:
        ledger.read(path)
    assert str(path) in str(caught.value)


def test_signature_is_of_the_content_whatever_its_spacing(tmp_path):
    path = save(tmp_path, "tables", CELL)
    content = ledger.read(path)
    path.write_text(json.dumps(content, indent=4))
    assert ledger.read(path) == content
    ledger.save(path, content | {"energy_joules": 3.5})
    assert ledger.read(path)["energy_joules"] == 3.5 and ledger.read(path)["signature"] != content["signature"]


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
        ledger.collect(tmp_path)
    assert ledger.collect(tmp_path / "nothing") == []


def test_skipped_reasons_lose_this_machines_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("CCPRUNE_DATA", "/some/folder/data")
    why = f"not in /some/folder/data nor {sys.prefix}/share nor {Path.home()}/x"
    content = ledger.read(save(tmp_path, "tables", skipped=[{"what": "vowel", "why": why}]))
    assert content["skipped"][0]["why"].startswith("not in $CCPRUNE_DATA nor ")
    assert sys.prefix not in content["skipped"][0]["why"]


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
    assert ledger.format_number(number) == text


def test_a_measured_cell_is_ours_alone():
    interval = stats.Interval(0.5, 0.4, 0.6, 7)
    cell = Cell.from_interval("legcnet", "t", "iris", "ft", "q", interval, profile="smoke", note="x", reference="dense")
    assert (cell.published, cell.ours, cell.ci_low, cell.ci_high, cell.n) == (None, 0.5, 0.4, 0.6, 7)
    assert (cell.kind, cell.verdict, cell.outcome, cell.note) == ("measurement", "", "", "x")
    assert (cell.reference, cell.profile) == ("dense", "smoke")


RAW = pd.DataFrame(
    {"study": ["fresh"] * 3, "network": [0, 1, 2], "epochs": [3.0, None, 5.5], "reached": [True, False, True]}
)


def test_raw_runs_come_back_from_their_own_file(tmp_path):
    path = save(tmp_path, "tables", CELL, raw=RAW)
    content = ledger.read(path)
    pd.testing.assert_frame_equal(ledger.read_raw(path, content)[RAW.columns], RAW)
    ledger.place(path, content)
    placed = ledger.read(path)
    assert placed["raw"] is None and placed["raw_sha256"] == ledger.raw_digest(ledger.raw_path(path))
    assert ledger.raw_path(path) == tmp_path / "raw" / "tables.default.parquet"
    again = ledger.read_raw(path, placed)
    assert again.network.tolist() == [0, 1, 2] and again.epochs.isna().tolist() == [False, True, False]
    ledger.place(path, placed)
    assert ledger.read(path) == placed, "placed once, it stays"


def test_raw_runs_that_were_changed_or_lost_are_named(tmp_path):
    path = save(tmp_path, "tables", CELL, raw=RAW)
    ledger.place(path, ledger.read(path))
    content, raw = ledger.read(path), ledger.raw_path(path)
    raw.write_bytes(raw.read_bytes() + b" ")
    with pytest.raises(ValueError, match="tables.default.parquet: .* was changed after it was written"):
        ledger.read_raw(path, content)
    raw.unlink()
    with pytest.raises(ValueError, match="tables.default.parquet: .* is missing"):
        ledger.read_raw(path, content)


def test_a_result_without_raw_runs_removes_those_of_an_older_one(tmp_path):
    path = save(tmp_path, "tables", CELL, raw=RAW)
    ledger.place(path, ledger.read(path))
    assert ledger.raw_path(path).is_file()
    path = save(tmp_path, "tables", CELL)
    assert ledger.read_raw(path, ledger.read(path)) is None
    ledger.place(path, ledger.read(path))
    assert not ledger.raw_path(path).exists()


def test_a_result_that_was_cut_off_while_it_was_placed_has_its_raw_runs(tmp_path, monkeypatch):
    path = save(tmp_path, "tables", CELL, raw=RAW)
    ledger.place(path, ledger.read(path))
    before = ledger.read(path)
    path = save(tmp_path, "tables", CELL, raw=RAW.assign(epochs=7.0))
    newer = ledger.read(path)
    ledger.save(path, before)  # as it was: `write` has taken its place

    def cut_off(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(journal, "write_atomic", cut_off)
    with pytest.raises(KeyboardInterrupt):
        ledger.place(path, newer)
    journal.recover(tmp_path)
    assert ledger.read_raw(path, ledger.read(path)).epochs.isna().any(), "the old result, with its own"
    monkeypatch.undo()
    monkeypatch.setattr(journal, "_complete", cut_off)
    with pytest.raises(KeyboardInterrupt):
        ledger.place(path, newer)
    monkeypatch.undo()
    journal.recover(tmp_path)
    assert (ledger.read_raw(path, ledger.read(path)).epochs == 7).all(), "the new result, with its own"


def test_notebook_and_parameters_are_those_announced(tmp_path):
    path, given = tmp_path / "tables.default.json", {"seeds": [0], "data_checksums": {}, "cells": []}
    with pytest.raises(ValueError, match="notebook and parameters must be given"):
        ledger.write(path, **given)
    assert not path.exists()
    ledger.announce(path, notebook="01_x.ipynb", parameters={"profile": "default", "rate": 0.1})
    content = ledger.read(ledger.write(path, **given))
    assert (content["notebook"], content["parameters"]) == ("01_x.ipynb", {"profile": "default", "rate": 0.1})
