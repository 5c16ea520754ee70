"""The table of verdicts, `verdicts.csv`: every compared number of an output folder, once."""

import csv
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ccprune.results.cell import AUTHORS, PAPERS, PROFILES, Cell
from ccprune.results.files import collect
from ccprune.results.storage import write_atomic

#: File name of the table.
TABLE = "verdicts.csv"
#: Its columns, in order.
COLUMNS = (
    "paper",
    "table",
    "dataset",
    "method",
    "quantity",
    "published",
    "ours",
    "ci_low",
    "ci_high",
    "n",
    "verdict",
    "profile",
    "notebook",
    "note",
)

# Rows come in the papers' order; names not listed follow, sorted.
_ORDER = {
    "paper": PAPERS,
    "dataset": (
        "cancer",
        "titanic",
        "banknote",
        "iris",
        "iris3f",
        "vowel",
        "mnist5k",
        "mnist",
        "fashion_mnist",
        "cifar10",
    ),
    "method": ("dense", "ft", "pt", "causal", "random", "magnitude"),
    "quantity": ("epochs", "accuracy", "f1", "kept", "pruned_pct", "sparsity", "critical_sparsity"),
    "profile": (AUTHORS, *PROFILES),
}


def verdict_rows(results: Iterable[tuple[Path, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the rows of verdicts.csv, one dict with `COLUMNS` each, sorted.

    Of one number computed by several profiles only the largest profile's is kept; re-runs of the authors'
    files that both the default and the paper profile made count once. Results of the smoke profile are left
    out as soon as there are any others.

    Parameters
    ----------
    results
        What `ccprune.results.collect` returns.

    Raises
    ------
    ValueError
        If two runs of one profile give the same number.
    """
    results = list(results)
    if any(content["profile"] != "smoke" for _, content in results):
        results = [(path, content) for path, content in results if content["profile"] != "smoke"]
    best: dict[tuple[str, ...], tuple[int, Path, dict[str, Any]]] = {}
    for path, content in results:
        rank = PROFILES.index(content["profile"])
        for values in content["cells"]:
            key = Cell.from_dict(values).key
            row = {column: (values | {"notebook": content["notebook"]})[column] for column in COLUMNS}
            known = best.get(key)
            if known and known[0] == rank:
                raise ValueError(f"{known[1].name} and {path.name} both give {' '.join(key)}")
            if known is None or rank > known[0]:
                best[key] = (rank, path, row)
    return sorted((row for _, _, row in best.values()), key=_sort_key)


def write_verdicts(folder: str | os.PathLike) -> Path:
    """Write FOLDER/verdicts.csv from FOLDER/results; the same results give the same bytes, and leave the file alone."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in verdict_rows(collect(folder)):
        writer.writerow({name: format_number(v) if _is_number(v) else v for name, v in row.items()})
    path = Path(folder, TABLE)
    if not path.is_file() or path.read_bytes() != text.getvalue().encode():
        write_atomic(path, text.getvalue())
    return path


def format_number(value: float | int | None) -> str:
    """Shortest text of a number: integers in full, others to six significant digits, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.6g}"


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _sort_key(row: dict[str, Any]) -> tuple:
    def place(column: str) -> tuple:
        words, value = _ORDER[column], row[column]
        return (words.index(value), "") if value in words else (len(words), value)

    table = (0, int(row["table"]), "") if row["table"].isdigit() else (1, 0, row["table"])
    # "trial 10" after "trial 2"
    parts = re.split(r"(\d+)", row["note"])
    note = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
    return (
        place("paper"),
        table,
        *(place(column) for column in ("dataset", "method", "quantity", "profile")),
        note,
    )
