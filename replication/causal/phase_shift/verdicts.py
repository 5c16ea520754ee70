"""Paper B's claims on accuracy, from the raw runs of notebook 03: against other methods, and the shape of the drop."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from replication.causal.phase_shift.abrupt import abrupt_robustness, power_at
from replication.causal.phase_shift.change_point import ChangePoint, change_point, one_standard_error
from replication.ledger.cell import Cell
from replication.ledger.claims import higher
from replication.ledger.tabular import mean_fields

#: An accuracy lower than the dense network's by less than this counts as kept: one percentage point.
MARGIN = 0.01
#: What causal pruning is compared with. The paper claims to keep the dense network's accuracy and to beat magnitude
#: pruning over all layers; the others are controls of ours.
REFERENCES = ("magnitude", "dense", "magnitude_layer", "lamp", "squared_updates", "random")
CLAIMED = ("magnitude", "dense")
#: Methods under which the paper claims an abrupt drop.
CLAIMED_DROPS = frozenset({"causal"})
# A change point of fewer sparsities is not fitted.
_FEWEST_POINTS = 6


def cells(raw: pd.DataFrame, content: Mapping[str, Any]) -> list[Cell]:
    """All cells that follow from the raw runs of `03_phase_shift.ipynb`.

    Parameters
    ----------
    raw : DataFrame
        Rows of `causal.runs.curve_row` (study "curves"), of `causal.rewinding.row` (study "protocol_2024") and of
        `causal.runs.stations` (study "stations").
    content : mapping
        The result, for its parameters and profile.

    Returns
    -------
    list of Cell
    """
    used = content["parameters"]
    where = {"paper": "causal", "dataset": used["dataset"], "profile": content["profile"]}
    network = used["architecture"]
    # Each total on its own is another schedule than stations of one path.
    schedule = f"totals-{network}" if used.get("totals") else f"path-{network}"
    curves = raw[raw.study == "curves"]
    found = []
    if len(curves):
        found += curve_cells(curves, f"curve_{schedule}", where)
        found += difference_cells(curves, f"accuracy_{schedule}", where)
        found += mean_cells(curves, f"accuracy_mean_{schedule}", where)
        points = critical_points(curves)
        powers = drop_powers(points, curves)
        found += drop_cells(points, curves, f"abrupt_drop_{schedule}", where, powers)
        names = {"table": f"abrupt_power_{schedule}", "quantity": "power"}
        found += [Cell(**where, **names, method=method, ours=power) for method, power in powers.items()]
        found += chosen_cells(curves, f"chosen_{schedule}", where, used["held_out"])
    rewound = raw[raw.study == "protocol_2024"]
    if len(rewound):
        found += rewound_cells(rewound, network, where)
    stations = raw[raw.study == "stations"]
    if len(stations):
        found += station_cells(stations, f"stations-{network}", where)
    return found


def wide(curves: pd.DataFrame, method: str, value: str) -> pd.DataFrame:
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


def curve_cells(curves: pd.DataFrame, table: str, where: Mapping[str, str]) -> list[Cell]:
    """Test accuracy of every method at every sparsity."""
    return [
        Cell(
            **where,
            table=table,
            method=method,
            sparsity=level,
            quantity="accuracy",
            **mean_fields(part.test_accuracy.tolist()),
        )
        for (method, level), part in curves.groupby(["method", "level"], sort=False)
    ]


def difference_cells(
    curves: pd.DataFrame, table: str, where: Mapping[str, str], *, method: str = "causal"
) -> list[Cell]:
    """Compare the test accuracy of a method with that of each reference at equal sparsity, paired by seed.

    Parameters
    ----------
    curves : DataFrame
        Rows of `runs.curves`.
    table : str
        Table of the cells.
    where : mapping of str to str
        Fields that all cells share: paper, dataset, profile.
    method : str, default "causal"
        The compared method.

    Returns
    -------
    list of Cell
        One per sparsity and reference of `REFERENCES` that was run.
    """
    ours, found = wide(curves, method, "test_accuracy"), []
    for reference in [name for name in REFERENCES if name in set(curves.method)]:
        theirs = wide(curves, reference, "test_accuracy")
        margin = MARGIN if reference == "dense" else None
        kind = "claim" if reference in CLAIMED else "control"
        for level in ours.columns:
            pair = pd.concat([ours[level], theirs[level]], axis=1).dropna().to_numpy()
            numbers = higher(pair[:, 0], pair[:, 1], margin=margin or 0.0)
            names = {"method": method, "reference": reference, "sparsity": level, "quantity": "accuracy"}
            found.append(Cell(**where, table=table, **names, kind=kind, margin=margin, **numbers))
    return found


def mean_cells(curves: pd.DataFrame, table: str, where: Mapping[str, str], *, method: str = "causal") -> list[Cell]:
    """Compare the mean test accuracy of a method over a curve with that of each reference, paired by seed.

    This is one test for a whole curve, with less to correct for than a test at each sparsity. There is none against
    dense, whose accuracy is kept at some sparsities and not at others, and none of a single sparsity.

    Parameters
    ----------
    curves : DataFrame
        Rows of `runs.curves`.
    table : str
        Table of the cells.
    where : mapping of str to str
        Fields that all cells share: paper, dataset, profile.
    method : str, default "causal"
        The compared method.

    Returns
    -------
    list of Cell
        One per reference of `REFERENCES` that was run, except for dense.
    """
    ours, found = wide(curves, method, "test_accuracy").mean(axis=1, skipna=False), []
    references = [name for name in REFERENCES if name in set(curves.method) and name != "dense"]
    for reference in references if curves.level.nunique() > 1 else ():
        theirs = wide(curves, reference, "test_accuracy").mean(axis=1, skipna=False)
        pair = pd.concat([ours, theirs], axis=1).dropna().to_numpy()
        if len(pair):
            names = {"method": method, "reference": reference, "quantity": "accuracy"}
            kind = "claim" if reference in CLAIMED else "control"
            found.append(Cell(**where, table=table, **names, kind=kind, **higher(pair[:, 0], pair[:, 1])))
    return found


def critical_points(curves: pd.DataFrame, *, seed: int = 0) -> dict[str, ChangePoint]:
    """Fit the change point of every pruning method's test accuracy over the logarithm of the density.

    Only seeds that have every sparsity are used.

    Parameters
    ----------
    curves : DataFrame
        Rows of `runs.curves`.
    seed : int, default 0
        Seed of the bootstrap samples.

    Returns
    -------
    dict of ChangePoint
        By method; empty with fewer than six sparsities.
    """
    found = {}
    for method in dict.fromkeys(curves.method):
        table = wide(curves, method, "test_accuracy").dropna()
        if method != "dense" and table.shape[1] >= _FEWEST_POINTS and len(table):
            found[method] = change_point(table.columns.to_numpy(), table.to_numpy(), axis="log_density", seed=seed)
    return found


def drop_powers(points: Mapping[str, ChangePoint], curves: pd.DataFrame) -> dict[str, float]:
    """The power for a steep drop at the critical sparsity of the methods whose drop the paper claims, where known."""
    found = {}
    for method in CLAIMED_DROPS & points.keys():
        table = wide(curves, method, "test_accuracy").dropna()
        power = power_at(points[method], table.columns.to_numpy(), table.to_numpy(), axis="log_density")
        if power is not None:
            found[method] = power
    return found


def drop_cells(
    points: Mapping[str, ChangePoint],
    curves: pd.DataFrame,
    table: str,
    where: Mapping[str, str],
    powers: Mapping[str, float],
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
            table_of = wide(curves, method, "test_accuracy").dropna()
            again = abrupt_robustness(table_of.columns.to_numpy(), table_of.to_numpy(), axis="log_density")
            outcome = "holds" if again.kept == again.fits else "undecided"
            note += f"; abrupt in {again.kept} of {again.fits} re-fits without an end point or a run"
        if method in powers:
            note += f"; power for a steep drop there {100 * powers[method]:.0f}%"
        ends = (point.low, point.high) if runs > 1 else (None, None)  # one run shows no spread
        numbers = {"ours": point.critical_sparsity, "ci_low": ends[0], "ci_high": ends[1], "n": runs}
        p_value = max(point.p_line, point.p_smooth)
        names = {"table": table, "method": method, "quantity": "critical_sparsity"}
        found.append(Cell(**where, **names, kind=kind, **numbers, p_value=p_value, outcome=outcome, note=note))
    return found


def chosen(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the sparsity that the one-standard-error rule chooses on held-out images, for each pruning method.

    Parameters
    ----------
    curves : DataFrame
        Rows of `runs.curves`.

    Returns
    -------
    DataFrame
        One row per method: sparsity, test_accuracy there (mean over seeds), and dense (test accuracy of dense after the
        same steps, NaN where dense was not run).
    """
    rows = {}
    dense = wide(curves, "dense", "test_accuracy")
    for method in dict.fromkeys(curves.method):
        if method != "dense":
            held = wide(curves, method, "valid_accuracy").dropna()
            level = one_standard_error(held.columns.to_numpy(), held.to_numpy())
            rows[method] = {
                "sparsity": level,
                "test_accuracy": wide(curves, method, "test_accuracy")[level].mean(),
                "dense": dense[level].mean() if level in dense else float("nan"),
            }
    return pd.DataFrame(rows).T


def chosen_cells(curves: pd.DataFrame, table: str, where: Mapping[str, str], held_out: int) -> list[Cell]:
    """`chosen` as cells."""
    note = f"chosen on {held_out} held-out images by the one-standard-error rule"
    found = []
    for method, row in chosen(curves).iterrows():
        for quantity, value in (("chosen_sparsity", row.sparsity), ("accuracy_there", row.test_accuracy)):
            names = {"table": table, "method": method, "quantity": quantity, "note": note}
            found.append(Cell(**where, **names, ours=float(value), n=1 if quantity == "chosen_sparsity" else None))
    return found


def rewound_cells(rows: pd.DataFrame, network: str, where: Mapping[str, str]) -> list[Cell]:
    """Accuracy of the networks trained under the masks of the paper's own protocol, and causal's differences to them.

    All masks of a seed keep as many weights as causal's, so that these are comparisons at equal count. The paper's
    baseline is iterative magnitude pruning; magnitude at once is a control.
    """
    found, accuracies = [], rows.pivot(index="seed", columns="method", values="test_accuracy")
    sparsity = float(rows[rows.method == "causal"].sparsity.mean())
    for method, part in rows.groupby("method", sort=False):
        names = {"table": f"protocol_2024-{network}", "method": method, "quantity": "accuracy"}
        level = 0.0 if method == "dense" else sparsity
        found.append(Cell(**where, **names, sparsity=level, **mean_fields(part.test_accuracy.tolist())))
    for reference in [name for name in accuracies if name != "causal"]:
        pair = accuracies[["causal", reference]].dropna().to_numpy()
        margin = MARGIN if reference == "dense" else None
        kind = "claim" if reference in ("dense", "iterative_magnitude") else "control"
        names = {
            "table": f"accuracy_protocol_2024-{network}",
            "method": "causal",
            "reference": reference,
            "quantity": "accuracy",
        }
        numbers = higher(pair[:, 0], pair[:, 1], margin=margin or 0.0)
        found.append(Cell(**where, **names, sparsity=sparsity, kind=kind, margin=margin, **numbers))
    return found


def station_cells(rows: pd.DataFrame, table: str, where: Mapping[str, str]) -> list[Cell]:
    """Test accuracy of causal minus magnitude at one total, by number of stations and epochs between prunings."""
    found = []
    for (stations, between, level), part in rows.groupby(["stations", "between", "level"]):
        pair = part.pivot(index="seed", columns="method", values="test_accuracy")[["causal", "magnitude"]].dropna()
        quantity = f"accuracy, {int(stations)} stations, {int(between)} epochs between"
        names = {"method": "causal", "reference": "magnitude", "sparsity": level, "quantity": quantity}
        numbers = higher(pair.causal, pair.magnitude)
        found.append(Cell(**where, table=table, **names, kind="control", **numbers))
    return found


def sentence(points: Mapping[str, ChangePoint], differences: Sequence[Cell], *, dataset: str, architecture: str) -> str:
    """Return a sentence on claims 1 and 2 on one data set: accuracy against the references, and the abrupt drop.

    Parameters
    ----------
    points : mapping of str to ChangePoint
        Result of `critical_points`.
    differences : sequence of Cell
        Result of `difference_cells`.
    dataset, architecture : str
        Data set and network of the run.

    Returns
    -------
    str
    """
    parts, runs = [], max(cell.n for cell in differences)
    for reference in dict.fromkeys(cell.reference for cell in differences):
        chosen_ = [cell for cell in differences if cell.reference == reference]
        furthest = max(chosen_, key=lambda cell: abs(cell.ours))
        if runs == 1:  # one seed has no interval, so nothing is shown to be better or worse
            words = f"higher at {sum(c.ours > 0 for c in chosen_)} and lower at {sum(c.ours < 0 for c in chosen_)}"
        else:
            better = sum(cell.ci_low is not None and cell.ci_low > 0 for cell in chosen_)
            worse = sum(cell.ci_high is not None and cell.ci_high < 0 for cell in chosen_)
            words = f"better at {better} and worse at {worse}"
        parts.append(
            f"against {reference} {words} of {len(chosen_)} sparsities (furthest {furthest.ours:+.3f} at "
            f"{furthest.sparsity:g})"
        )
    causal = points.get("causal")
    if causal is None:
        where = "too few sparsities to fit a change point"
    elif causal.critical_sparsity is None:
        where = "its accuracy never bends down"
    else:
        interval = "" if causal.low is None else f" [{round(causal.low, 3):g}, {round(causal.high, 3):g}]"
        shape = "abrupt by these runs" if causal.abrupt else "not shown to be abrupt"
        where = f"its critical sparsity is {causal.critical_sparsity:.3f}{interval}, {shape}"
    seeds = f"{runs} seeds" if runs > 1 else "one seed (no interval over seeds)"
    return f"{dataset}, {architecture}, {seeds}: accuracy of causal pruning {'; '.join(parts)}; {where}."
