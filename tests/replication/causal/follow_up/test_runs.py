"""Runs of the follow-up's protocol as units. Oracles: `follow_up` itself, and counting."""

import gzip
import io
import json

import pytest
import torch

from replication.causal.follow_up import runs
from replication.causal.follow_up.procedure import follow_up
from replication.causal.follow_up.protocols import Protocol
from replication.causal.follow_up.runs import follow_up_runs
from replication.causal.runs import hold_out
from replication.causal.setting import Setting
from replication.ledger.units import Units
from replication.networks.models import mlp

SETTING = Setting(batch_size=100, lr=0.05)
LENGTHS = Protocol("ridge", "cubic", pre=1, iterations=2, between=1, final=1)
NAMES = ("dense", "ridge", "magnitude")


def network(seed):
    return mlp((64, 20, 10), seed=seed)


@pytest.fixture(scope="module")
def data(digits):
    return hold_out(digits, count=200, seed=0)


def run(data, units, **options):
    options = {"names": NAMES, "totals": (0.5, 0.9), "seeds": (0,), "key": {}, "units": units} | options
    return follow_up_runs(network, *data, SETTING, LENGTHS, **options)


def test_every_method_runs_under_every_schedule_with_one_budget(data, tmp_path):
    rows = run(data, Units(None), checkpoints=tmp_path)
    assert len(rows) == 1 + 2 * 2 * 2 and not list(tmp_path.iterdir())
    assert {row["epochs"] for row in rows} == {3} and rows[0]["method"] == "dense"
    assert [row["recorded"] for row in rows] == [0, 2, 2, 2, 2, 0, 0, 0, 0]
    for row in rows[1:]:
        counts = Protocol("ridge", row["schedule"], iterations=2).counts(1480, row["total"])
        assert row["pruned"] == counts[-1]
    chosen = Protocol("ridge", "geometric", pre=1, iterations=2, between=1, final=1)
    one = follow_up(network(0), *data, SETTING, chosen, total=0.9, seed=0).row()
    assert {"seed": 0, "schedule": "geometric", "total": 0.9} | one in rows


def test_units_are_taken_and_repetitions_added(data, tmp_path, monkeypatch):
    first = run(data, Units(tmp_path))
    assert len(list(tmp_path.iterdir())) == 9
    more = run(data, Units(tmp_path), seeds=(0, 1))
    assert more[:9] == first and len(more) == 18 and {row["seed"] for row in more[9:]} == {1}
    monkeypatch.setattr(runs, "follow_up", None)  # nothing is trained again
    assert run(data, Units(tmp_path), seeds=(0, 1)) == more
    for other in ({"seeds": (2,)}, {"totals": (0.6,)}, {"key": {"device": "cuda"}}):
        with pytest.raises(TypeError):
            run(data, Units(tmp_path), **other)


def test_a_killed_unit_resumes_at_its_last_epoch(data, tmp_path, monkeypatch):
    whole = run(data, Units(None), names=("ridge",), totals=(0.9,), schedules=("cubic",))
    trained, epochs = Setting.train, []

    def killed(self, *arguments, **options):
        epochs.append(options["first"])
        if len(epochs) == 5:  # one epoch, a recording, one epoch, a recording, and the last epoch
            raise KeyboardInterrupt
        return trained(self, *arguments, **options)

    options = {"names": ("ridge",), "totals": (0.9,), "schedules": ("cubic",), "checkpoints": tmp_path / "running"}
    monkeypatch.setattr(Setting, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run(data, Units(tmp_path / "units"), **options)
    (file,) = (tmp_path / "running").iterdir()
    found = torch.load(io.BytesIO(gzip.decompress(file.read_bytes())), weights_only=True)
    assert 0 < found["seconds"] < 100
    buffer = io.BytesIO()
    torch.save(found | {"seconds": 1000.0}, buffer)
    file.write_bytes(gzip.compress(buffer.getvalue()))
    assert run(data, Units(tmp_path / "units"), **options) == whole
    (unit,) = (tmp_path / "units").glob("*.json")
    assert 1000 < json.loads(unit.read_text())["seconds"] < 1100, "the seconds before the interruption count"
    assert len(epochs) == 5 + 2  # the last recording and the last epoch
    assert not list((tmp_path / "running").iterdir())


def test_invalid_arguments(data):
    with pytest.raises(ValueError, match=r"names must be among .*'dense'\), got \['obd'\]"):
        run(data, Units(None), names=("obd",))
    with pytest.raises(ValueError, match=r"schedules must be among .*, got \['linear'\]"):
        run(data, Units(None), schedules=("cubic", "linear"))
    with pytest.raises(ValueError, match="total must lie in"):
        run(data, Units(None), names=("random",), totals=(1.0,))
