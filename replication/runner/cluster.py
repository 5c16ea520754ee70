"""Pool of an existing Dask cluster, whose workers run one process for each notebook. Needs the extra "dask"."""

import tempfile
import time
from pathlib import Path
from typing import Any

from replication.runner import requirements, stamps
from replication.runner.errors import SuiteError
from replication.runner.pools import cores
from replication.runner.process import NotebookProcess, Returned
from replication.runner.spec import SUITE_FILE, Run, find_root

_CUDA, _GPU = "device:cuda", "GPU"
_TIMEOUT = 10  # seconds to find the scheduler


class ClusterPool:
    """Pool of the workers of a Dask cluster.

    Every worker needs the clone: this folder, if it is shared, or its own. A worker runs as many notebooks at once as
    it has threads. It refuses a run if its notebook, library, parameters or package versions differ from those here, so
    that the numbers do not depend on the worker. If a worker dies, Dask starts its notebooks again on another worker,
    up to `allowed-failures` times (a setting of the scheduler, 3 by default).

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
            from distributed import Client
        except ImportError as error:
            raise SuiteError(
                "--scheduler needs Dask, which is not installed: pip install 'replication[dask]'"
            ) from error
        try:
            self._client = Client(address, timeout=_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SuiteError(f"no Dask scheduler answers at {address}: {error}") from error

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


class _Future:
    def __init__(self, future):
        self._future = future

    def ended(self) -> bool:
        return self._future.done()

    def returned(self) -> Returned:
        try:
            return self._future.result()
        except Exception as error:  # after any error the run is lost, and the caller reports the reason
            raise RuntimeError(f"{type(error).__name__} on the cluster: {error}") from error

    def stop(self) -> None:
        self._future.cancel()


def _on_worker(caller: Path, run: Run, made_from: dict[str, Any], cell_seconds: float) -> Returned:
    """Run a notebook on the worker that calls this function."""
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
            while not process.ended():
                # Dask does not interrupt a task whose caller has cancelled it or has died.
                task = worker.state.tasks.get(key)
                if task is None or task.state == "cancelled":
                    raise RuntimeError("cancelled")
                time.sleep(0.1)
            return process.returned()
        finally:
            if not process.ended():
                process.stop()
