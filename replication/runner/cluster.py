"""Pool of an existing Dask cluster, whose workers run one process for each notebook. Needs the extra "dask"."""

import asyncio
import json
import tempfile
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from replication.ledger.reading import LIMIT
from replication.ledger.storage import from_json
from replication.runner import requirements, stamps
from replication.runner.errors import SuiteError
from replication.runner.pools import cores
from replication.runner.process import NotebookProcess, RunFiles, is_energy, is_failure
from replication.runner.spec import SUITE_FILE, Run, find_root

_CUDA, _GPU = "device:cuda", "GPU"
_TIMEOUT = 8  # seconds to find the scheduler
#: Deserialisers of what a worker returns. Dask's default also has pickle, which runs code when it is loaded.
_DESERIALIZERS = ("dask", "msgpack")
_TEXTS = ("result", "report", "executed")


class ClusterPool:
    """Pool of the workers of a Dask cluster.

    Every worker needs the clone: this folder, if it is shared, or its own. A worker runs as many notebooks at once as
    it has threads. It refuses a run if its notebook, library, parameters or package versions differ from those here, so
    that the numbers do not depend on the worker. If a worker dies, Dask starts its notebooks again on another worker,
    up to `allowed-failures` times (a setting of the scheduler, 3 by default).

    Workers return JSON, which is parsed and checked here. Dask's own messages are pickles all the same, so the
    scheduler and the workers must be trusted (docs/cluster.md).

    Parameters
    ----------
    root : Path
        Folder in which the notebooks run.
    address : str
        Address of the scheduler, such as "tcp://HOST:8786".

    Raises
    ------
    SuiteError
        If distributed is not installed, or the scheduler does not answer within 10 seconds.
    """

    def __init__(self, root: Path, address: str):
        self._root = root.resolve()
        try:
            from distributed import Client, Security
        except ImportError as error:
            raise SuiteError(
                "--scheduler needs Dask, which is not installed: pip install 'replication[dask]'"
            ) from error
        security = Security()  # certificates of Dask's configuration
        try:
            # The client waits without end for a port at which something else listens.
            role = asyncio.run(_role(address, security.get_connection_args("client")))
            if role != "Scheduler":
                raise ValueError(f"it is a Dask {role}")
            options = {"security": security, "deserializers": _DESERIALIZERS, "set_as_default": False}
            self._client = Client(address, timeout=_TIMEOUT, **options)
        except Exception as error:  # whatever the other side sent instead of an answer
            reason = str(error) or type(error).__name__
            raise SuiteError(f"no Dask scheduler answers at {address}: {reason}") from error

    def room(self) -> int:
        """Return a large number, because the scheduler queues runs, and an adaptive cluster grows with the queue."""
        return 1_000_000

    def at_once(self) -> int:
        """Return the number of threads of the present workers, at least 1."""
        return max(1, sum(self._client.nthreads().values()))

    def start(self, run: Run, made_from: dict[str, Any], cell_seconds: float) -> "_Future":
        """Submit a run."""
        needed = {_GPU: 1} if _CUDA in run.needs else None
        # Not pure: a run that is submitted again is run again, even if the scheduler still has its result.
        return _Future(
            self._client.submit(_on_worker, self._root, run, made_from, cell_seconds, pure=False, resources=needed)
        )

    def why_missing(self, need: str) -> str | None:
        """Return as `requirements.why_missing`, except that a GPU must be a worker's, which declares a resource GPU."""
        if need != _CUDA:
            return requirements.why_missing(need)
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        if any(worker["resources"].get(_GPU) for worker in workers):
            return None
        return "not run: it needs a cuda device, and no worker of the cluster was started with --resources GPU=1"

    def close(self) -> None:
        """Disconnect from the cluster, which continues to run."""
        self._client.close()


async def _role(address: str, connection_args: dict[str, Any]) -> str:
    """Return the role of the Dask server at an address, "Scheduler", "Worker" or "Nanny"."""
    from distributed import rpc

    async with asyncio.timeout(_TIMEOUT), rpc(address, connection_args=connection_args) as remote:
        return (await remote.identity())["type"]


class _Future:
    def __init__(self, future):
        self._future = future

    def has_ended(self) -> bool:
        return self._future.done()

    def result(self) -> RunFiles:
        try:
            content = self._future.result()
        except Exception as error:  # after any error the run is lost, and the caller reports the reason
            raise RuntimeError(f"{type(error).__name__} on the cluster: {error}") from error
        return parse(content)

    def stop(self) -> None:
        self._future.cancel()


def parse(content: Any) -> RunFiles:
    """Return a notebook's files from the answer of a worker, or raise RuntimeError with the reason."""
    if not isinstance(content, bytes):
        raise RuntimeError(f"the worker must return bytes, got {type(content).__name__}")
    if len(content) > 4 * LIMIT:
        raise RuntimeError(f"the worker must return at most {4 * LIMIT:,} bytes, got {len(content):,}")
    try:
        answer = from_json(content.decode())
    except ValueError as error:
        raise RuntimeError(f"the worker must return JSON: {error}") from error
    if isinstance(answer, dict) and isinstance(answer.get("lost"), str):
        raise RuntimeError(answer["lost"])
    if not isinstance(answer, dict) or answer.keys() != {field.name for field in fields(RunFiles)}:
        raise RuntimeError("the worker must return the fields of an ended notebook")
    valid = type(answer["status"]) is int and type(answer["seconds"]) in (int, float) and is_energy(answer["energy"])
    valid &= isinstance(answer["log"], str) and all(isinstance(answer[name], str | None) for name in _TEXTS)
    if not valid or not (answer["error"] is None or is_failure(answer["error"])):
        raise RuntimeError("the worker returned a field of another type")
    return RunFiles(**answer)


def _on_worker(caller: Path, run: Run, made_from: dict[str, Any], cell_seconds: float) -> bytes:
    """Run a notebook on the worker that calls this function, and return its files as JSON."""
    try:
        answer = asdict(_run(caller, run, made_from, cell_seconds))
    except Exception as error:  # an exception would be a pickle
        answer = {"lost": f"{error}" if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"}
    return json.dumps(answer).encode()


def _run(caller: Path, run: Run, made_from: dict[str, Any], cell_seconds: float) -> RunFiles:
    from distributed import get_worker

    worker = get_worker()
    root = caller if (caller / SUITE_FILE).is_file() else find_root(Path(__file__).resolve().parent)
    for need in run.needs:
        if why := requirements.why_missing(need):
            raise RuntimeError(f"worker {worker.name}: {why}")
    differing = stamps.differences(made_from, stamps.sources(root, run))
    if differing:
        raise RuntimeError(f"worker {worker.name} has different sources from the caller: {differing}")
    key = worker.get_current_task()
    threads = max(1, cores() // worker.state.nthreads)
    with tempfile.TemporaryDirectory(prefix="ccprune-") as scratch:
        process = NotebookProcess(run, root, scratch=Path(scratch), threads=threads, cell_seconds=cell_seconds)
        try:
            while not process.has_ended():
                # Dask does not interrupt a task whose caller has cancelled it or has died.
                task = worker.state.tasks.get(key)
                if task is None or task.state == "cancelled":
                    raise RuntimeError("cancelled")
                time.sleep(0.1)
            return process.result()
        finally:
            if not process.has_ended():
                process.stop()
