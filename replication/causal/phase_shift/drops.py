"""The drop of accuracy along a curve: the critical sparsity of each method, and whether the drop there is abrupt."""

from collections.abc import Mapping

import pandas as pd

from ccprune.stats import Interval
from replication.causal.phase_shift.abrupt import abrupt_robustness, power_at
from replication.causal.phase_shift.change_point import FEWEST_POINTS, ChangePoint, change_point
from replication.ledger.cell import Cell
from replication.ledger.paired import share_interval

#: Methods under which the paper claims an abrupt drop.
CLAIMED_DROPS = frozenset({"causal"})
#: Simulated curves for the power of one curve.
SIMULATIONS = 40


def pivot_curves(curves: pd.DataFrame, method: str, value: str) -> pd.DataFrame:
    """Return one method's curves with a row per seed and a column per sparsity.

    Parameters
    ----------
    curves : DataFrame
        Rows of `runs.curves`.
    method : str
        Name of the method.
    value : str
        Column of the wanted values, such as "test_accuracy".

    Returns
    -------
    DataFrame (seeds, levels)
    """
    return curves[curves.method == method].pivot(index="seed", columns="level", values=value)


def critical_points(curves: pd.DataFrame) -> dict[str, ChangePoint]:
    """Fit the change point of every pruning method's test accuracy over the logarithm of the density.

    Only seeds that have every sparsity are used.

    Parameters
    ----------
    curves : DataFrame
        Rows of `runs.curves`.

    Returns
    -------
    dict of ChangePoint
        By method; empty with fewer than six sparsities.
    """
    found = {}
    for method in dict.fromkeys(curves.method):
        table = pivot_curves(curves, method, "test_accuracy").dropna()
        if method != "dense" and table.shape[1] >= FEWEST_POINTS and len(table):
            found[method] = change_point(table.columns.to_numpy(), table.to_numpy(), axis="log_density")
    return found


def drop_powers(points: Mapping[str, ChangePoint], curves: pd.DataFrame) -> dict[str, Interval]:
    """Estimate the power for the drop of each method whose drop the paper claims, as `power_at`.

    Parameters
    ----------
    points : mapping of str to ChangePoint
        Result of `critical_points`.
    curves : DataFrame
        Rows of `runs.curves`.

    Returns
    -------
    dict of Interval
        By method, where the power can be estimated, with the exact 95% interval over the simulations.
    """
    found = {}
    for method in [name for name in points if name in CLAIMED_DROPS]:
        table = pivot_curves(curves, method, "test_accuracy").dropna()
        options = {"axis": "log_density", "simulations": SIMULATIONS}
        power = power_at(points[method], table.columns.to_numpy(), table.to_numpy(), **options)
        if power is not None:
            found[method] = share_interval(round(power * SIMULATIONS), SIMULATIONS)
    return found


def drop_cells(
    points: Mapping[str, ChangePoint],
    curves: pd.DataFrame,
    table: str,
    where: Mapping[str, str],
    powers: Mapping[str, Interval],
) -> list[Cell]:
    """The critical sparsity of every method, and whether the drop there is abrupt.

    "Abrupt" holds where `change_point` finds it and every re-fit without an end point or without a run finds it too;
    else it is undecided: a drop whose shape these runs cannot tell from a smooth one is not shown to be smooth.
    p is the larger of those against a straight line and against smooth curves. The notes have the `drop_powers`.
    """
    found, runs = [], curves.seed.nunique()
    for method, point in points.items():
        kind = "claim" if method in CLAIMED_DROPS else "control"
        outcome, note = "undecided", f"{point.shape}; BIC of smooth less abrupt curves {point.delta_bic:.1f}"
        if point.lost_before is not None:
            note += f"; {100 * point.lost_before:.0f}% of the fall comes before"
        if point.abrupt:
            table_of = pivot_curves(curves, method, "test_accuracy").dropna()
            again = abrupt_robustness(table_of.columns.to_numpy(), table_of.to_numpy(), axis="log_density")
            outcome = "holds" if again.kept == again.fits else "undecided"
            note += f"; abrupt in {again.kept} of {again.fits} re-fits without an end point or a run"
        if method in powers:
            note += f"; power for a straight fall from there to the last sparsity {100 * powers[method].estimate:.0f}%"
        ends = (point.low, point.high) if runs > 1 else (None, None)  # one run shows no spread
        numbers = {"ours": point.critical_sparsity, "ci_low": ends[0], "ci_high": ends[1], "n": runs}
        p_value = max(point.p_line, point.p_smooth)
        names = {"table": table, "method": method, "quantity": "critical_sparsity"}
        found.append(Cell(**where, **names, kind=kind, **numbers, p_value=p_value, outcome=outcome, note=note))
    return found
