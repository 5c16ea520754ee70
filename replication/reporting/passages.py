"""Passages in handwritten pages that `ccprune report` replaces by text from the results, between two comments.

<!-- ccprune report: verdicts -->
...
<!-- ccprune report: end -->
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ccprune._util.files import write_atomic
from replication.ledger.reading import read_json, read_text
from replication.reporting import counts, japanese, price, released, statements
from replication.reporting.counts import Row
from replication.reporting.judging import with_cache
from replication.reporting.tables import rows as all_rows

PAGES = ("README.md", "README.ja.md", "docs/questions.md", "docs/ja/questions.md")

_BLOCK = re.compile(r"(<!-- ccprune report: (?!end)([\w-]+) -->\n).*?(<!-- ccprune report: end -->)", re.DOTALL)
_MARK = "<!-- ccprune report:"

Benchmarks = Mapping[str, Mapping[str, Any]]
_PASSAGES: dict[str, Callable[[list[Row], Benchmarks], str]] = {
    "answers": lambda rows, _: statements.bullets(rows),
    "figures": lambda rows, _: counts.figures(rows),
    "claims": lambda rows, _: counts.claims(rows, "claim"),
    "costs": lambda _, benchmarks: price.costs(benchmarks),
    "operations": lambda rows, _: price.operations(rows),
    "answers-ja": lambda rows, _: japanese.answers(rows),
    "figures-ja": lambda rows, _: japanese.figures(rows),
    "claims-ja": lambda rows, _: japanese.claims(rows),
    "costs-ja": lambda _, benchmarks: japanese.costs(benchmarks),
    "legcnet-ja": lambda rows, _: japanese.legcnet(rows),
    "operations-ja": lambda rows, _: japanese.operations(rows),
    "causal-ja": lambda rows, _: japanese.causal(rows),
}


def names(text: str) -> list[str]:
    """Return the names of the passages of a page, in their order."""
    return [name for _, name, _ in _BLOCK.findall(text)]


def renew(root: str | os.PathLike, rows: list[Row] | None = None) -> Iterator[tuple[Path, str, str]]:
    """Yield the pages with passages, and their present and renewed texts.

    Parameters
    ----------
    root : path-like
        The clone.
    rows : list of dict, optional
        Rows of both tables. By default they are computed from the results.

    Yields
    ------
    path : Path
    old, new : str
        The text of the page, and the text with passages made from the results.

    Raises
    ------
    ValueError
        If a passage has an unknown name or no end.
    """
    texts = {path: read_text(path) for name in PAGES if (path := Path(root, name)).is_file()}
    texts = {path: text for path, text in texts.items() if _MARK in text}
    if not texts:
        return
    folder = Path(root, "replication")
    if rows is None:
        rows = all_rows(folder, judge=with_cache(folder), declared=released.declared_cells(folder))
    benchmarks = {path.stem: read_json(path) for path in sorted(Path(root, "benchmarks", "results").glob("*.json"))}
    for path, text in texts.items():
        yield path, text, _with_passages(path, text, rows, benchmarks)


def write_passages(root: str | os.PathLike, rows: list[Row] | None = None) -> None:
    """Renew the passages of the clone's pages from its results; arguments and errors as `renew`."""
    for path, old, new in list(renew(root, rows)):
        if new != old:
            write_atomic(path, new)


def _with_passages(path: Path, text: str, rows: list[Row], benchmarks: Benchmarks) -> str:
    def make(match: re.Match[str]) -> str:
        if match[2] not in _PASSAGES:
            raise ValueError(f"{path.name}: a passage must be one of {sorted(_PASSAGES)}, got {match[2]!r}")
        return f"{match[1]}\n{_PASSAGES[match[2]](rows, benchmarks)}\n\n{match[3]}"

    if text.count(_MARK) != 2 * len(_BLOCK.findall(text)):
        raise ValueError(f"{path.name}: every passage must end with '{_MARK} end -->'")
    return _BLOCK.sub(make, text)
