"""The notebook's process, as far as a running notebook is not needed for it."""

import pytest

from replication.ledger import energy
from replication.runner import worker


@pytest.fixture
def codecarbon(monkeypatch):
    """As if it were installed."""
    monkeypatch.setattr(worker, "find_spec", lambda name: object())


def reading(measured: bool):
    def of(function):
        function()
        return energy.Energy(6.0, 3.0, 2.0, 1.0, 0.1, 1, measured, "")

    return of


@pytest.mark.parametrize(("measured", "joules"), [(True, 5.0), (False, None)])
def test_energy_where_a_counter_tells_it(codecarbon, monkeypatch, measured, joules):
    """Processor and graphics card; memory's share, and a processor's without a counter, are estimates."""
    monkeypatch.setattr(energy, "measured", reading(measured))
    calls = []
    assert worker._measured(lambda: calls.append(1)) == joules
    assert calls == [1]


@pytest.mark.parametrize("before", [True, False])
def test_without_a_figure_the_notebook_runs_once(codecarbon, monkeypatch, before):
    def unavailable(function):
        if not before:
            function()
        raise energy.EnergyUnavailable("no figure")

    monkeypatch.setattr(energy, "measured", unavailable)
    calls = []
    assert worker._measured(lambda: calls.append(1)) is None
    assert calls == [1]


def test_without_codecarbon(monkeypatch):
    monkeypatch.setattr(worker, "find_spec", lambda name: None)
    calls = []
    assert worker._measured(lambda: calls.append(1)) is None
    assert calls == [1]
