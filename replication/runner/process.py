"""Process of one notebook on this machine."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication.ledger.notebooks import NOTEBOOKS
from replication.ledger.reading import InvalidFile, read_json, read_text
from replication.runner.spec import Run

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_LOG_CHARACTERS = 3000
#: File with the failure of a notebook in its scratch folder.
FAILURE = "error.json"
#: Beginning of a command that is to end with this process, given a pipe as its standard input.
GUARDED = (sys.executable, "-P", str(Path(__file__).with_name("guard.py")))


@dataclass(frozen=True)
class RunFiles:
    """Files and exit status of a notebook's process.

    Attributes
    ----------
    status : int
        Exit status of the process; 128 + N if the signal N ended it.
    seconds : float
        Wall time.
    log : str
        End of the printed output.
    error : dict or None
        "cell", "source" and "text" of a failure that the process reported.
    result, report, executed : str or None
        Texts of the result file, the HTML page and the executed notebook; None for a file that was not written.
    energy : float or None
        Energy in joules; None if it was not measured.
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
    """Running notebook with its own scratch folder.

    Parameters
    ----------
    run : Run
        The run.
    root : Path
        The clone, in which the notebook runs.
    scratch : Path
        Folder in which the scratch folder is made.
    threads : int
        Number of threads of the numerical libraries.
    cell_seconds : float
        Time limit of one cell in seconds.
    units : Path, optional
        Folder of the notebook's units; None if it has none or they must not be stored.

    Raises
    ------
    OSError
        If the scratch folder cannot be made or the process cannot be started.
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
        # The kernel must import this package, installed or not, and not a folder of the same name in its directory.
        paths = (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH"))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        # Waiting threads must not spin for long, because torch's and numba's threads would block one another's cores.
        environment.setdefault("GOMP_SPINCOUNT", "10000")
        try:
            job_file = self._folder / "job.json"
            job_file.write_text(json.dumps(job), encoding="utf-8")
            self._process = subprocess.Popen(
                [*GUARDED, sys.executable, "-P", "-m", "replication.runner.worker", str(job_file)],
                cwd=root,
                env=environment,
                stdin=subprocess.PIPE,  # the guard ends everything when the system closes it
                stdout=subprocess.PIPE,  # not a file, so that the reason is also received when the disk is full
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._log = b""
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def has_ended(self) -> bool:
        """Return whether the process has ended."""
        return self._process.poll() is not None

    def result(self) -> RunFiles:
        """Return the files and the exit status of the ended process, and remove its folder."""
        self._process.stdin.close()
        self._reader.join(timeout=5)  # a daemon that survives the guard may hold the pipe open
        try:
            return read_returned(
                self._folder,
                self._result,
                status=self._process.returncode,
                seconds=time.monotonic() - self._began,
                log=self._log.decode("utf-8", errors="replace")[-_LOG_CHARACTERS:].strip(),
            )
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        """Stop the process with its kernel and all other processes below it."""
        self._process.stdin.close()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read_log(self) -> None:
        with contextlib.suppress(ValueError), self._process.stdout as pipe:
            while block := pipe.read1():
                self._log = (self._log + block)[-4 * _LOG_CHARACTERS :]


def read_returned(folder: Path, result: Path, *, status: int, seconds: float, log: str) -> RunFiles:
    """Read the files of an ended process. One that cannot be read is an error of the run, because notebooks can write.

    Parameters
    ----------
    folder : Path
        Scratch folder of the process.
    result : Path
        Path of the result file.
    status, seconds, log
        As in `RunFiles`.

    Returns
    -------
    RunFiles
    """
    problems: list[str] = []

    def read(path: Path, reader: Callable[[Path], Any]) -> Any:
        try:
            return reader(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            problems.append(f"the notebook left a file that cannot be read: {error}".replace(str(folder), "$OUT"))
            return None

    texts = [read(path, read_text) for path in (result, folder / "report.html", folder / "executed.ipynb")]
    error = read(folder / FAILURE, _failure)
    energy = read(folder / "energy.json", _energy)
    if error is None and problems:
        # The reason may be in the output alone: on a full disk the worker cannot write its own file either.
        error = {"cell": None, "source": None, "text": f"{problems[0]}\n{log}".strip()}
    return RunFiles(status, seconds, log, error, *texts, energy)


def _failure(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not is_failure(content):
        raise InvalidFile(path, "it must have the texts of a failure")
    return {"cell": content.get("cell"), "source": content.get("source"), "text": content["text"]}


def is_failure(content: Any) -> bool:
    """Return whether parsed JSON has the texts of a failure."""
    if not isinstance(content, dict) or not isinstance(content.get("text"), str):
        return False
    return content.get("cell") is None or isinstance(content.get("source"), str)


def _energy(path: Path) -> float | None:
    content = read_json(path, float | int | None)
    if not is_energy(content):
        raise InvalidFile(path, "it must hold an energy in joules or null")
    return content


def is_energy(content: Any) -> bool:
    """Return whether parsed JSON is an energy in joules, or None."""
    return content is None or (type(content) in (int, float) and content >= 0)
