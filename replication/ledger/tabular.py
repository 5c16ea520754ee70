"""Cells from tables and tables from cells: a table's columns are fields of the cells."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING, Any

from ccprune.stats import student_interval
from replication.ledger.cell import Cell

if TYPE_CHECKING:
    import pandas as pd


def row_cells(rows: "pd.DataFrame", /, **fields: Any) -> list[Cell]:
    """Return one cell for each row.

    Parameters
    ----------
    rows : DataFrame
        Columns, and levels of the index that have a name, are fields of `Cell`. Missing values leave a field out.
    **fields
        Fields that all cells share.

    Returns
    -------
    list of Cell
        In the order of the rows.

    Raises
    ------
    ValueError, TypeError
        As `Cell`.
    """
    named = [name for name in rows.index.names if name is not None]
    records = (rows.reset_index(level=named) if named else rows).to_dict("records")
    return [Cell(**fields, **_present_fields(record)) for record in records]


def sample_cells(samples: "pd.DataFrame", value: str = "value", /, **fields: Any) -> list[Cell]:
    """Return one cell for each group of runs: their mean with Student's 95% interval, of a single run its value.

    Parameters
    ----------
    samples : DataFrame
        One row per run. The column `value` is the measured number; all other columns are fields of `Cell`, and rows
        that agree in them are the runs of one cell. Cells have the order in which the groups first occur.
    value : str, default "value"
        Column of the measured number.
    **fields
        Fields that all cells share.

    Returns
    -------
    list of Cell

    Raises
    ------
    ValueError, TypeError
        As `Cell`, and for a value that is not finite.
    """
    by = [name for name in samples.columns if name != value]
    found = []
    for key, part in samples.groupby(by, sort=False, dropna=False):
        own = _present_fields(dict(zip(by, key, strict=True)))
        found.append(Cell(**fields, **own, **mean_fields(part[value].to_numpy(float))))
    return found


def cell_table(cells: Iterable[Cell], kinds: Iterable[str] | None = None) -> "pd.DataFrame":
    """Return a table with one row for each cell and one column for each field.

    Parameters
    ----------
    cells : iterable of Cell
    kinds : iterable of str, optional
        Kinds of the cells that are listed, such as ("claim", "control"). By default all are.

    Returns
    -------
    DataFrame
        In the order of the cells. Without cells it has no rows and all columns.
    """
    import pandas as pd

    rows = [vars(cell) for cell in cells if kinds is None or cell.kind in kinds]
    return pd.DataFrame(rows, columns=[one.name for one in dataclass_fields(Cell)])


def count_outcomes(outcomes: Iterable[str]) -> str:
    """Return a sentence that counts the outcomes of claims and controls, the most frequent first.

    Parameters
    ----------
    outcomes : iterable of str
        Values of `Cell.outcome`, such as the column of a table.

    Returns
    -------
    str
        Markdown, such as "Outcomes: 5 *holds*, 2 *does not hold*."
    """
    counts = Counter(outcomes).most_common()
    return "Outcomes: " + ", ".join(f"{count} *{name.replace('_', ' ')}*" for name, count in counts) + "."


def list_skipped(has_run: Mapping[str, bool], why: str = "not run in this profile") -> list[dict[str, str]]:
    """Return the entries of a result file for the parts of a lesson that did not run.

    Parameters
    ----------
    has_run : mapping of str to bool
        For each part, such as "the authors' five trials on MNIST", whether it ran.
    why : str, default "not run in this profile"
        The reason that all omitted parts share.

    Returns
    -------
    list of dict
        For `write(skipped=...)`.
    """
    return [{"what": part, "why": why} for part, ran in has_run.items() if not ran]


def mean_fields(values: Any) -> dict[str, float | int]:
    """Return the mean of values (n,) with Student's 95% interval as fields of a cell, of a single value it alone."""
    if len(values) == 1:
        return {"ours": float(values[0]), "n": 1}
    found = student_interval(values)
    return {"ours": found.estimate, "ci_low": found.low, "ci_high": found.high, "n": found.n}


def _present_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are not missing, with NumPy's scalars as Python's."""
    import pandas as pd

    plain = {name: value.item() if hasattr(value, "item") else value for name, value in record.items()}
    return {name: value for name, value in plain.items() if not pd.isna(value)}
