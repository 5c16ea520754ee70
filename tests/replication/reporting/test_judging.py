"""Conclusions are used again only while nothing that they follow from has changed."""

import json

import pandas as pd
import pytest

from replication import ledger
from replication.ledger import Cell
from replication.reporting import judging as cache


@pytest.fixture
def result(tmp_path):
    """A result of notebook 03 with raw runs in their own file."""
    path = tmp_path / "results" / "curve.smoke.json"
    parameters = {"profile": "smoke", "dataset": "iris", "architecture": "mlp", "held_out": 5}
    rows = [
        {"study": "curves", "seed": seed, "method": method, "level": level, "sparsity": level}
        | {"test_accuracy": 0.9 - seed / 100, "valid_accuracy": 0.9}
        for seed in (0, 1)
        for method in ("dense", "causal")
        for level in (0.5, 0.9)
    ]
    ledger.write(
        path, notebook="03_phase_shift.ipynb", parameters=parameters, seeds=[], data_checksums={}, cells=[],
        raw=pd.DataFrame(rows),
    )  # fmt: skip
    ledger.place(path, ledger.read(path))
    return path


def entry(result):
    return result.parent.parent / ".cache" / "verdicts" / "curve.smoke.json"


def test_the_cache_gives_what_is_concluded(result):
    content, found = ledger.read(result), cache.with_cache(result.parent.parent)
    first = found(result, content)
    assert first == cache.judge(result, content) and entry(result).is_file()
    assert found(result, content) == first


def test_an_entry_is_used_while_nothing_changed_and_not_after(result):
    found = cache.with_cache(result.parent.parent)
    found(result, ledger.read(result))
    known = json.loads(entry(result).read_text())
    known["cells"] = known["cells"][:1]
    entry(result).write_text(json.dumps(known))
    assert len(found(result, ledger.read(result))) == 1, "this one was used"
    ledger.save(result, ledger.read(result) | {"energy_joules": 1.0})
    assert len(found(result, ledger.read(result))) > 1


@pytest.mark.parametrize("damage", ["", "{}", '{"key": 3}', "[1]"])
def test_an_unreadable_entry_is_concluded_anew(result, damage):
    found, content = cache.with_cache(result.parent.parent), ledger.read(result)
    first = found(result, content)
    entry(result).write_text(damage)
    assert found(result, content) == first


def test_changed_raw_runs_are_an_error_whatever_is_kept(result):
    found, content = cache.with_cache(result.parent.parent), ledger.read(result)
    found(result, content)
    raw = ledger.raw_path(result)
    raw.write_bytes(raw.read_bytes()[:-1])
    with pytest.raises(ValueError, match="was changed"):
        found(result, content)


def test_null_without_raw_runs_there_is_nothing_to_keep(tmp_path):
    path = tmp_path / "results" / "plain.smoke.json"
    cell = Cell(paper="causal", table="t", dataset="d", method="m", quantity="q", ours=1.0, profile="smoke")
    ledger.write(
        path,
        notebook="03_phase_shift.ipynb",
        parameters={"profile": "smoke"},
        seeds=[],
        data_checksums={},
        cells=[cell],
    )
    assert cache.with_cache(tmp_path)(path, ledger.read(path)) == [cell]
    assert not (tmp_path / ".cache").exists()
