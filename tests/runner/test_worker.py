"""The notebook's process, as far as a running notebook is not needed for it."""

import json
import subprocess
import sys
from contextlib import nullcontext

import nbformat
import papermill
import pytest

from replication.ledger import energy
from replication.runner import engine, worker


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
    monkeypatch.setattr(energy, "measure_energy", reading(measured))
    calls = []
    assert worker._execute_measured(lambda: calls.append(1)) == joules
    assert calls == [1]


@pytest.mark.parametrize("before", [True, False])
def test_without_a_figure_the_notebook_runs_once(codecarbon, monkeypatch, before):
    def unavailable(function):
        if not before:
            function()
        raise energy.EnergyUnavailable("no figure")

    monkeypatch.setattr(energy, "measure_energy", unavailable)
    calls = []
    assert worker._execute_measured(lambda: calls.append(1)) is None
    assert calls == [1]


def test_without_codecarbon(monkeypatch):
    monkeypatch.setattr(worker, "find_spec", lambda name: None)
    calls = []
    assert worker._execute_measured(lambda: calls.append(1)) is None
    assert calls == [1]


def test_a_page_that_takes_too_long_ends_the_process(tmp_path):
    """Also where no thread of Python runs, as in markdown of very many blanks."""
    code = (
        "import re, sys; from pathlib import Path; from replication.runner import worker; folder = Path(sys.argv[1])\n"
        "with worker._time_limit(60, folder): assert (folder / 'error.json').exists()\n"
        "assert not (folder / 'error.json').exists()\n"
        "with worker._time_limit(0.2, folder): re.match('(a+)+b', 'a' * 60)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "Timeout (0:00:00.200000)!" in ended.stderr
    assert "took longer than 0.2 s" in json.loads((tmp_path / "error.json").read_text())["text"]


def test_a_notebook_that_prints_without_end(tmp_path, monkeypatch):
    for name in ("JUPYTER_PATH", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, "")  # the worker changes them
    monkeypatch.setattr(engine, "LIMIT", 10**5)
    worker._install_kernel(tmp_path)
    cell = nbformat.v4.new_code_cell("while True:\n    print('x' * 1000)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "endless.ipynb")
    with pytest.raises(engine.OutputTooLarge, match="more than 100,000 characters: print less") as raised:
        papermill.execute_notebook(
            tmp_path / "endless.ipynb",
            tmp_path / "executed.ipynb",
            engine_name=engine.NAME,
            kernel_name=worker.KERNEL,
            language="python",
            progress_bar=False,
            start_timeout=60,
            execution_timeout=60,
        )
    described = worker._describe(raised.value, tmp_path)
    assert described["cell"] == 0 and described["text"].startswith("OutputTooLarge: ")
    assert (tmp_path / "executed.ipynb").stat().st_size < 10**7


@pytest.mark.parametrize(
    "messages, starts",
    [
        (["Kernel died before replying to kernel_info"] * 2, 3),
        (["Kernel died before replying to kernel_info"] * 9, 3),
        (["another error"], 1),
    ],
)
def test_a_kernel_that_dies_before_it_answers_is_started_again(monkeypatch, messages, starts):
    left, begun = list(messages), []

    class Client:
        def __init__(self, *_, **__):
            begun.append(self)

        def execute(self):
            if left:
                raise RuntimeError(left.pop())

    monkeypatch.setattr(engine, "_Client", Client)
    lasting = len(messages) != 2
    with pytest.raises(RuntimeError, match=messages[0]) if lasting else nullcontext():
        engine._Engine.execute_managed_notebook(None, "python3", start_timeout=1, execution_timeout=1)
    assert len(begun) == starts
