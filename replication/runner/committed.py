"""Comparison of a run with the committed one, number by number."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ccprune._util.checks import shorten
from replication import ledger
from replication.ledger import Cell
from replication.ledger.cell import Judge

_MEASURED = ("time_over_dense", "cpu_joules", "seconds")


def is_measurement(quantity: str) -> bool:
    """Return whether a quantity is a time or an energy, with or without a condition, such as "seconds, full score"."""
    return quantity.partition(",")[0] in _MEASURED


@dataclass(frozen=True)
class Comparison:
    """Comparison of a run's numbers with the committed ones, as the tables print them.

    Attributes
    ----------
    equal : int
        Number of cells with equal numbers.
    differing : tuple of str
        One line for each other cell.
    processors : frozenset of str
        Processors of committed results that were made on another kind than the run's.
    """

    equal: int = 0
    differing: tuple[str, ...] = ()
    processors: frozenset[str] = frozenset()

    def __add__(self, other: "Comparison") -> "Comparison":
        processors = self.processors | other.processors
        return Comparison(self.equal + other.equal, self.differing + other.differing, processors)

    def __str__(self) -> str:
        total = self.equal + len(self.differing)
        text = f"{self.equal} of {total} numbers equal to the committed ones"
        if not self.differing:
            return text
        text += f", differing: {shorten(self.differing, separator='; ')}"
        if not self.processors:
            return text
        names = ", ".join(sorted(self.processors))
        return (
            f"{text}. The committed ones are from another processor ({names}), which rounds sums in 32 bits differently"
        )


def compare(old: Iterable[Cell], new: Iterable[Cell]) -> Comparison:
    """Compare the numbers, intervals and p-values of the cells that two results share, except times and energies.

    Parameters
    ----------
    old, new : iterable of Cell
        Cells of the committed result and of the new one.

    Returns
    -------
    Comparison
    """
    before, equal, differing = {cell.key: cell for cell in old}, 0, []
    for cell in new:
        known = before.get(cell.key)
        if known is None or is_measurement(cell.quantity):
            continue
        if _numbers(known) == _numbers(cell):
            equal += 1
        else:
            there, here = (_text(one) for one in (known, cell))
            differing.append(f"{' '.join(filter(None, cell.key))}: {there} committed, {here} here")
    return Comparison(equal, tuple(differing))


def compare_runs(labels: Iterable[str], before: Path, after: Path, *, judge: Judge) -> Comparison:
    """Compare the results of some runs in two output folders. Runs without a result in both are left out.

    Parameters
    ----------
    labels : iterable of str
        Labels of the runs.
    before, after : Path
        Output folders with the committed results and with the new ones.
    judge : Judge
        Function of path and content of a result that returns its cells.

    Returns
    -------
    Comparison
    """
    total = Comparison()
    for label in labels:
        (old, there), (new, here) = (_read(folder / "results" / f"{label}.json", judge) for folder in (before, after))
        total += compare(old, new) + Comparison(processors=frozenset({there} - {here, None}) if here else frozenset())
    return total


def _read(path: Path, judge: Judge) -> tuple[list[Cell], str | None]:
    """Return the cells of a result file and its processor, none if it is missing or cannot be read."""
    try:
        content = ledger.read(path)
        return judge(path, content), content["environment"].get("processor")
    except (OSError, ValueError):
        return [], None


def _text(cell: Cell) -> str:
    ours, low, high, _ = _numbers(cell)
    return (ours or "none") + (f" [{low}, {high}]" if low else "")


def _numbers(cell: Cell) -> tuple[str, ...]:
    return tuple(ledger.format_number(value) for value in (cell.ours, cell.ci_low, cell.ci_high, cell.p_value))
