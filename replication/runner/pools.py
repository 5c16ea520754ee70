"""Where notebooks run: processes of this machine, or an existing Dask cluster (`replication.runner.cluster`)."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from replication.ledger import notebooks, units
from replication.ledger.notebooks import NOTEBOOKS
from replication.runner import requirements
from replication.runner.errors import SuiteError
from replication.runner.process import NotebookProcess, Returned
from replication.runner.spec import Run

_PACKAGES = ("ipykernel", "nbclient", "nbconvert", "nbformat", "papermill", "psutil")


class Task(Protocol):
    """A notebook on its way."""

    def ended(self) -> bool:
        """Whether it has come to its end."""

    def returned(self) -> Returned:
        """What the ended one left behind. Raises RuntimeError if it was lost, with the reason."""

    def stop(self) -> None:
        """End it and forget about it."""


class Pool(Protocol):
    """Runs notebooks, several at once."""

    def room(self) -> int:
        """How many may be on their way, running or waiting for their turn there."""

    def at_once(self) -> int:
        """How many run at once."""

    def why_missing(self, need: str) -> str | None:
        """As `replication.runner.requirements.why_missing`, where the notebooks run."""

    def start(self, run: Run, made_from: dict[str, Any], cell_seconds: float) -> Task:
        """Begin a run whose sources are `made_from`. Raises OSError if it cannot be begun."""

    def close(self) -> None:
        """Let go of what the pool holds."""


class LocalPool:
    """Processes of this machine.

    Parameters
    ----------
    root, out
        Folder the notebooks run in, and output folder, below which they have their scratch folders.
    jobs
        Processes at once, at least 1; the processor's cores are shared between them. ValueError if it is less.

    Raises SuiteError where the packages that run notebooks are not installed.
    """

    def __init__(self, root: Path, out: Path, *, jobs: int = 1):
        if jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {jobs}")
        if absent := [name for name in _PACKAGES if find_spec(name) is None]:
            raise SuiteError(f"running notebooks needs {', '.join(absent)}: pip install -e replication")
        self._root, self._jobs = root, jobs
        self._scratch, self._units = out / ".cache" / "runs", out / units.FOLDER
        # What a killed call left: the output folder's lock is ours, so nobody is at work there.
        shutil.rmtree(self._scratch, ignore_errors=True)

    def room(self) -> int:
        """Processes at once: none waits for its turn here."""
        return self._jobs

    at_once = room

    def why_missing(self, need: str) -> str | None:
        """As `replication.runner.requirements.why_missing`."""
        return requirements.why_missing(need)

    def start(self, run: Run, made_from: dict[str, Any], cell_seconds: float) -> NotebookProcess:
        """Begin a process; the sources are those of this machine."""
        threads = max(1, cores() // self._jobs)
        has_units = "units" in notebooks.parameters(self._root / NOTEBOOKS / run.notebook)
        folder = self._units / run.label if has_units else None
        options = {"scratch": self._scratch, "threads": threads, "cell_seconds": cell_seconds, "units": folder}
        return NotebookProcess(run, self._root, **options)

    def close(self) -> None:
        """Nothing to let go of: every process was awaited or stopped."""


def cores() -> int:
    """Cores this process may use: what the environment allows, or all that the system gives it."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    if allowed.isdigit() and int(allowed) > 0:
        return int(allowed)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
