"""Oracle: a stand-in for codecarbon with known powers. The real package is used where it is installed."""

import importlib.util
import logging
import os
import socket
import sys
import time
import types

import pytest
import torch

from replication import data
from replication.diagnostics import energy as diagnostics_energy
from replication.ledger import energy
from replication.legcnet.settings import SETTINGS
from replication.networks.ensemble import initialise

logger = logging.getLogger("codecarbon")


class Hardware:
    def __init__(self, text):
        self.text = text

    def description(self):
        return self.text


def stand_in(
    monkeypatch, *, hardware=("RAM()", "CPU(Cpu Load)"), watts=(4.0, 0.0, 10.0), broken=False, silent=False, old=False
):
    """A module "codecarbon" whose trackers see constant powers of CPU, GPU and RAM, and remember their options."""

    class Tracker:
        made = []

        def __init__(self, **options):
            self.options, self.stopped = options, False
            self._hardware = [Hardware(text) for text in hardware]
            Tracker.made.append(self)
            logger.setLevel(logging.DEBUG)
            logger.warning("No CPU tracking mode found.")

        def get_detected_hardware(self):
            if broken:
                raise AttributeError("no hardware")

        def start(self):
            self.begin = time.perf_counter()
            with open(os.path.join(self.options["output_dir"], "power.log"), "w") as file:
                file.write("a reader's log")

        def stop(self):
            self.stopped = True
            if not silent:
                hours = (time.perf_counter() - self.begin) / 3600
                names = ("cpu_energy", "gpu_energy", "ram_energy")
                kwh = {name: watt / 1000 * hours for name, watt in zip(names, watts, strict=True)}
                self.final_emissions_data = types.SimpleNamespace(**kwh)

    module = types.ModuleType("codecarbon")
    module.OfflineEmissionsTracker, module.__version__ = Tracker, "3.2.0"
    if not old:
        module.OutputMethod = object
    monkeypatch.setitem(sys.modules, "codecarbon", module)
    return Tracker


@pytest.fixture
def clock(monkeypatch):
    """Time passes only when a test says so: clock[0] += seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_joules_are_watts_times_seconds_of_one_run(monkeypatch, clock):
    tracker = stand_in(monkeypatch, watts=(4.0, 6.0, 10.0))

    def run():
        clock[0] += 3.0

    found = energy.measure_energy(run, repeats=5)
    assert (found.repeats, found.seconds, clock[0]) == (5, 3.0, 115.0)
    assert (found.cpu, found.gpu, found.ram, found.joules) == pytest.approx((12.0, 18.0, 30.0, 60.0))
    assert len(tracker.made) == 1 and tracker.made[0].stopped


def test_nothing_is_written_sent_or_printed(monkeypatch, tmp_path, capfd):
    tracker = stand_in(monkeypatch)
    monkeypatch.chdir(tmp_path)
    handler, level = logging.StreamHandler(sys.stderr), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    try:
        energy.measure_energy(lambda: time.sleep(0.01))
        assert capfd.readouterr() == ("", "") and logger.level == logging.ERROR and not logger.filters
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    options = tracker.made[0].options
    assert options["output_methods"] == [] and not options["emissions_endpoint"]
    assert not options["electricitymaps_api_token"] and options["allow_multiple_runs"] is True
    assert not os.path.exists(options["output_dir"]) and not list(tmp_path.iterdir())


ESTIMATED = "CPU estimated from TDP and CPU time"


@pytest.mark.parametrize(
    "hardware, gpu, measured, source",
    [
        (["RAM()", "CPU(Cpu Load)"], 0.0, False, f"{ESTIMATED}, RAM estimated"),
        (["RAM()", "CPU(AMD EPYC > 85W [generic])"], 0.0, False, f"{ESTIMATED}, RAM estimated"),
        (["RAM()", "CPU(Intel Rapl)"], 0.0, True, "CPU measured (Intel Rapl), RAM estimated"),
        (["RAM()", "CPU(Cpu Load)", "GPU (H)"], 9.0, False, f"{ESTIMATED}, GPU measured, RAM estimated"),
        ([], 0.0, False, f"{ESTIMATED}, RAM estimated"),
    ],
)
def test_source_says_measured_only_of_a_counter(monkeypatch, hardware, gpu, measured, source):
    stand_in(monkeypatch, hardware=hardware, watts=(4.0, gpu, 10.0))
    found = energy.measure_energy(lambda: time.sleep(0.001))
    assert (found.measured, found.source) == (measured, source)


def test_reasons_are_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(energy.EnergyUnavailable, match="cannot be imported .* pip install"):
        energy.measure_energy(lambda: None)
    called = []
    with pytest.raises(energy.EnergyUnavailable, match="cannot be imported"):
        energy.compare_energy({"a": lambda: called.append(1)}, rounds=1)
    cases = [
        ({"old": True}, "must be 3.3 or later, got 3.2.0"),
        ({"broken": True}, "failed to start; codecarbon's warnings: No CPU tracking mode found."),
        ({"silent": True}, "measured nothing; codecarbon's warnings: No CPU tracking mode found."),
        ({"watts": (0.0, 0.0, 10.0)}, "measured no CPU energy in .* too short"),
    ]
    for options, reason in cases:
        stand_in(monkeypatch, **options)
        with pytest.raises(energy.EnergyUnavailable, match=reason):
            energy.measure_energy(lambda: time.sleep(0.001))
        assert not logger.filters
    assert not called
    with pytest.raises(ValueError, match="repeats must be an integer of at least 1"):
        energy.measure_energy(lambda: None, repeats=0)
    with pytest.raises(ValueError, match="rounds must be an integer of at least 1"):
        energy.compare_energy({}, rounds=0)


def test_an_error_of_the_function_stops_the_tracker(monkeypatch):
    tracker = stand_in(monkeypatch)
    with pytest.raises(ZeroDivisionError):
        energy.measure_energy(lambda: 1 / 0)
    assert tracker.made[0].stopped and not logger.filters


def test_functions_take_turns(monkeypatch):
    stand_in(monkeypatch)
    calls = []
    functions = {name: lambda name=name: (calls.append(name), time.sleep(0.001)) for name in "ab"}
    table = energy.compare_energy(functions, rounds=2, repeats=3)
    assert "".join(calls) == "ab" + 2 * ("aaa" + "bbb")
    assert list(zip(table["name"], table["round"], strict=True)) == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert {"joules", "cpu", "gpu", "ram", "seconds", "measured", "source"} <= set(table.columns)


def test_training_dense_and_pruned(monkeypatch):
    stand_in(monkeypatch)
    seen = []
    monkeypatch.setattr(diagnostics_energy, "run", lambda *arguments: (seen.append(arguments), time.sleep(0.001)))
    iris, settings = data.load("iris", source="packaged"), SETTINGS["iris"]
    ensemble = initialise((4, 6, 3), 1, seed=0)
    keep = {"dense": torch.ones(1, 42, dtype=torch.bool), "pruned": torch.zeros(1, 42, dtype=torch.bool)}
    table = diagnostics_energy.training_energy(iris, settings, ensemble, keep, rounds=1)
    assert list(table["name"]) == ["dense", "pruned"] and (table.joules > 0).all()
    assert [mask is keep[name] for (*_, mask), name in zip(seen[2:], keep, strict=True)] == [True, True]


def test_the_real_package(monkeypatch, tmp_path, capfd):
    """In process: CPU time, not idle time, costs CPU energy; no file, no connection, no word."""
    if importlib.util.find_spec("codecarbon") is None:
        pytest.skip("codecarbon is not installed")
    connections = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: connections.append(address))
    monkeypatch.chdir(tmp_path)

    def busy(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            sum(range(1000))

    try:
        work = energy.measure_energy(lambda: busy(0.8))
    except energy.EnergyUnavailable as reason:
        pytest.skip(str(reason))
    idle = energy.measure_energy(lambda: (busy(0.1), time.sleep(0.7)))
    assert work.seconds >= 0.8 and work.joules == pytest.approx(work.cpu + work.gpu + work.ram)
    if not work.measured:
        assert work.cpu > 3 * idle.cpu
    assert "RAM estimated" in work.source
    assert not connections and not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
