"""Conclusions are used again only while nothing that they follow from has changed."""

import json

import pandas as pd
import pytest

from replication import ledger as results
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
    results.write(
        path, notebook="03_phase_shift.ipynb", parameters=parameters, seeds=[], data_checksums={}, cells=[],
        raw=pd.DataFrame(rows),
    )  # fmt: skip
    results.place(path, results.read(path))
    return path


def entry(result):
    return result.parent.parent / ".cache" / "verdicts" / "curve.smoke.json"


def test_the_cache_gives_what_is_concluded(result):
    content, found = results.read(result), cache.cached(result.parent.parent)
    first = found(result, content)
    assert first == cache.judge(result, content) and entry(result).is_file()
    assert found(result, content) == first


def test_an_entry_is_used_while_nothing_changed_and_not_after(result):
    found = cache.cached(result.parent.parent)
    found(result, results.read(result))
    known = json.loads(entry(result).read_text())
    known["cells"] = known["cells"][:1]
    entry(result).write_text(json.dumps(known))
    assert len(found(result, results.read(result))) == 1, "this one was used"
    results.save(result, results.read(result) | {"energy_joules": 1.0})
    assert len(found(result, results.read(result))) > 1


@pytest.mark.parametrize("damage", ["", "{}", '{"key": 3}', "[1]"])
def test_an_unreadable_entry_is_concluded_anew(result, damage):
    found, content = cache.cached(result.parent.parent), results.read(result)
    first = found(result, content)
    entry(result).write_text(damage)
    assert found(result, content) == first


def test_changed_raw_runs_are_an_error_whatever_is_kept(result):
    found, content = cache.cached(result.parent.parent), results.read(result)
    found(result, content)
    raw = results.raw_path(result)
    raw.write_bytes(raw.read_bytes()[:-1])
    with pytest.raises(ValueError, match="was changed"):
        found(result, content)


def test_null_without_raw_runs_there_is_nothing_to_keep(tmp_path):
    path = tmp_path / "results" / "plain.smoke.json"
    cell = Cell(paper="causal", table="t", dataset="d", method="m", quantity="q", ours=1.0, profile="smoke")
    results.write(
        path,
        notebook="03_phase_shift.ipynb",
        parameters={"profile": "smoke"},
        seeds=[],
        data_checksums={},
        cells=[cell],
    )
    assert cache.cached(tmp_path)(path, results.read(path)) == [cell]
    assert not (tmp_path / ".cache").exists()
