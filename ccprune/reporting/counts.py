"""How many cells have which verdict."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ccprune.reporting.markdown import table, title, words
from ccprune.results.cell import AUTHORS
from ccprune.stats import VERDICTS

Row = Mapping[str, Any]


#: What the first table's columns and the kinds of cells are called.
HEAD = ("paper", "cells", *map(words, VERDICTS))
WHOSE = ("authors' files re-run", "ours")


def overall(rows: Sequence[Row], *, head: Sequence[str] = HEAD, whose: tuple[str, str] = WHOSE) -> str:
    """Markdown table: a line per paper for the authors' files and for ours, as many verdicts as `head` has room for."""
    papers = list(dict.fromkeys(row["paper"] for row in rows))
    kinds = sorted(
        _kinds(rows, lambda row: row["paper"]).items(), key=lambda kind: (papers.index(kind[0][0]), not kind[0][1])
    )
    lines = [
        [paper, whose[0 if authors else 1], *_per_verdict(chosen)[: len(head) - 2]]
        for (paper, authors), chosen in kinds
    ]
    return table(head, lines)


def per_table(rows: Sequence[Row], notebooks: str | None) -> str:
    """Markdown table: a line per table or claim of a paper, and the notebooks it comes from."""
    lines = []
    for (name, authors), chosen in _kinds(rows, lambda row: row["table"].partition("-")[0]).items():
        sources = sorted({row["notebook"] for row in chosen})
        linked = [f"[{source[:2]}]({notebooks}/{source})" if notebooks else source for source in sources]
        whose = "authors' files" if authors else "ours"
        lines.append([title(name), whose, *(count or "" for count in _per_verdict(chosen)), ", ".join(linked)])
    return table(["table or claim", "cells", *map(words, VERDICTS), "notebook"], lines)


def _kinds(rows: Iterable[Row], kind: Callable[[Row], str]) -> dict[tuple[str, bool], list[Row]]:
    """Rows by what `kind` says of them, and by whether they are the authors' files re-run."""
    found: dict[tuple[str, bool], list[Row]] = {}
    for row in rows:
        found.setdefault((kind(row), row["profile"] == AUTHORS), []).append(row)
    return found


def _per_verdict(rows: Iterable[Row]) -> list[int]:
    count = Counter(row["verdict"] for row in rows)
    return [count[verdict] for verdict in VERDICTS]
