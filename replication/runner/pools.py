"""Pools that run notebooks: processes of this machine, or an existing Dask cluster (`replication.runner.cluster`)."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from replication.ledger import notebooks, units
from replication.ledger.notebooks import NOTEBOOKS
from replication.runner import requirements
from replication.runner.errors import SuiteError
from replication.runner.folder import claim
from replication.runner.process import NotebookProcess, RunFiles
from replication.runner.spec import Run

_PACKAGES = ("ipykernel", "nbclient", "nbconvert", "nbformat", "papermill", "psutil")


class Task(Protocol):
    """Notebook that was started."""

    def has_ended(self) -> bool:
        """Return whether it has ended."""

    def result(self) -> RunFiles:
        """Return the files of the ended notebook, or raise RuntimeError with the reason if they were lost."""

    def stop(self) -> None:
        """Stop it and discard its files."""


class Pool(Protocol):
    """Runs several notebooks at once."""

    def room(self) -> int:
        """Return the largest number of notebooks that may be running or queued."""

    def at_once(self) -> int:
        """Return the largest number of notebooks that run at once."""

    def why_missing(self, need: str) -> str | None:
        """Return as `replication.runner.requirements.why_missing`, for the machine that runs the notebooks."""

    def start(self, run: Run, made_from: dict[str, Any], cell_seconds: float) -> Task:
        """Start a run whose sources are `made_from`, or raise OSError."""

    def close(self) -> None:
        """Release the resources of the pool."""


class LocalPool:
    """Pool of processes of this machine.

    Parameters
    ----------
    root : Path
        Folder in which the notebooks run.
    out : Path
        Output folder, in which the notebooks' scratch folders are made.
    jobs : int, default 1
        Number of processes at once, at least 1. They share the processor's cores.

    Raises
    ------
    ValueError
        If `jobs` is below 1.
    SuiteError
        If the packages that run notebooks are not installed.
    """

    def __init__(self, root: Path, out: Path, *, jobs: int = 1):
        if jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {jobs}")
        if absent := [name for name in _PACKAGES if find_spec(name) is None]:
            raise SuiteError(f"running notebooks needs {', '.join(absent)}: pip install -e replication")
        claim(out)
        self._root, self._jobs = root, jobs
        self._scratch, self._units = out / ".cache" / "runs", out / units.FOLDER
        # Files of a killed call. This process holds the lock of the output folder, so no other process uses them.
        shutil.rmtree(self._scratch, ignore_errors=True)

    def room(self) -> int:
        """Return the number of processes at once; nothing is queued."""
        return self._jobs

    at_once = room

    def why_missing(self, need: str) -> str | None:
        """Return as `replication.runner.requirements.why_missing`."""
        return requirements.why_missing(need)

    def start(self, run: Run, made_from: dict[str, Any], cell_seconds: float) -> NotebookProcess:
        """Start a process. `made_from` is not needed, because the sources are on this machine."""
        threads = max(1, cores() // self._jobs)
        has_units = "units" in notebooks.parameters(self._root / NOTEBOOKS / run.notebook)
        folder = self._units / run.label if has_units else None
        options = {"scratch": self._scratch, "threads": threads, "cell_seconds": cell_seconds, "units": folder}
        return NotebookProcess(run, self._root, **options)

    def close(self) -> None:
        """Do nothing, because every process has ended or was stopped."""


def cores() -> int:
    """Return the number of cores for this process: OMP_NUM_THREADS if set, otherwise all that the system permits."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    if allowed.isdigit() and int(allowed) > 0:
        return int(allowed)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
