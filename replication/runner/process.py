"""One notebook in a process of its own, on this machine."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication.ledger.notebooks import NOTEBOOKS
from replication.runner.spec import Run

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_LOG_CHARACTERS = 3000


@dataclass(frozen=True)
class Returned:
    """What a notebook's process left behind.

    Attributes
    ----------
    status
        Exit status of the process; negative: the signal that ended it.
    seconds
        Wall time.
    log
        The end of what it printed.
    error
        {"cell", "source", "text"} of a failure that it could tell.
    result, report, executed
        Texts of the result file, the HTML page and the run notebook, as far as there are any.
    energy
        Joules, where measured.
    """

    status: int
    seconds: float
    log: str
    error: dict[str, Any] | None
    result: str | None
    report: str | None
    executed: str | None
    energy: float | None


class NotebookProcess:
    """A notebook that runs, with its scratch folder, which nobody else uses.

    Parameters
    ----------
    run
        What to run.
    root
        Folder with the notebooks, in which it runs.
    scratch
        Where the scratch folder is made; OSError if it cannot be.
    threads
        Of the numerical libraries.
    cell_seconds
        The longest time that one cell may take.
    units
        Folder for the notebook's units, None where it has none or they are not to be kept.
    """

    def __init__(
        self,
        run: Run,
        root: Path,
        *,
        scratch: Path,
        threads: int,
        cell_seconds: float,
        units: Path | None = None,
    ):
        self._began = time.monotonic()
        scratch.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{run.label}-", dir=scratch)).resolve()
        self._result = self._folder / f"{run.label}.json"
        places = {"out": str(self._result)} | ({} if units is None else {"units": str(units.resolve())})
        job = {
            "notebook": str((root / NOTEBOOKS / run.notebook).resolve()),
            "folder": str(self._folder),
            "cwd": str(root.resolve()),
            "parameters": run.parameters | places,
            "recorded": run.parameters,
            "cell_seconds": cell_seconds,
            "title": f"{run.name} ({run.profile})",
            "note": f"{run.notebook}, run {run.name}, profile {run.profile}. Made by ccprune replicate.",
        }
        environment = os.environ | dict.fromkeys(_THREADS, str(threads)) | {"PYTHONHASHSEED": "0"}
        # The kernel finds this very package, installed or not, and not a folder of that name where it runs.
        paths = (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH"))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        # Threads that wait must not spin for long: torch's and numba's would take the cores from one another.
        environment.setdefault("GOMP_SPINCOUNT", "10000")
        try:
            job_file = self._folder / "job.json"
            job_file.write_text(json.dumps(job), encoding="utf-8")
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "replication.runner.worker", str(job_file)],
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # not a file: on a full disk the reason must still reach us
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._log = b""
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def ended(self) -> bool:
        """Whether the process has come to its end."""
        return self._process.poll() is not None

    def returned(self) -> Returned:
        """What the ended process left; its folder is removed."""
        self._reader.join(timeout=5)  # a kernel that outlives its process may hold the pipe open
        error, energy = self._text("error.json"), self._text("energy.json")
        try:
            return Returned(
                status=self._process.returncode,
                seconds=time.monotonic() - self._began,
                log=self._log.decode("utf-8", errors="replace")[-_LOG_CHARACTERS:].strip(),
                error=json.loads(error) if error else None,
                result=self._text(self._result.name),
                report=self._text("report.html"),
                executed=self._text("executed.ipynb"),
                energy=json.loads(energy) if energy else None,
            )
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        """End the process; it ends its kernel."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, sign)
                self._process.wait(timeout=5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
            break
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read_log(self) -> None:
        with contextlib.suppress(ValueError), self._process.stdout as pipe:
            while block := pipe.read1():
                self._log = (self._log + block)[-4 * _LOG_CHARACTERS :]

    def _text(self, name: str) -> str | None:
        path = self._folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else None
