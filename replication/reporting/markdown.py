"""Text of a report: Markdown tables, numbers and titles as they are read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from replication import ledger as results


def number(value: float | None) -> str:
    """Four significant digits, for reading; verdicts.csv has more."""
    return "–" if value is None else results.format_number(float(f"{value:.4g}"))


def with_interval(row: Mapping[str, Any]) -> str:
    """Our number of a row of verdicts.csv, its interval and the number of runs, where it has them."""
    text = number(row["ours"])
    if row["ci_low"] is not None:
        text += f" [{number(row['ci_low'])}, {number(row['ci_high'])}]"
    return text + (f" ({row['n']})" if row["n"] is not None else "")


def bold(text: str, wanted: bool) -> str:
    """Bold text, where wanted."""
    return f"**{text}**" if wanted else text


def title(table: str) -> str:
    """Heading of a table or claim, as in "Table 1" or "Curve, lenet"."""
    if table.isdigit():
        return f"Table {table}"
    claim, _, network = table.partition("-")
    return words(claim).capitalize() + (f", {network}" if network else "")


def words(name: str) -> str:
    """A name as words."""
    return name.replace("_", " ")


def table(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Markdown table; a bar inside a cell is escaped."""
    lines = [[str(entry).replace("|", "\\|") for entry in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in (list(head), ["---"] * len(head), *lines))
