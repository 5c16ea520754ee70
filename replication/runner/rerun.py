"""Re-run of a random sample of committed results, compared in everything but times and the machine."""

import math
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from replication import ledger
from replication.ledger import Cell
from replication.ledger.cell import Judge
from replication.ledger.raw import columns
from replication.runner import requirements
from replication.runner.committed import is_measurement
from replication.runner.execution import replicate
from replication.runner.pools import LocalPool
from replication.runner.spec import Run

#: Largest relative difference of equal numbers, for sums in another order.
TOLERANCE = 1e-6
# Numbers below this differ from 0 only by rounding errors.
_ZERO = 1e-12
# Fields of the machine, of the time, and digests of files that are compared themselves.
_NOT_COMPARED = {"environment", "wall_seconds", "peak_memory_mb", "energy_joules", "report_sha256", "signature"}
# Cells and raw runs have a comparison of their own.
_NOT_COMPARED |= {"cells", "raw", "raw_sha256"}
# Largest number of lines on fields.
_SHOWN = 10


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
            problems += [f"{label}: {line}" for line in differences(old, new, judge=judge)]
    return problems


def differences(old: Path, new: Path, *, judge: Judge) -> list[str]:
    """List everything in a result that a re-run does not confirm, except times and the machine.

    Texts, whole numbers and seeds must be equal, and other numbers equal up to `TOLERANCE`. Intervals excuse nothing.

    Parameters
    ----------
    old, new : Path
        Result files of the committed run and of the re-run.
    judge : Judge
        Function of path and content of a result that returns its cells.

    Returns
    -------
    list of str
        One line for each difference: of fields, of cells, and of columns of the raw runs.
    """
    contents = [ledger.read(path) for path in (old, new)]
    fields = ({name: content[name] for name in content.keys() - _NOT_COMPARED} for content in contents)
    found = [f"{where}: {_pair(one, other)}" for where, one, other in _unequal("", *fields)]
    if len(found) > _SHOWN:
        found = [*found[:_SHOWN], f"{len(found) - _SHOWN} further differences of fields"]
    pairs = list(zip((old, new), contents, strict=True))
    found += cell_differences(*(judge(path, content) for path, content in pairs))
    return found + raw_differences(*(ledger.read_raw(path, content) for path, content in pairs))


def cell_differences(old: Iterable[Cell], new: Iterable[Cell]) -> list[str]:
    """List the cells of two results that differ in any field; of times and energies, the numbers are not compared.

    Parameters
    ----------
    old, new : iterable of Cell
        Cells of the committed result and of the re-run.

    Returns
    -------
    list of str
        One line for each cell, sorted.
    """
    before, after = ({cell.key: asdict(cell) for cell in cells} for cells in (old, new))
    problems = [f"{_name(key)}: committed, but not in the re-run" for key in before.keys() - after.keys()]
    problems += [f"{_name(key)}: in the re-run, but not committed" for key in after.keys() - before.keys()]
    for key in before.keys() & after.keys():
        one, other = before[key], after[key]
        left_out = ("ours", "ci_low", "ci_high", "note") if is_measurement(one["quantity"]) else ()
        differences = [f"{name} {_pair(*pair)}" for name, *pair in _unequal("", one, other) if name not in left_out]
        if differences:
            problems.append(f"{_name(key)}: {'; '.join(differences)}")
    return sorted(problems)


def raw_differences(old: pd.DataFrame | None, new: pd.DataFrame | None) -> list[str]:
    """List the columns of the raw runs of two results that differ, with the first differing row, counted from 1."""
    if old is None or new is None:
        return [] if old is new else [f"raw runs: {_pair(*('none' if one is None else 'some' for one in (old, new)))}"]
    if set(old) != set(new) or len(old) != len(new):
        return [f"raw runs: {_pair(*(f'{len(one)} rows of {sorted(one)}' for one in (old, new)))}"]
    before, after, found = columns(old), columns(new), []
    for name in before:
        pairs = zip(before[name], after[name], strict=True)
        rows = [(row, *pair) for row, pair in enumerate(pairs, 1) if any(_unequal("", *pair))]
        if rows:
            row, one, other = rows[0]
            found.append(f"raw runs: {name} differs in {len(rows)} of {len(old)} rows: row {row} {_pair(one, other)}")
    return found


def _unequal(where: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the places where two values of a JSON file differ, with both values there."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            pair = (value.get(name, "nothing") for value in (one, other))
            yield from _unequal(f"{where}.{name}" if where else name, *pair)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, pair in enumerate(zip(one, other, strict=True)):
            yield from _unequal(f"{where}[{place}]", *pair)
    elif not _equal(one, other):
        yield where, one, other


def _equal(one: Any, other: Any) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    if numbers and not (isinstance(one, int) and isinstance(other, int)):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=_ZERO)
    return type(one) is type(other) and one == other


def _pair(one: Any, other: Any) -> str:
    return f"{one!r} committed, {other!r} in the re-run"


def _name(key: Iterable[str]) -> str:
    return " ".join(filter(None, key))
