"""Selection and counts of rows of the two tables, and sentences from them. Nothing is measured here."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from replication.ledger import AUTHORS, OUTCOMES, VERDICTS
from replication.ledger.errors import suggestion
from replication.reporting.counts import claim_of
from replication.reporting.tables import COLUMNS, MEASUREMENTS_TABLE, VERDICTS_TABLE

#: Text for subjects without a row in the tables.
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
    """Find a file in the working directory or above it.

    The working directory of a notebook is `notebooks/` in JupyterLab, and the clone under `ccprune replicate`.

    Parameters
    ----------
    path : path-like
        Path of the file, relative to the working directory or a folder above it.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    here = Path.cwd()
    file = next((folder / path for folder in (here, *here.parents) if (folder / path).is_file()), None)
    if file is None:
        raise FileNotFoundError(f"no {path} in {here} or above it: run `ccprune report` to write it")
    return file


def read(folder: str | os.PathLike) -> pd.DataFrame:
    """Read both tables of an output folder, which is searched for by `locate`.

    Parameters
    ----------
    folder : path-like
        Output folder, relative to the working directory or a folder above it.

    Returns
    -------
    DataFrame
        Rows of both tables, with the additional columns `whose` ("authors' files" or "ours") and `claim` (name of the
        claim without its network).

    Raises
    ------
    FileNotFoundError
        If a table is missing.
    ValueError
        If a table lacks a column.
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
    """Return a sentence on the numbers of rows, of notebooks and profiles, and of rows without a run.

    Parameters
    ----------
    table : DataFrame
        Rows of both tables, as returned by `read`.

    Returns
    -------
    str
    """
    made = table[table.notebook != ""]
    profiles = ", ".join(made.profile.unique())
    text = f"The tables have {len(table):,} numbers: {len(made):,} from {made.notebook.nunique()} notebooks (profiles: "
    return f"{text}{profiles}), and {len(table) - len(made):,} released figures of paper B without a run of ours."


def select(rows: pd.DataFrame, /, **wanted: str | list[str]) -> pd.DataFrame:
    """Return the rows that have the wanted value, or one of several, in each named column.

    The result may be empty.

    Parameters
    ----------
    rows : DataFrame
        Rows of the tables.
    **wanted
        Names of columns with their wanted value, or a list of values.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        If a column is unknown.
    """
    _need(rows, *wanted)
    for name, value in wanted.items():
        rows = rows[rows[name].isin([value] if isinstance(value, str) else value)]
    return rows


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dicts with None for missing numbers, as the other modules of `reporting` take them.

    Parameters
    ----------
    rows : DataFrame
        Rows of the tables.

    Returns
    -------
    list of dict
    """
    return rows.astype(object).where(rows.notna(), None).to_dict("records")


def trials(table: pd.DataFrame) -> pd.DataFrame:
    """Return the difference in epochs between pruned and dense networks in the trials of paper A's authors.

    Parameters
    ----------
    table : DataFrame
        Rows of both tables, as returned by `read`.

    Returns
    -------
    DataFrame
        One row per dataset, method ("ft" or "pt") and trial, with the columns dataset, method, trial, difference
        (pruned minus dense; missing if the pruned network never reached the benchmark), and printed (whether the paper
        prints this trial). Trials whose dense network never reached the benchmark are left out.
    """
    rows = select(table, paper="legcnet", whose="authors' files", quantity="epochs")
    rows = rows.assign(printed=rows.kind == "figure")
    dense = select(rows, method="dense")[["dataset", "trial", "ours"]].dropna()
    differences = select(rows, method=["ft", "pt"]).merge(dense, on=["dataset", "trial"], suffixes=("", "_dense"))
    differences = differences.assign(difference=differences.ours - differences.ours_dense)
    return differences[["dataset", "method", "trial", "difference", "printed"]]


def spread(values: pd.Series, *, digits: int = 3) -> str:
    """Return the range of some numbers, such as "0.25 to 0.95"; one number if both ends have the same text.

    Parameters
    ----------
    values : Series
        Numbers, at least one.
    digits : int, default 3
        Number of significant digits.

    Returns
    -------
    str
    """
    least, largest = (f"{value:.{digits}g}" for value in (values.min(), values.max()))
    return least if least == largest else f"{least} to {largest}"


def count_sentence(rows: pd.DataFrame, column: Literal["outcome", "outcome_alone", "verdict"] = "outcome") -> str:
    """Return the counts of outcomes or verdicts, such as "holds in 3, does not hold in 9 of 12", without zeros.

    Parameters
    ----------
    rows : DataFrame
        Rows of the tables.
    column : str, default "outcome"
        "outcome", "outcome_alone" (without correction) or "verdict".

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the rows have no such column.
    """
    _need(rows, column)
    counts = rows[column].value_counts()
    words = [word for word in (*OUTCOMES, *VERDICTS) if word in counts]
    return ", ".join(f"{word.replace('_', ' ')} in {counts[word]}" for word in words) + f" of {len(rows)}"


def listing(subjects: Mapping[str, pd.DataFrame], words: Callable[[pd.DataFrame], str]) -> str:
    """Return a list in Markdown of subjects and the text of `words` for their rows, or `NOT_RUN` without rows.

    Parameters
    ----------
    subjects : mapping of str to DataFrame
        Rows of each subject.
    words : callable
        Maps rows to a text, for example `count_sentence`.

    Returns
    -------
    str
        Markdown.
    """
    lines = (f"- {subject}: {words(rows) if len(rows) else NOT_RUN}." for subject, rows in subjects.items())
    return "\n".join(lines)


def _need(table: pd.DataFrame, *names: str) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        known = ", ".join(table.columns)
        raise ValueError(
            f"the table has no column {missing[0]!r}{suggestion(missing[0], table.columns)}; it has {known}"
        )
