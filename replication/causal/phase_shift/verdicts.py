"""Paper B's claims on accuracy, from the raw runs of notebook 03: against other methods, and the shape of the drop."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from replication.causal.phase_shift.choice import one_standard_error
from replication.causal.phase_shift.drops import critical_points, drop_cells, drop_powers, pivot_curves
from replication.ledger.cell import Cell
from replication.ledger.claims import higher
from replication.ledger.tabular import mean_fields

#: An accuracy lower than the dense network's by less than this counts as kept: one percentage point.
MARGIN = 0.01
#: What causal pruning is compared with. The paper claims to keep the dense network's accuracy and to beat magnitude
#: pruning over all layers; the others are controls of ours.
REFERENCES = ("magnitude", "dense", "magnitude_layer", "lamp", "squared_updates", "random")
CLAIMED = ("magnitude", "dense")


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
        names = where | {"table": f"abrupt_power_{schedule}", "quantity": "power"}
        found += [Cell.from_interval(**names, method=method, interval=power) for method, power in powers.items()]
        found += chosen_cells(curves, f"chosen_{schedule}", where, used["held_out"])
    rewound = raw[raw.study == "protocol_2024"]
    if len(rewound):
        found += rewound_cells(rewound, network, where)
    stations = raw[raw.study == "stations"]
    if len(stations):
        found += station_cells(stations, f"stations-{network}", where)
    return found


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


def difference_cells(curves: pd.DataFrame, table: str, where: Mapping[str, str]) -> list[Cell]:
    """Compare the test accuracy of causal pruning with that of each reference at equal sparsity, paired by seed.

    Parameters
    ----------
    curves : DataFrame
        Rows of `runs.curves`.
    table : str
        Table of the cells.
    where : mapping of str to str
        Fields that all cells share: paper, dataset, profile.

    Returns
    -------
    list of Cell
        One per sparsity and reference of `REFERENCES` that was run.
    """
    ours, found = pivot_curves(curves, "causal", "test_accuracy"), []
    for reference in [name for name in REFERENCES if name in set(curves.method)]:
        theirs = pivot_curves(curves, reference, "test_accuracy")
        names = {"table": table, "method": "causal", "reference": reference}
        for level in ours.columns:
            found += _comparison(ours[level], theirs[level], CLAIMED, **where, **names, sparsity=level)
    return found


def mean_cells(curves: pd.DataFrame, table: str, where: Mapping[str, str]) -> list[Cell]:
    """Compare the mean test accuracy of causal pruning over a curve with that of each reference, paired by seed.

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

    Returns
    -------
    list of Cell
        One per reference of `REFERENCES` that was run, except for dense.
    """
    ours, found = pivot_curves(curves, "causal", "test_accuracy").mean(axis=1, skipna=False), []
    references = [name for name in REFERENCES if name in set(curves.method) and name != "dense"]
    for reference in references if curves.level.nunique() > 1 else ():
        theirs = pivot_curves(curves, reference, "test_accuracy").mean(axis=1, skipna=False)
        found += _comparison(ours, theirs, CLAIMED, **where, table=table, method="causal", reference=reference)
    return found


def _comparison(ours: pd.Series, theirs: pd.Series, claimed: Collection[str], **names: Any) -> list[Cell]:
    """Compare accuracies paired by seed, unless no seed has both. Only against dense they may be lower by `MARGIN`."""
    pair = pd.concat([ours, theirs], axis=1).dropna().to_numpy()
    if not len(pair):
        return []
    margin = MARGIN if names["reference"] == "dense" else None
    kind = "claim" if names["reference"] in claimed else "control"
    numbers = higher(pair[:, 0], pair[:, 1], margin=margin or 0.0)
    return [Cell(**{"quantity": "accuracy"} | names, kind=kind, margin=margin, **numbers)]


def chosen_sparsities(curves: pd.DataFrame) -> pd.DataFrame:
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
    dense = pivot_curves(curves, "dense", "test_accuracy")
    for method in dict.fromkeys(curves.method):
        if method != "dense":
            held = pivot_curves(curves, method, "valid_accuracy").dropna()
            level = one_standard_error(held.columns.to_numpy(), held.to_numpy())
            rows[method] = {
                "sparsity": level,
                "test_accuracy": pivot_curves(curves, method, "test_accuracy")[level].mean(),
                "dense": dense[level].mean() if level in dense else float("nan"),
            }
    return pd.DataFrame(rows).T


def chosen_cells(curves: pd.DataFrame, table: str, where: Mapping[str, str], held_out: int) -> list[Cell]:
    """`chosen_sparsities` as cells."""
    note = f"chosen on {held_out} held-out images by the one-standard-error rule"
    found = []
    for method, row in chosen_sparsities(curves).iterrows():
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
    claimed = ("dense", "iterative_magnitude")
    for reference in [name for name in accuracies if name != "causal"]:
        names = {"table": f"accuracy_protocol_2024-{network}", "method": "causal", "reference": reference}
        found += _comparison(accuracies.causal, accuracies[reference], claimed, **where, **names, sparsity=sparsity)
    return found


def station_cells(rows: pd.DataFrame, table: str, where: Mapping[str, str]) -> list[Cell]:
    """Test accuracy of causal minus magnitude at one total, by number of stations and epochs between prunings."""
    found = []
    for (stations, between, level), part in rows.groupby(["stations", "between", "level"]):
        accuracies = part.pivot(index="seed", columns="method", values="test_accuracy")
        quantity = f"accuracy, {int(stations)} stations, {int(between)} epochs between"
        names = {"table": table, "method": "causal", "reference": "magnitude", "sparsity": level, "quantity": quantity}
        found += _comparison(accuracies.causal, accuracies.magnitude, (), **where, **names)
    return found
