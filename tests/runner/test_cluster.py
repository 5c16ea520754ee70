"""Notebooks on a Dask cluster of two local workers; the numbers must be those of one process."""

import contextlib
import io
import json
import os
import signal
import socket
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from ccprune import cli
from replication import ledger
from replication.runner import SuiteError, cluster, stamps
from replication.runner.process import RunFiles

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def dask_cluster():
    """Two worker processes of one thread each; a worker that dies is replaced, and a task gets a second one."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        ) as made,
    ):
        yield made


@pytest.fixture
def pool(dask_cluster, project):
    made = cluster.ClusterPool(project.root, dask_cluster.scheduler_address)
    yield made
    made.close()


def numbers(folder: Path) -> dict[str, list]:
    return {path.name: ledger.read(path)["cells"] for path in sorted((folder / "results").glob("*.json"))}


def test_a_sweep_spreads_and_gives_the_same_numbers(project, pool, tmp_path):
    where = project.writing("good.ipynb").replace("ours=size", "ours=int(np.random.default_rng(size).integers(10**6))")
    project.write_notebook("good.ipynb", f"import numpy as np, time\ntime.sleep(1){where}")
    project.write_suite(project.entry("sweep", default="{ grid = { size = [1, 2] } }"))
    assert {outcome.status for outcome in project.run(pool=pool)} == {"done"}
    spread = numbers(project.out)
    assert len(spread) == 2
    assert {outcome.status for outcome in project.run(jobs=2, force=True)} == {"done"}
    assert numbers(project.out) == spread
    assert {outcome.status for outcome in project.run(pool=pool)} == {"unchanged"}


#: Code by which a notebook finds the Dask worker: the parent of its process' guard.
PARENT = """
parent = os.getppid()
for _ in range(2):
    parent = int(Path(f"/proc/{parent}/stat").read_text().rsplit(")", 1)[1].split()[1])
"""


def test_a_worker_that_is_killed_loses_nothing(project, pool):
    """The notebook begins on one worker, which is killed, and ends on another."""
    begun = project.root / "begun"
    wait = (
        "import os, time\nfrom pathlib import Path\n"
        f"first = not Path({str(begun)!r}).exists()\n"
        f"{PARENT}"
        f"Path({str(begun)!r}).write_text(str(parent))\n"
        "time.sleep(600 if first else 0)"
    )
    project.write_notebook("good.ipynb", wait, project.writing("good.ipynb"))
    project.write_suite(project.entry("one"))
    killed = []

    class Killing(io.StringIO):
        """Progress that kills the worker as soon as the notebook has begun there."""

        def write(self, text):
            if "start" in text:
                threading.Thread(target=self.kill).start()

        def kill(self):
            killed.append(int(_wait_for(lambda: begun.exists() and begun.read_text())))
            os.kill(killed[0], signal.SIGKILL)

    (outcome,) = project.run(pool=pool, stream=Killing())
    assert outcome.status == "done", outcome.why
    assert len(killed) == 1 and int(begun.read_text()) != killed[0]


def test_a_notebook_that_kills_every_worker_is_reported(project, pool):
    kill = (
        "import os, signal\nfrom pathlib import Path\n"
        f"{PARENT}"
        "os.kill(parent, signal.SIGKILL)\nimport time; time.sleep(600)"
    )
    project.write_notebook("bad.ipynb", kill)
    project.write_suite(project.entry("bad", "bad.ipynb"), project.entry("good"))
    bad, good = project.run(pool=pool, keep_going=True)
    assert bad.status == "failed" and "KilledWorker on the cluster" in bad.why
    assert good.status == "done", good.why


def test_a_failing_cell_and_its_notebook_come_back(project, pool):
    project.write_notebook("bad.ipynb", "1 / 0")
    project.write_suite(project.entry("bad", "bad.ipynb"))
    (outcome,) = project.run(pool=pool)
    assert outcome.status == "failed" and "ZeroDivisionError" in outcome.why
    assert (project.out / "reports" / "bad.default.failed.ipynb").is_file()


def test_a_worker_with_other_sources_refuses(project, pool, monkeypatch):
    project.write_suite(project.entry("one"))
    original = stamps.sources
    monkeypatch.setattr(stamps, "sources", lambda root, run: original(root, run) | {"versions": {"torch": "0.1"}})
    (outcome,) = project.run(pool=pool)
    assert outcome.status == "failed"
    assert "has different sources from the caller: versions (" in outcome.why


def test_what_is_stopped_ends_on_the_worker_too(project, pool):
    pid_file = project.root / "pid"
    stuck = f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    project.write_notebook("good.ipynb", stuck)
    project.write_suite(project.entry("one"))
    (run,) = project.plan()
    task = pool.start(run, stamps.sources(project.root, run), 600)
    pid = int(_wait_for(lambda: pid_file.exists() and pid_file.read_text()))
    task.stop()
    _wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_a_gpu_is_asked_of_the_workers(pool, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)  # here, where nothing runs
    assert "no worker of the cluster was started with --resources GPU=1" in pool.why_missing("device:cuda")


def test_no_cluster_there(project, monkeypatch, capfd):
    monkeypatch.chdir(project.root)
    project.write_suite(project.entry("one"))
    monkeypatch.setattr(cluster, "_TIMEOUT", 1)
    assert cli.main(["replicate", "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capfd.readouterr().err
    with pytest.raises(SuiteError, match="no Dask scheduler"):
        cluster.ClusterPool(project.root, "nonsense://127.0.0.1:9")
    assert cli.main(["replicate", "--scheduler", "tcp://127.0.0.1:9", "--jobs", "2"]) == 2
    assert "--jobs must not be given with --scheduler" in capfd.readouterr().err


@pytest.mark.parametrize(("pickled", "reason"), [(False, "only able to deserialize"), (True, "must return JSON")])
def test_what_a_worker_returns_is_never_unpickled(project, pool, monkeypatch, pickled, reason):
    class Hostile:
        """Object that runs code when it is unpickled: it leaves a folder in the working directory."""

        def __reduce__(self):
            return (os.mkdir, ("unpickled",))

    def on_worker(*_):  # a local function, which the worker need not import
        import pickle

        return pickle.dumps(Hostile()) if pickled else Hostile()

    monkeypatch.chdir(project.root)
    monkeypatch.setattr(cluster, "_on_worker", on_worker)
    project.write_suite(project.entry("one"))
    (outcome,) = project.run(pool=pool)
    assert outcome.status == "failed" and reason in outcome.why
    assert not (project.root / "unpickled").exists()


WHOLE = asdict(RunFiles(0, 1.5, "log", None, "{}", "<html>", "{}", None))


@pytest.mark.parametrize(
    "answer",
    [
        {**WHOLE, "status": "0"},
        {**WHOLE, "energy": -1},
        {**WHOLE, "energy": True},
        {**WHOLE, "report": {"a": 1}},
        {**WHOLE, "error": {"cell": 1, "text": "x"}},
        {**WHOLE, "other": 1},
        {"status": 0},
        [],
    ],
)
def test_an_answer_with_other_fields_is_refused(answer):
    with pytest.raises(RuntimeError, match="^the worker"):
        cluster.parse(json.dumps(answer).encode())


def test_null_an_answer_comes_back_as_it_was():
    assert asdict(cluster.parse(json.dumps(WHOLE).encode())) == WHOLE


@pytest.mark.parametrize("greeting", [None, b"", b"SSH-2.0-OpenSSH_9.2\r\n" * 9, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_something_else_that_listens_is_named_within_ten_seconds(project, greeting, monkeypatch):
    """A server that is silent, closes the connection or sends something else."""
    assert cluster._TIMEOUT < 10
    monkeypatch.setattr(cluster, "_TIMEOUT", 2)
    held = []

    def serve(server):
        with contextlib.suppress(OSError):
            while True:
                held.append(server.accept()[0])
                if greeting is not None:
                    held[-1].sendall(greeting)
                    held.pop().close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        address, start = f"tcp://127.0.0.1:{server.getsockname()[1]}", time.monotonic()
        with pytest.raises(SuiteError, match=f"no Dask scheduler answers at {address}: ."):
            cluster.ClusterPool(project.root, address)
        assert time.monotonic() - start < 6


def test_a_worker_is_no_scheduler(dask_cluster, project):
    worker = next(iter(dask_cluster.workers.values())).worker_address
    with pytest.raises(SuiteError, match=f"no Dask scheduler answers at {worker}: it is a Dask Worker"):
        cluster.ClusterPool(project.root, worker)


def _wait_for(condition, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found
