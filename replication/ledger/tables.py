"""The two tables of an output folder: `verdicts.csv`, held against something published, and `measurements.csv`."""

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ccprune._util.files import write_atomic
from replication import ledger as results
from replication.ledger.cell import AUTHORS, COMPARED, PAPERS, PROFILES, Cell
from replication.ledger.claims import SIGNIFICANCE
from replication.ledger.numbers import format_number
from replication.ledger.paired import holm

#: File names of the tables.
VERDICTS_TABLE, MEASUREMENTS_TABLE = "verdicts.csv", "measurements.csv"
#: Their columns, in order. `outcome_alone` is the outcome of a claim tested by itself; `outcome` is that after Holm's
#: correction over all cases of the claim, whose p-value is `p_holm`.
COLUMNS = (
    "paper",
    "table",
    "dataset",
    "method",
    "reference",
    "sparsity",
    "quantity",
    "kind",
    "origin",
    "published",
    "ours",
    "ci_low",
    "ci_high",
    "n",
    "margin",
    "p_value",
    "p_holm",
    "verdict",
    "outcome",
    "outcome_alone",
    "detectable",
    "trial",
    "profile",
    "notebook",
    "note",
)

Row = dict[str, Any]
#: Path and content of a result file -> its cells, those concluded from its raw runs among them.
Judge = Callable[[Path, Mapping[str, Any]], list[Cell]]

# How a table's name goes on after the claim: with the schedule and the network.
_SCHEDULE = re.compile(r"(?:_(path|totals|short|protocol_2024))?-")

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
    "reference": ("", "dense", "random", "magnitude"),
    "quantity": ("epochs", "accuracy", "f1", "kept", "sparsity", "critical_sparsity"),
    "profile": (AUTHORS, *PROFILES),
}


def rows(folder: str | os.PathLike, *, judge: Judge) -> list[Row]:
    """All rows of both tables, one dict with `COLUMNS` each, sorted; made from results/ and raw/ of an output folder.

    Of one number computed by several profiles only the largest profile's is kept; re-runs of the authors' files that
    both the default and the paper profile made count once. Results of the smoke profile are left out as soon as there
    are any others. `judge` concludes from one result.

    Raises
    ------
    ValueError
        If a result or its raw runs are not valid, or two runs of one profile give the same number.
    """
    found = results.collect(folder)
    if any(content["profile"] != "smoke" for _, content in found):
        found = [(path, content) for path, content in found if content["profile"] != "smoke"]
    # A run of a smaller profile is not judged where its larger twin is here: all its numbers would be dropped.
    largest = {run: rank for rank, run in sorted((_rank(content), _run(path)) for path, content in found)}
    found = [item for item in found if _rank(item[1]) == largest[_run(item[0])]]
    return gathered((path, content, judge(path, content)) for path, content in found)


def gathered(found: Iterable[tuple[Path, Mapping[str, Any], Iterable[Cell]]]) -> list[Row]:
    """The rows of some results, given as (path, content, cells)."""
    best: dict[tuple[str, ...], tuple[int, Path, Row]] = {}
    for path, content, cells in found:
        rank = _rank(content)
        for cell in cells:
            row = asdict(cell) | {"notebook": content["notebook"], "p_holm": None, "outcome_alone": cell.outcome}
            known = best.get(cell.key)
            if known and known[0] == rank:
                raise ValueError(f"{known[1].name} and {path.name} both give {' '.join(filter(None, cell.key))}")
            if known is None or rank > known[0]:
                best[cell.key] = (rank, path, {column: row[column] for column in COLUMNS})
    chosen = [row for _, _, row in best.values()]
    _correct(chosen)
    return sorted(chosen, key=_sort_key)


def family(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The cases over which a claim is corrected: all datasets, sparsities and methods of one claim or control."""
    reference = row["reference"] if row["paper"] == "causal" else ""
    return row["paper"], claim_name(row["table"]), row["kind"], reference, row["margin"]


def claim_name(table: str) -> str:
    """The claim that a table is about, without schedule and network: "accuracy" of "accuracy_path-lenet"."""
    return _SCHEDULE.split(table)[0]


def network_of(table: str) -> str:
    """Network and schedule of a table of paper B, as in "lenet, path"; empty where it has none."""
    parts = _SCHEDULE.split(table)
    return ", ".join(filter(None, reversed(parts[1:])))


def _correct(chosen: Iterable[Row]) -> None:
    """Holm's correction of every claim and control over its family; what does not survive is undecided."""
    families: dict[tuple[Any, ...], list[Row]] = {}
    for row in chosen:
        if row["kind"] in ("claim", "control") and row["p_value"] is not None:
            families.setdefault(family(row), []).append(row)
    for cases in families.values():
        for row, corrected in zip(cases, holm([row["p_value"] for row in cases]), strict=True):
            row["p_holm"] = float(corrected)
            if row["outcome"] in ("holds", "does_not_hold") and corrected >= SIGNIFICANCE:
                row["outcome"] = "undecided"


def write_tables(folder: str | os.PathLike, *, judge: Judge) -> list[Row]:
    """Write both tables of an output folder; the same results give the same bytes, and leave the files alone.

    Returns the rows of both, as `rows`.
    """
    found = rows(folder, judge=judge)
    for name, compared in ((VERDICTS_TABLE, True), (MEASUREMENTS_TABLE, False)):
        text = _text(row for row in found if (row["kind"] in COMPARED) == compared)
        path = Path(folder, name)
        if not path.is_file() or path.read_bytes() != text.encode():
            write_atomic(path, text)
    return found


def _text(chosen: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in chosen:
        writer.writerow({name: format_number(v) if _is_number(v) else v for name, v in row.items()})
    return text.getvalue()


def _run(path: Path) -> str:
    """The name of a run, without its profile."""
    return path.name.removesuffix(".json").rpartition(".")[0]


def _rank(content: Mapping[str, Any]) -> int:
    return PROFILES.index(content["profile"])


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, int | float)


def _sort_key(row: Row) -> tuple:
    def place(column: str) -> tuple:
        words, value = _ORDER[column], row[column]
        return (words.index(value), "") if value in words else (len(words), value)

    def size(column: str) -> float:
        return -1.0 if row[column] is None else float(row[column])

    table = (0, int(row["table"]), "") if row["table"].isdigit() else (1, 0, row["table"])
    names = (place(column) for column in ("dataset", "method", "reference", "quantity", "profile"))
    return (place("paper"), table, *names, size("sparsity"), size("margin"), size("trial"))
