"""Runs a plan: one process per notebook, several at once, results moved into place only when all is well."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from ccprune import results
from ccprune.results.environment import portable
from ccprune.suite import requirements, stamps
from ccprune.suite.progress import Progress
from ccprune.suite.spec import NOTEBOOKS, Run

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """What became of a run; `why` explains "skipped", "failed" and "not run"."""

    run: Run
    status: Literal["done", "unchanged", "skipped", "failed", "not run"]
    seconds: float = 0.0
    why: str = ""


def replicate(
    root: Path,
    runs: Sequence[Run],
    *,
    out: Path,
    stream: TextIO,
    jobs: int = 1,
    force: bool = False,
    keep_going: bool = False,
) -> list[Outcome]:
    """Run what changed, and move results and reports into the output folder.

    A run that fails leaves its last result as it was, and its notebook, as far as it came, in
    reports/NAME.PROFILE.failed.ipynb. Those that are going on then come to their end; others begin only with
    `keep_going`. A run whose data cannot be had is noted in skipped.json unless the folder has its result from another
    time.

    Parameters
    ----------
    root
        Folder the notebooks run in.
    runs
        What `plan` returns.
    out
        Output folder.
    stream
        Where progress goes: a bar on a terminal, else a line per event.
    jobs
        Notebooks at once; the processor's cores are shared between them.
    force
        Also run what did not change.
    keep_going
        Also begin runs after one has failed.

    Raises
    ------
    ValueError
        If `jobs` is not positive.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    outcomes, waiting = [], []
    for run in runs:
        outcome = _before(run, root, out, force=force)
        if outcome:
            outcomes.append(outcome)
        else:
            waiting.append(run)
    environment = os.environ | dict.fromkeys(_THREADS, str(max(1, _cores() // jobs))) | {"PYTHONHASHSEED": "0"}
    # Threads that wait must not spin for long: torch's and numba's would take the cores from one another.
    environment.setdefault("GOMP_SPINCOUNT", "10000")
    running: list[_Worker] = []
    with Progress(len(runs), stream) as progress:
        for outcome in outcomes:
            progress.ended(outcome.run.label, outcome.status, outcome.why)
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_Worker(waiting.pop(0), root, out, environment))
                    progress.started(running[-1].run.label)
                for worker in [worker for worker in running if worker.process.poll() is not None]:
                    running.remove(worker)
                    outcome = worker.finish()
                    outcomes.append(outcome)
                    progress.ended(outcome.run.label, outcome.status, f"{outcome.seconds:.1f} s")
                failed = next((outcome.run.label for outcome in outcomes if outcome.status == "failed"), None)
                if failed and not keep_going:
                    outcomes += [Outcome(run, "not run", why=f"{failed} failed") for run in waiting]
                    waiting.clear()
                progress.tick()
                time.sleep(0.05)
        finally:
            for worker in running:
                worker.stop()
    _note_skipped(out, outcomes)
    order = [run.label for run in runs]
    return sorted(outcomes, key=lambda outcome: order.index(outcome.run.label))


def _before(run: Run, root: Path, out: Path, *, force: bool) -> Outcome | None:
    """What can be said of a run without running it."""
    try:
        missing = [why for need in run.needs if (why := requirements.why_missing(need))]
    except RuntimeError as error:  # the file is there, but is not the pinned one
        return Outcome(run, "failed", why=str(error))
    if missing:
        return Outcome(run, "skipped", why=missing[0])
    if not force and stamps.why_not_current(out, root, run) is None:
        return Outcome(run, "unchanged")
    return None


class _Worker:
    """A notebook's process and its scratch folder."""

    def __init__(self, run: Run, root: Path, out: Path, environment: dict[str, str]):
        self.run, self.out = run, out
        self.started = time.monotonic()
        self.made_from = stamps.sources(root, run)
        self.folder = (out / ".cache" / "runs" / run.label).resolve()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.result = self.folder / f"{run.label}.json"
        # The report shows this path: below the root it is the same on every machine.
        below = self.result.is_relative_to(root.resolve())
        shown = self.result.relative_to(root.resolve()) if below else self.result
        job = {
            "notebook": str((root / NOTEBOOKS / run.notebook).resolve()),
            "folder": str(self.folder),
            "cwd": str(root.resolve()),
            "parameters": run.parameters | {"out": shown.as_posix()},
            "title": f"{run.name} ({run.profile})",
            "note": f"{run.notebook}, run {run.name}, profile {run.profile}. Made by ccprune replicate.",
        }
        job_file = self.folder / "job.json"
        job_file.write_text(json.dumps(job), encoding="utf-8")
        with (self.folder / "log.txt").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ccprune.suite.worker", str(job_file)],
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self) -> Outcome:
        """Check what the ended process left and move it into place."""
        why = self._why_failed()
        seconds = time.monotonic() - self.started
        reports, label = self.out / "reports", self.run.label
        kept = reports / f"{label}.failed.ipynb"
        if why:
            executed = self.folder / "executed.ipynb"
            if executed.is_file():
                results.write_atomic(kept, executed.read_text(encoding="utf-8"))
                why += f"\nkept as far as it came: {kept}"
            return Outcome(self.run, "failed", seconds, why)
        report = (self.folder / "report.html").read_text(encoding="utf-8")
        results.write_atomic(reports / f"{label}.html", report)
        energy = json.loads((self.folder / "energy.json").read_text(encoding="utf-8"))
        results.save(self.out / "results" / f"{label}.json", results.read(self.result) | {"energy_joules": energy})
        stamps.write(self.out, self.run, self.made_from)
        kept.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        return Outcome(self.run, "done", seconds)

    def stop(self) -> None:
        """End the process; it ends its kernel."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(timeout=5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
            return

    def _why_failed(self) -> str | None:
        error = self.folder / "error.json"
        if error.is_file():
            told = json.loads(error.read_text(encoding="utf-8"))
            if told["cell"] is None:
                return told["text"]
            source = "\n".join(f"    {line}" for line in told["source"].splitlines())
            return f"cell {told['cell']} failed:\n{source}\n{told['text']}"
        if self.process.returncode != 0:
            log = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")
            return f"its process ended with status {self.process.returncode}\n{log[-3000:]}".strip()
        return _result_problem(self.result, self.run)


def _result_problem(path: Path, run: Run) -> str | None:
    """Whether the notebook wrote a result file of this very run."""
    try:
        content = results.read(path)
    except FileNotFoundError:
        return "the notebook ended without writing its result file (parameter 'out')"
    except ValueError as error:
        return f"the notebook wrote a result file that is not valid: {error}"
    if content["notebook"] != run.notebook:
        return f"the result file names the notebook {content['notebook']!r}, not {run.notebook!r}"
    asked = json.loads(json.dumps(run.parameters))
    used = content["parameters"]
    differing = [name for name in sorted(asked | used) if asked.get(name, ...) != used.get(name, ...)]
    if differing:
        told = "; ".join(
            f"{name}: asked {asked.get(name, 'nothing')!r}, used {used.get(name, 'nothing')!r}" for name in differing
        )
        return f"the result file's parameters are not those of the run: {told}"
    return None


def _note_skipped(out: Path, outcomes: Iterable[Outcome]) -> None:
    path = out / "skipped.json"
    noted = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for outcome in outcomes:
        label = outcome.run.label
        if outcome.status != "skipped" or (out / "results" / f"{label}.json").is_file():
            noted.pop(label, None)
        else:
            noted[label] = portable(outcome.why)
    if noted:
        results.write_atomic(path, json.dumps(noted, indent=1, sort_keys=True) + "\n")
    else:
        path.unlink(missing_ok=True)


def _cores() -> int:
    """Cores this process may use: what the environment allows, or all that the system gives it."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    if allowed.isdigit() and int(allowed) > 0:
        return int(allowed)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
