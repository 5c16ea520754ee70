"""Rows of the two tables chosen, counted and put into sentences. Nothing is measured here."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from replication.ledger import AUTHORS, OUTCOMES, VERDICTS
from replication.ledger.errors import suggestion
from replication.ledger.tables import COLUMNS, MEASUREMENTS_TABLE, VERDICTS_TABLE
from replication.reporting.counts import claim_of

#: Shown where the tables have no row.
NOT_RUN = "not run"

_NUMBERS = (
    "sparsity",
    "published",
    "ours",
    "ci_low",
    "ci_high",
    "n",
    "margin",
    "p_value",
    "p_holm",
    "detectable",
    "trial",
)


def locate(path: str | os.PathLike) -> Path:
    """Where a file is, looked for in the working folder and in those above it.

    A notebook's working folder is `notebooks/` in JupyterLab, and the project's when `ccprune replicate` runs it.
    Raises FileNotFoundError if there is no such file.
    """
    here = Path.cwd()
    found = next((folder / path for folder in (here, *here.parents) if (folder / path).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"there is no {path} in {here} or above it; `ccprune report` writes it")
    return found


def read(folder: str | os.PathLike) -> pd.DataFrame:
    """Both tables of an output folder, from where `locate` finds it, as one.

    Two columns more: `whose`, "authors' files" or "ours"; `claim`, the name of the claim without its network.
    Raises ValueError if a table lacks a column.
    """
    parts = []
    for name in (VERDICTS_TABLE, MEASUREMENTS_TABLE):
        part = pd.read_csv(locate(Path(folder, name)), dtype=str, keep_default_na=False)
        _need(part, *COLUMNS)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    for name in _NUMBERS:
        table[name] = pd.to_numeric(table[name].replace("", None))
    whose = table.profile.map(lambda profile: "authors' files" if profile == AUTHORS else "ours")
    return table.assign(whose=whose, claim=[claim_of(row)[1] for row in table.to_dict("records")])


def opening(table: pd.DataFrame) -> str:
    """How many numbers the tables have, from how many notebooks and profiles, and how many have no run."""
    made = table[table.notebook != ""]
    profiles = ", ".join(made.profile.unique())
    text = f"The tables have {len(table):,} numbers: {len(made):,} from {made.notebook.nunique()} notebooks (profiles: "
    return f"{text}{profiles}), and {len(table) - len(made):,} released figures of paper B without a run of ours."


def select(rows: pd.DataFrame, /, **wanted: str | list[str]) -> pd.DataFrame:
    """Those rows that hold the value wanted in each column named, or one of several; none is no error.

    Raises ValueError for a column that there is not.
    """
    _need(rows, *wanted)
    for name, value in wanted.items():
        rows = rows[rows[name].isin([value] if isinstance(value, str) else value)]
    return rows


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as the other modules of `reporting` take them: a dict each, None where there is no number."""
    return rows.astype(object).where(rows.notna(), None).to_dict("records")


def trials(table: pd.DataFrame) -> pd.DataFrame:
    """How many epochs the pruned network needs more than the dense one, in each trial of paper A's authors.

    Returns
    -------
    DataFrame
        dataset, method ("ft" or "pt"), trial; `difference`, missing where the pruned network never reached the
        benchmark; `printed`: whether it is the trial that the paper prints. Trials whose dense network never reached
        the benchmark are left out.
    """
    rows = select(table, paper="legcnet", whose="authors' files", quantity="epochs")
    rows = rows.assign(printed=rows.kind == "figure")
    dense = select(rows, method="dense")[["dataset", "trial", "ours"]].dropna()
    found = select(rows, method=["ft", "pt"]).merge(dense, on=["dataset", "trial"], suffixes=("", "_dense"))
    found = found.assign(difference=found.ours - found.ours_dense)
    return found[["dataset", "method", "trial", "difference", "printed"]]


def spread(values: pd.Series, *, digits: int = 3) -> str:
    """The least and the largest of some numbers, as in "0.25 to 0.95"; one number if they read the same."""
    least, largest = (f"{value:.{digits}g}" for value in (values.min(), values.max()))
    return least if least == largest else f"{least} to {largest}"


def counted(rows: pd.DataFrame, column: Literal["outcome", "outcome_alone", "verdict"] = "outcome") -> str:
    """How many rows have which word, as in "holds in 3, does not hold in 9 of 12"; words that none has are left out."""
    _need(rows, column)
    counts = rows[column].value_counts()
    words = [word for word in (*OUTCOMES, *VERDICTS) if word in counts]
    return ", ".join(f"{word.replace('_', ' ')} in {counts[word]}" for word in words) + f" of {len(rows)}"


def listing(asked: Mapping[str, pd.DataFrame], words: Callable[[pd.DataFrame], str]) -> str:
    """A Markdown list: each subject and what `words` makes of its rows; without rows it was not run."""
    lines = (f"- {subject}: {words(rows) if len(rows) else NOT_RUN}." for subject, rows in asked.items())
    return "\n".join(lines)


def _need(table: pd.DataFrame, *names: str) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        known = ", ".join(table.columns)
        raise ValueError(
            f"the table has no column {missing[0]!r}{suggestion(missing[0], table.columns)}; it has {known}"
        )
