"""The verdicts in sentences: rows of verdicts.csv chosen, counted and told. Nothing is measured here.

Numbers are the table's own, counts of its rows, and differences between rows of one trial.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ccprune.reporting.outcome import OUTCOMES, outcome
from ccprune.results.cell import AUTHORS
from ccprune.results.verdict_table import COLUMNS
from ccprune.stats import VERDICTS
from ccprune.suite.errors import near

#: Said where the table has no row that could tell.
NOT_RUN = "not run"

_NUMBERS = ("published", "ours", "ci_low", "ci_high", "n")


def locate(path: str | os.PathLike) -> Path:
    """Where a file is, looked for in the working folder and in those above it.

    A notebook's working folder is `notebooks/` in JupyterLab, and the project's when `ccprune replicate` runs it.
    Raises FileNotFoundError if there is no such file.
    """
    here = Path.cwd()
    found = next((folder / path for folder in (here, *here.parents) if (folder / path).is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"there is no {path} in {here} or above it; `ccprune report` writes the table of verdicts"
        )
    return found


def read(path: str | os.PathLike) -> pd.DataFrame:
    """The table of verdicts, from where `locate` finds it, with a column more: `whose`, "authors' files" or "ours".

    Raises ValueError if it lacks a column.
    """
    table = pd.read_csv(locate(path), dtype=str, keep_default_na=False)
    _need(table, *COLUMNS)
    for name in _NUMBERS:
        table[name] = pd.to_numeric(table[name].replace("", None))
    return table.assign(whose=table.profile.map(lambda profile: "authors' files" if profile == AUTHORS else "ours"))


def select(rows: pd.DataFrame, /, **wanted: str | list[str]) -> pd.DataFrame:
    """Those rows that hold the value wanted in each column named, or one of several; none is no error.

    Raises ValueError for a column that there is not.
    """
    _need(rows, *wanted)
    for name, value in wanted.items():
        rows = rows[rows[name].isin([value] if isinstance(value, str) else value)]
    return rows


def tally(rows: pd.DataFrame, *by: str) -> pd.DataFrame:
    """How many rows have which verdict, a line for each value of the columns `by`, in the table's order."""
    _need(rows, "verdict", *by)
    counts = rows.groupby([*by, "verdict"], sort=False).size().unstack(fill_value=0)
    return counts.reindex(columns=list(VERDICTS), fill_value=0)


def said(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with their `outcome`, as `reporting.outcome` reads it. Raises ValueError for a note without one."""
    _need(rows, "note", "verdict", "method")
    return rows.assign(outcome=[outcome(row) for row in rows.to_dict("records")])


def beyond(rows: pd.DataFrame, *, at: float = 0.0) -> pd.DataFrame:
    """The rows with their `outcome`: "holds" where the whole interval lies above `at`, "does not hold" where below.

    "undecided" where it has `at` inside, or where a single run has no interval.
    """
    _need(rows, "ci_low", "ci_high")
    outcome = pd.Series("undecided", index=rows.index)
    return rows.assign(outcome=outcome.mask(rows.ci_low > at, "holds").mask(rows.ci_high < at, "does not hold"))


def parted(rows: pd.DataFrame, pattern: str) -> pd.DataFrame:
    """Those rows whose whole method fits a regular expression, with its named groups as columns; numbers as numbers."""
    _need(rows, "method")
    groups = rows.method.str.extract(f"^{pattern}$").dropna()
    for name in groups:
        if groups[name].str.fullmatch(r"\d+(\.\d+)?").all():
            groups[name] = groups[name].astype(float)
    return rows.join(groups, how="inner")


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as `ccprune.reporting.figure` takes them: a dict each, None where there is no number."""
    return rows.astype(object).where(rows.notna(), None).to_dict("records")


def trials(table: pd.DataFrame) -> pd.DataFrame:
    """How many epochs the pruned network needs more than the dense one, in each trial of paper A's authors.

    Returns
    -------
    DataFrame
        dataset, method ("ft" or "pt"), trial; `difference`, missing where the pruned network never reached the
        benchmark; `printed`: whether it is the trial that the paper prints; `place` among the trials of the dataset and
        method, 1 for the least difference; `chance` that a trial drawn from them has the place 1. Trials whose dense
        network never reached the benchmark are left out.
    """
    rows = select(table, paper="legcnet", whose="authors' files", quantity="epochs")
    rows = rows[(rows.table == "1") | ((rows.table == "2") & (rows.method == "pt"))]  # table 2 repeats FT
    rows = rows.assign(trial=rows.note.str.extract(r"^trial (\d+)", expand=False), printed=rows.published.notna())
    dense = select(rows, method="dense")[["dataset", "trial", "ours"]].dropna()
    found = select(rows, method=["ft", "pt"]).merge(dense, on=["dataset", "trial"], suffixes=("", "_dense"))
    found = found.assign(difference=found.ours - found.ours_dense)
    keys = ["dataset", "method"]
    found["place"] = found.groupby(keys).difference.rank(method="min", na_option="bottom")
    found["chance"] = found.assign(first=found.place == 1).groupby(keys)["first"].transform("mean")
    return found[[*keys, "trial", "difference", "printed", "place", "chance"]]


def spread(values: pd.Series, *, digits: int = 3) -> str:
    """The least and the largest of some numbers, as in "0.25 to 0.95"; one number if they read the same."""
    least, largest = (f"{value:.{digits}g}" for value in (values.min(), values.max()))
    return least if least == largest else f"{least} to {largest}"


def counted(rows: pd.DataFrame, column: Literal["outcome", "verdict"] = "outcome") -> str:
    """How many rows have which word, as in "holds in 3, does not hold in 9 of 12"; words that none has are left out."""
    _need(rows, column)
    counts = rows[column].value_counts()
    words = [word for word in (*OUTCOMES, *VERDICTS) if word in counts]
    return ", ".join(f"{word.replace('_', ' ')} in {counts[word]}" for word in words) + f" of {len(rows)}"


def tell(asked: Mapping[str, pd.DataFrame], words: Callable[[pd.DataFrame], str]) -> str:
    """A Markdown list: each subject and what `words` makes of its rows; without rows it was not run."""
    lines = (f"- {subject}: {words(rows) if len(rows) else NOT_RUN}." for subject, rows in asked.items())
    return "\n".join(lines)


def summary(claims: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One line per claim: in how many cases it has which outcome, and how many runs are behind a case.

    Parameters
    ----------
    claims
        By the claim's name, what `said` or `beyond` returns; without rows the claim was not run.
    """
    lines: dict[str, dict[str, Any]] = {}
    for name, rows in claims.items():
        if rows.empty:
            lines[name] = {**dict.fromkeys(OUTCOMES, ""), "cases": NOT_RUN, "runs per case": ""}
            continue
        _need(rows, "outcome", "n")
        counts = rows.outcome.value_counts()
        lines[name] = {word: int(counts.get(word, 0)) for word in OUTCOMES}
        lines[name] |= {"cases": len(rows), "runs per case": spread(rows.n)}
    return pd.DataFrame(lines).T


def _need(table: pd.DataFrame, *names: str) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        known = ", ".join(table.columns)
        raise ValueError(f"the table has no column {missing[0]!r}{near(missing[0], table.columns)}; it has {known}")
