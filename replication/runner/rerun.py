"""Re-run of a random sample of committed results, compared number by number."""

import random
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from replication import ledger as results
from replication.ledger import Cell
from replication.ledger.tables import Judge
from replication.runner import requirements
from replication.runner.execution import replicate
from replication.runner.pools import LocalPool
from replication.runner.spec import Run

#: Largest difference of equal numbers, relative to the larger of the number and 1, for sums in another order.
TOLERANCE = 1e-6


def sample(runs: Sequence[Run], folder: Path, *, seconds: float, seed: int) -> list[Run]:
    """Draw runs with a committed result at random, without replacement, within a budget of time.

    Parameters
    ----------
    runs : sequence of Run
        Runs to draw from. Those whose data is not on this machine are left out.
    folder : Path
        Output folder with the committed results.
    seconds : float
        Largest sum of the runs' expected wall times on two cores.
    seed : int
        Seed of the draw.

    Returns
    -------
    list of Run
        The runs, without the runs that they depend on.
    """
    here = [run for run in runs if (folder / "results" / f"{run.label}.json").is_file()]
    here = [run for run in here if all(requirements.is_here(need) for need in (*run.needs, *run.uses))]
    random.Random(seed).shuffle(here)
    chosen = []
    for run in here:
        if run.seconds <= seconds:
            chosen.append(replace(run, after=()))  # the runs it depends on are committed
            seconds -= run.seconds
    return chosen


def rerun_changes(
    root: Path, chosen: Sequence[Run], folder: Path, *, judge: Judge, stream: TextIO, jobs: int = 1
) -> list[str]:
    """Run in a temporary folder and compare the results with the committed ones.

    Parameters
    ----------
    root : Path
        Folder in which the notebooks run.
    chosen : sequence of Run
        The runs.
    folder : Path
        Output folder with the committed results.
    judge : Judge
        Function of path and content of a result that returns its cells.
    stream : TextIO
        Receives the progress.
    jobs : int, default 1
        Number of processes at once.

    Returns
    -------
    list of str
        One line for each difference and each run that did not succeed.
    """
    problems = []
    with tempfile.TemporaryDirectory(prefix="ccprune-verify-") as scratch:
        out = Path(scratch)
        pool = LocalPool(root, out, jobs=jobs)
        for outcome in replicate(root, chosen, out=out, pool=pool, stream=stream, keep_going=True):
            label = outcome.run.label
            if outcome.status != "done":
                problems.append(f"{label}: {outcome.status}: {outcome.why}")
                continue
            old, new = (place / "results" / f"{label}.json" for place in (folder, out))
            problems += [
                f"{label}: {line}" for line in differences(*(judge(path, results.read(path)) for path in (old, new)))
            ]
    return problems


def differences(old: Iterable[Cell], new: Iterable[Cell]) -> list[str]:
    """List the cells of a result that a re-run does not confirm.

    A number is confirmed if it is equal up to `TOLERANCE`, or lies in the committed interval. The latter permits the
    small changes of trained networks due to the rounding of another processor.

    Parameters
    ----------
    old, new : iterable of Cell
        Cells of the committed result and of the re-run.

    Returns
    -------
    list of str
        One line for each difference, sorted.
    """
    before, after = ({cell.key: cell for cell in cells} for cells in (old, new))
    problems = [f"{_name(key)}: committed, but not in the re-run" for key in before.keys() - after.keys()]
    problems += [f"{_name(key)}: in the re-run, but not committed" for key in after.keys() - before.keys()]
    for key in before.keys() & after.keys():
        one, other = before[key], after[key]
        if one.published != other.published:
            problems.append(f"{_name(key)}: published {one.published} committed, {other.published} in the re-run")
        if not _confirmed(one, other.ours):
            interval = "" if one.ci_low is None else f" [{one.ci_low}, {one.ci_high}]"
            problems.append(f"{_name(key)}: {one.ours}{interval} committed, {other.ours} in the re-run")
    return sorted(problems)


def _name(key: Iterable[str]) -> str:
    return " ".join(filter(None, key))


def _confirmed(committed: Cell, rerun_changes: float | None) -> bool:
    ours = committed.ours
    if ours is None or rerun_changes is None:
        return ours is rerun_changes
    if abs(ours - rerun_changes) <= TOLERANCE * max(1.0, abs(ours)):
        return True
    return committed.ci_low is not None and committed.ci_low <= rerun_changes <= committed.ci_high
