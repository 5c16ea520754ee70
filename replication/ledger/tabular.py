"""Cells from tables: a table's columns are fields of the cells."""

from collections.abc import Mapping
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
    value : str
    **fields
        Fields that all cells share.

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
