"""Format of numbers, titles and tables in Markdown."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from replication import ledger

_MANY = 10_000  # counts of weights and epochs are shown in full


def number(value: float | None) -> str:
    """Format a number with four significant digits, or to the next whole number; verdicts.csv has more."""
    if value is None:
        return "–"
    return ledger.format_number(float(round(value)) if _MANY <= abs(value) < math.inf else float(f"{value:.4g}"))


def with_interval(row: Mapping[str, Any]) -> str:
    """Format our number in a row of verdicts.csv, with its number of runs and its interval, if any."""
    text = number(row["ours"])
    if row["ci_low"] is not None:
        text += f" [{number(row['ci_low'])}, {number(row['ci_high'])}]"
    return text + (f" ({row['n']})" if row["n"] is not None else "")


def bold(text: str, wanted: bool) -> str:
    """Return the text in bold if `wanted`, otherwise unchanged."""
    return f"**{text}**" if wanted else text


def title(table: str) -> str:
    """Return the heading of a table or claim, such as "Table 1" or "Curve, lenet"."""
    if table.isdigit():
        return f"Table {table}"
    claim, _, network = table.partition("-")
    return words(claim).capitalize() + (f", {network}" if network else "")


def words(name: str) -> str:
    """Return a name with spaces in place of underscores."""
    return name.replace("_", " ")


def table(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown, with escaped bars in the cells."""
    lines = [[str(entry).replace("|", "\\|") for entry in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in (list(head), ["---"] * len(head), *lines))
