"""Tables of the phase shift: the runs of its studies, the fitted points, and the claims that follow from the runs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from replication.causal.phase_shift.change_point import ChangePoint
from replication.causal.phase_shift.verdicts import cells
from replication.ledger.tabular import cell_table

_POINT = ["critical_sparsity", "low", "high", "shape", "lost_before", "p_line", "p_smooth", "delta_bic", "abrupt"]
_CLAIM = ["table", "method", "reference", "quantity", "sparsity", "kind", "ours", "ci_low", "ci_high", "margin"]
_CLAIM += ["p_value", "outcome", "detectable", "note"]


def raw_runs(**studies: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of all studies as one table.

    Parameters
    ----------
    **studies : DataFrame
        Runs by the name of their study: curves, stations or protocol_2024 (see `cells`). Empty if it was omitted.

    Returns
    -------
    DataFrame
        All rows, with the column study.
    """
    found = [runs.assign(study=study) for study, runs in studies.items() if len(runs)]
    return pd.concat(found, ignore_index=True)


def claims_table(study: str, runs: pd.DataFrame, parameters: Mapping[str, Any]) -> pd.DataFrame:
    """Return the claims and controls that follow from the runs of one study.

    Parameters
    ----------
    study : str
        Name of the study, as for `raw_runs`.
    runs : DataFrame
        Its runs.
    parameters : mapping of str to value
        Parameters dataset, architecture, totals, held_out and profile of the lesson.

    Returns
    -------
    DataFrame
        One row for each claim or control, with those fields of its `Cell` that the lesson explains.
    """
    content = {"parameters": parameters, "profile": parameters["profile"]}
    return cell_table(cells(raw_runs(**{study: runs}), content), ("claim", "control"))[_CLAIM]


def point_table(points: Mapping[str, ChangePoint]) -> pd.DataFrame:
    """Return the fitted critical sparsities, and the tests of an abrupt drop there.

    Parameters
    ----------
    points : mapping of str to ChangePoint
        By method, see `critical_points`.

    Returns
    -------
    DataFrame
        One row for each method. The columns are attributes of `ChangePoint`.
    """
    return pd.DataFrame({name: {field: getattr(point, field) for field in _POINT} for name, point in points.items()}).T
