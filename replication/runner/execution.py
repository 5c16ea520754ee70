"""Execution of a plan: runs notebooks in a pool, checks each result, and moves valid ones into the output folder."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from ccprune._util.checks import shorten
from ccprune._util.files import write_atomic
from replication import ledger
from replication.ledger import journal
from replication.ledger.environment import portable
from replication.ledger.reading import SKIPPED, InvalidFile, read_skipped
from replication.ledger.storage import as_json
from replication.runner import stamps
from replication.runner.errors import SuiteError
from replication.runner.placing import close_units, place, why_failed, why_kept
from replication.runner.pools import Pool, Task
from replication.runner.progress import Progress
from replication.runner.spec import Run


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run.

    Attributes
    ----------
    run : Run
    status : str
        "done", "kept", "unchanged", "skipped", "failed" or "not run". "kept" means that the run succeeded, but left out
        more than the present result, which was therefore kept.
    seconds : float
        Wall time.
    why : str
        Reason for "kept", "skipped", "failed" and "not run".
    """

    run: Run
    status: Literal["done", "kept", "unchanged", "skipped", "failed", "not run"]
    seconds: float = 0.0
    why: str = ""


def replicate(
    root: Path,
    runs: Sequence[Run],
    *,
    out: Path,
    pool: Pool,
    stream: TextIO,
    force: bool = False,
    keep_going: bool = False,
    cell_seconds: float | None = None,
) -> list[Outcome]:
    """Run the runs whose sources changed, and move their results and reports into the output folder.

    A failed run does not change its last result. Its partly executed notebook is stored in
    reports/NAME.PROFILE.failed.ipynb. Runs in progress are then completed. Other runs are started only with
    `keep_going`, and only if all runs that they depend on succeeded. A run whose data is unavailable is listed in
    skipped.json, unless the folder has an earlier result of it.

    Parameters
    ----------
    root : Path
        Folder in which the notebooks run.
    runs : sequence of Run
        As `plan` returns them.
    out : Path
        Output folder.
    pool : Pool
        Runs the notebooks. It is not closed.
    stream : TextIO
        Receives the progress: a bar on a terminal, otherwise one line per event.
    force : bool, default False
        Also run the runs whose sources did not change.
    keep_going : bool, default False
        Also start further runs after one has failed.
    cell_seconds : float, optional
        Time limit of one cell in seconds. By default ten times the expected time of the run, and at least an hour.

    Returns
    -------
    list of Outcome
        In the order of `runs`.

    Raises
    ------
    ValueError
        If a run depends on one that is not among `runs`.
    SuiteError
        If what a killed call left in the output folder cannot be completed or removed.
    """
    labels = {run.label for run in runs}
    if alone := [run.label for run in runs if not labels.issuperset(one.label for one in run.after)]:
        raise ValueError(f"runs must contain the runs that others depend on, got {shorten(alone)} without them")
    try:
        journal.recover(out)  # of a call that was killed
    except OSError as error:
        raise SuiteError(_write_failure(error)) from error
    ended: dict[str, Outcome] = {}
    waiting: list[Run] = []
    for run in runs:
        outcome = _known_outcome(run, root, out, pool, force=force)
        if outcome:
            ended[run.label] = outcome
        else:
            waiting.append(run)
    urgent = _urgency(runs)
    waiting.sort(key=lambda run: -urgent[run.label])
    active: dict[str, _ActiveRun] = {}
    expected = {run.label: run.seconds for run in waiting}
    with Progress(expected, stream, at_once=pool.at_once(), known=len(ended)) as progress:

        def end(outcome: Outcome) -> None:
            ended[outcome.run.label] = outcome
            note = f"{outcome.seconds:.1f} s" if outcome.seconds else outcome.why.splitlines()[0] if outcome.why else ""
            progress.show_end(outcome.run.label, outcome.status, note)

        for outcome in list(ended.values()):
            end(outcome)
        try:
            while waiting or active:
                for run in list(waiting):
                    why = _why_not_started(run, ended, keep_going=keep_going)
                    if why:
                        waiting.remove(run)
                        end(Outcome(run, "not run", why=why))
                    elif len(active) < pool.room() and all(one.label in ended for one in run.after):
                        waiting.remove(run)
                        limit = cell_seconds or max(3600, 10 * run.seconds)
                        try:
                            active[run.label] = _ActiveRun(run, root, pool, limit)
                        except OSError as error:
                            end(Outcome(run, "failed", why=_write_failure(error)))
                        else:
                            progress.show_start(run.label)
                for label in [label for label, one in active.items() if one.task.has_ended()]:
                    end(active.pop(label).finish(out))
                progress.tick()
                time.sleep(0.05)
        finally:
            for one in active.values():
                one.task.stop()
    try:
        _note_skipped(out, ended.values())
    except OSError as error:  # the next call notes them
        stream.write(f"{_write_failure(error)}\n")
    return [ended[run.label] for run in runs]


def _known_outcome(run: Run, root: Path, out: Path, pool: Pool, *, force: bool) -> Outcome | None:
    """Return the outcome of a run that need not or cannot be started, or None."""
    try:
        missing = [why for need in run.needs if (why := pool.why_missing(need))]
    except RuntimeError as error:  # a file's checksum differs from the pinned one
        return Outcome(run, "failed", why=str(error))
    if missing:
        return Outcome(run, "skipped", why=missing[0])
    if not force and stamps.why_not_current(out, root, run) is None:
        close_units(out, run)  # left by a call that ended before it did this
        return Outcome(run, "unchanged")
    return None


def _urgency(runs: Sequence[Run]) -> dict[str, float]:
    """Return the length in seconds of the critical path from each run, by label; the longest is started first."""
    urgent = dict.fromkeys((run.label for run in runs), 0.0)
    for run in reversed(runs):  # runs are sorted: those that depend on a run follow it
        urgent[run.label] += run.seconds
        for one in run.after:
            urgent[one.label] = max(urgent[one.label], urgent[run.label])
    return urgent


def _why_not_started(run: Run, ended: dict[str, Outcome], *, keep_going: bool) -> str | None:
    """Return why a waiting run must not be started any more, or None."""
    for one in run.after:
        if one.label in ended and ended[one.label].status not in ("done", "unchanged"):
            return f"it depends on {one.label} ({ended[one.label].status})"
    failed = next((label for label, outcome in ended.items() if outcome.status == "failed"), None)
    return f"{failed} failed" if failed and not keep_going else None


class _ActiveRun:
    """Run in progress."""

    def __init__(self, run: Run, root: Path, pool: Pool, cell_seconds: float):
        self.run = run
        self._made_from: dict[str, Any] = stamps.sources(root, run)
        self.task: Task = pool.start(run, self._made_from, cell_seconds)

    def finish(self, out: Path) -> Outcome:
        """Check the files of the ended run and move them into the output folder."""
        try:
            returned = self.task.result()
        except RuntimeError as error:
            return Outcome(self.run, "failed", why=str(error))
        kept = out / "reports" / f"{self.run.label}.failed.ipynb"
        why = why_failed(self.run, returned)
        try:
            if why is None:
                if poorer := why_kept(out / "results" / f"{self.run.label}.json", ledger.parse(returned.result)):
                    kept.unlink(missing_ok=True)
                    stamps.write(out, self.run, self._made_from)
                    return Outcome(self.run, "kept", returned.seconds, poorer)
                place(out, self.run, returned, self._made_from)
                return Outcome(self.run, "done", returned.seconds)
            if returned.executed:
                write_atomic(kept, returned.executed)
                why += f"\npartly executed notebook: {kept}"
        except OSError as error:
            why = f"{why}\n{_write_failure(error)}" if why else _write_failure(error)
        except ValueError as error:
            why = f"the notebook wrote a result file that is not valid: {error}"
        return Outcome(self.run, "failed", returned.seconds, why)


def _note_skipped(out: Path, outcomes: Iterable[Outcome]) -> None:
    path = out / SKIPPED
    try:
        before = read_skipped(out)
    except InvalidFile:  # it stays as it is, and the report, which needs it, states what is wrong
        return
    noted = dict(before)
    for outcome in outcomes:
        label = outcome.run.label
        if outcome.status != "skipped" or (out / "results" / f"{label}.json").is_file():
            noted.pop(label, None)
        else:
            noted[label] = portable(outcome.why)
    if noted and noted != before:
        write_atomic(path, as_json(noted))
    if not noted:
        path.unlink(missing_ok=True)


def _write_failure(error: OSError) -> str:
    return f"cannot write: {error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
