"""What a statement about the released figures consists of, and how its numbers are written."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: The paper's three claims, by the names that `Statement.claim` has, in its words shortened.
CLAIMS = {
    "accuracy": "Accuracy is kept where magnitude pruning of as many weights loses it",
    "drop": "Accuracy holds and then drops abruptly, a phase shift",
    "flatness": "The minima are flatter than the dense network's",
}


@dataclass(frozen=True)
class Statement:
    """One finding from the released figures alone.

    Attributes
    ----------
    title
        Heading.
    text
        Sentences; every number in them is computed from the file.
    caveat
        What limits the finding, in a sentence or two.
    head, lines
        A small table, empty where there is none.
    claim
        Claim of the paper that the finding is about, one of `CLAIMS`, empty where it is about none.
    answer
        The finding on that claim in one short sentence, for the table that answers each claim twice.
    """

    title: str
    text: str
    caveat: str
    head: tuple[str, ...] = ()
    lines: tuple[tuple[str, ...], ...] = ()
    claim: str = ""
    answer: str = ""


def list_items(items: Iterable[object]) -> str:
    """Items as a list in a sentence, as in "0.1, 0.3 and 0.5"."""
    *first, last = [f"{item:g}" if isinstance(item, int | float) else str(item) for item in items]
    return f"{', '.join(first)} and {last}" if first else last


def list_kinds(kinds: Mapping[str, Iterable[str]]) -> str:
    """Names by their kind, as in "Better: magnitude, snip; worse: none"."""
    return "; ".join(f"{kind}: {', '.join(which) or 'none'}" for kind, which in kinds.items()).capitalize()


def span(values: Sequence[float], digits: int = 4) -> str:
    """Least and greatest value, as in "0.0011 to 0.0042"; one number if they read the same."""
    return " to ".join(dict.fromkeys(decimals(value, digits) for value in (min(values), max(values))))


def decimals(value: float, digits: int = 4, *, signed: bool = False) -> str:
    """A number with so many decimals, halves rounded away from 0 as decimal halves."""
    size = math.floor(abs(value) * 10**digits + 0.5 + 1e-9) / 10**digits
    return f"{math.copysign(size, value):{'+' if signed else ''}.{digits}f}"


def extent(shown: int, cases: int) -> str:
    """Whether a claim is shown, by the cases that show it: "Not shown", "Shown in part" or "Shown"."""
    return "Not shown" if not shown else "Shown" if shown == cases else "Shown in part"


def count(number: int, noun: str) -> str:
    """A number with its noun, as in "1 network" and "3 networks"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
