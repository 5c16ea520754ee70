"""A run of the reader's beside the committed one: which numbers are the same."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from replication import ledger as results
from replication.ledger import Cell
from replication.ledger.tables import Judge

#: Quantities that are measured times or energies: another machine's differ.
MEASURED = ("time_over_dense", "cpu_joules")


@dataclass(frozen=True)
class Comparison:
    """How many numbers of a run are those of the committed one, as the tables print them, and which are not."""

    equal: int = 0
    differing: tuple[str, ...] = ()

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(self.equal + other.equal, self.differing + other.differing)

    def __str__(self) -> str:
        total = self.equal + len(self.differing)
        text = f"{self.equal} of {total} numbers equal to the committed ones"
        if not self.differing:
            return text
        more = len(self.differing) - 5
        named = "; ".join(self.differing[:5]) + (f"; and {more} more" if more > 0 else "")
        return f"{text}, differing: {named}"


def compare(old: Iterable[Cell], new: Iterable[Cell]) -> Comparison:
    """Compare the numbers and intervals that two results share, times and energies left out."""
    before, equal, differing = {cell.key: cell for cell in old}, 0, []
    for cell in new:
        known = before.get(cell.key)
        if known is None or cell.quantity in MEASURED:
            continue
        if _numbers(known) == _numbers(cell):
            equal += 1
        else:
            there, here = (_text(one) for one in (known, cell))
            differing.append(f"{' '.join(filter(None, cell.key))}: {there} committed, {here} here")
    return Comparison(equal, tuple(differing))


def compare_runs(labels: Iterable[str], before: Path, after: Path, *, judge: Judge) -> Comparison:
    """`compare` the results of some runs in two output folders; runs that one of them lacks are left out."""
    found = Comparison()
    for label in labels:
        old, new = (_cells(folder / "results" / f"{label}.json", judge) for folder in (before, after))
        found += compare(old, new)
    return found


def _cells(path: Path, judge: Judge) -> list[Cell]:
    """All cells of a result file; none where there is none, or it cannot be read."""
    try:
        return judge(path, results.read(path))
    except (OSError, ValueError):
        return []


def _text(cell: Cell) -> str:
    ours, low, high, _ = _numbers(cell)
    return (ours or "none") + (f" [{low}, {high}]" if low else "")


def _numbers(cell: Cell) -> tuple[str, ...]:
    return tuple(results.format_number(value) for value in (cell.ours, cell.ci_low, cell.ci_high, cell.p_value))
