"""What works on this machine, and what each missing thing costs; nothing is fetched, run or changed."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from replication.doctor import software, surroundings
from replication.doctor.check import Check, Clone, Line, Missing, examined

__all__ = ["CHECKS", "Check", "Clone", "Line", "Missing", "examine", "examined", "summary", "text"]

CHECKS: tuple[Check, ...] = (*software.CHECKS, *surroundings.CHECKS)

_WIDTH = 110  # columns of a text
_WHAT = max(len(check.what) for check in CHECKS)


def examine(root: Path, *, out: Path) -> Iterator[Line]:
    """The line of each check, as it is found.

    Parameters
    ----------
    root
        The clone, as `replication.runner.find_root` gives it.
    out
        Output folder of the runs.
    """
    clone = Clone(root, out)
    for check in CHECKS:
        yield examined(check, clone)


def text(line: Line) -> str:
    """A line as plain text: state, what and what is told of it; below it what it costs."""
    indent = " " * (len("missing") + _WHAT + 4)
    first = f"{line.state:<7}  {line.what:<{_WHAT}}  {line.told}"
    parts = [(first, indent)] + ([(f"{indent}costs: {line.cost}", indent + " " * 7)] if line.cost else [])
    return "\n".join(
        textwrap.fill(part, _WIDTH, subsequent_indent=below, break_on_hyphens=False, break_long_words=False)
        for part, below in parts
    )


def summary(lines: Sequence[Line]) -> str:
    """What the lines amount to, as plain text."""
    states = [line.state for line in lines]
    counted = f"{states.count('works')} work, {states.count('missing')} missing, {states.count('broken')} broken"
    failing = [line.what for line in lines if line.required and line.state != "works"]
    if failing:
        return f"{counted}. No run works without: {', '.join(failing)}."
    return f"{counted}. All that is required works; to try it: ccprune replicate --profile smoke"
