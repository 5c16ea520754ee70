"""The two tables of an output folder.

`verdicts.csv` has the numbers that are compared with something published, `measurements.csv` all other numbers.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from replication import ledger
from replication.ledger.cell import AUTHORS, COMPARED, NOISE_FLOOR, PROFILES, Cell, Judge
from replication.ledger.claims import SIGNIFICANCE
from replication.ledger.numbers import format_number
from replication.ledger.paired import holm

# Runs whose equality says nothing of their spread: Student's interval has no width, as if the mean were known.
_FEW = 3
PAPERS = ("legcnet", "causal")
#: File names of the tables.
VERDICTS_TABLE, MEASUREMENTS_TABLE = "verdicts.csv", "measurements.csv"
#: Columns of both tables, in order. `outcome_alone` is the outcome without correction for multiple testing. `outcome`
#: and `p_holm` are the outcome and p-value after Holm's correction over all cases of the claim.
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

# Separates the claim at the beginning of a table's name from the schedule and the network.
_SCHEDULE = re.compile(r"(?:_(path|totals|short|protocol_2024))?-")

# Order of the rows, which is the papers' order; other names follow in alphabetical order.
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


def rows(folder: str | os.PathLike, *, judge: Judge, declared: Iterable[Cell] = ()) -> list[Row]:
    """Return the rows of both tables, made from results/ and raw/ of an output folder.

    If several profiles computed a number, only the largest profile's is kept. This includes re-runs of the authors'
    files, which the default and the paper profile both make. Results of the smoke profile are left out if there are any
    others.

    Parameters
    ----------
    folder : path-like
        Output folder.
    judge : Judge
        Function of path and content of a result that returns its cells.
    declared : iterable of Cell, optional
        Published figures that no result has to answer. A cell of a result with the same key replaces them.

    Returns
    -------
    list of dict
        Sorted rows with the keys `COLUMNS`.

    Raises
    ------
    ValueError
        If a result or its raw runs are not valid, or two runs of one profile have the same number.
    """
    contents = ledger.collect(folder)
    if any(content["profile"] != "smoke" for _, content in contents):
        contents = [(path, content) for path, content in contents if content["profile"] != "smoke"]
    # A run is skipped if it also has a result of a larger profile: all its numbers would be dropped.
    largest = {run: rank for rank, run in sorted((_rank(content), _run(path)) for path, content in contents)}
    contents = [item for item in contents if _rank(item[1]) == largest[_run(item[0])]]
    return gather_rows(((path, content, judge(path, content)) for path, content in contents), declared=declared)


def gather_rows(
    judged: Iterable[tuple[Path, Mapping[str, Any], Iterable[Cell]]], *, declared: Iterable[Cell] = ()
) -> list[Row]:
    """Return the rows of some results.

    Parameters
    ----------
    judged : iterable of (Path, mapping, iterable of Cell)
        Path, content and cells of each result.
    declared : iterable of Cell, optional
        As in `rows`.

    Returns
    -------
    list of dict
        As `rows`.

    Raises
    ------
    ValueError
        If two results of one profile have the same number.
    """
    best: dict[tuple[str, ...], tuple[int, Path, Row]] = {}
    everything = [(path, content["notebook"], _rank(content), cells) for path, content, cells in judged]
    for path, notebook, rank, cells in [(Path("declared"), "", -1, declared), *everything]:
        for cell in cells:
            if cell.paper not in PAPERS:
                raise ValueError(f"paper must be one of {PAPERS}, got {cell.paper!r} in {path.name}")
            row = asdict(cell) | {"notebook": notebook, "p_holm": None, "outcome_alone": cell.outcome}
            if cell.ci_low is not None and cell.ci_low == cell.ci_high and (cell.n or 0) <= _FEW:
                row["ci_low"] = row["ci_high"] = None
            known = best.get(cell.key)
            if known and known[0] == rank:
                raise ValueError(f"{known[1].name} and {path.name} both have {' '.join(filter(None, cell.key))}")
            if known is None or rank > known[0]:
                best[cell.key] = (rank, path, {column: row[column] for column in COLUMNS})
    chosen = [row for _, _, row in best.values()]
    _correct(chosen)
    return sorted(chosen, key=_sort_key)


def family(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the key of a row's family: the cases of one claim or control over which its p-values are corrected.

    A family has all datasets, sparsities and methods of the claim or control. Some tables ask several questions, each
    with a family of its own: against each reference (paper B), against masks and another dense network (SHAP), for each
    reference and quantity (repaired rankings), and of the methods and of random masks (margins).
    """
    name = claim_name(row["table"])
    if row["paper"] == "causal":
        asked = [row["reference"]]
    else:
        asked = [row["reference"] == NOISE_FLOOR]
        asked += [row["reference"], row["quantity"]] if name.startswith("repaired") else []
        asked += [row["method"].startswith("random")] if name == "margins" else []
    return row["paper"], name, row["kind"], row["margin"], *asked


def claim_name(table: str) -> str:
    """Return the claim in a table's name, without schedule and network: "accuracy" for "accuracy_path-lenet"."""
    return _SCHEDULE.split(table)[0]


def network_of(table: str) -> str:
    """Return network and schedule in the name of a table of paper B, such as "lenet, path"; empty if it has none."""
    parts = _SCHEDULE.split(table)
    return ", ".join(filter(None, reversed(parts[1:])))


def _correct(chosen: Iterable[Row]) -> None:
    """Correct every claim and control over its family by Holm's method; cases that lose significance are undecided."""
    families: dict[tuple[Any, ...], list[Row]] = {}
    for row in chosen:
        if row["kind"] in ("claim", "control") and row["p_value"] is not None:
            families.setdefault(family(row), []).append(row)
    for cases in families.values():
        for row, corrected in zip(cases, holm([row["p_value"] for row in cases]), strict=True):
            row["p_holm"] = float(corrected)
            if row["outcome"] in ("holds", "does_not_hold") and corrected >= SIGNIFICANCE:
                row["outcome"] = "undecided"


def texts(both: Iterable[Row]) -> dict[str, str]:
    """Return the text of both tables by file name, from the rows that `rows` returns."""
    parts: dict[str, list[Row]] = {VERDICTS_TABLE: [], MEASUREMENTS_TABLE: []}
    for row in both:
        parts[VERDICTS_TABLE if row["kind"] in COMPARED else MEASUREMENTS_TABLE].append(row)
    return {name: _text(chosen) for name, chosen in parts.items()}


def _text(chosen: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in chosen:
        writer.writerow({name: format_number(v) if _is_number(v) else v for name, v in row.items()})
    return text.getvalue()


def _run(path: Path) -> str:
    """Return the name of a result's run, without the profile."""
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
