"""MNIST's cells of paper A's tables: the authors' trials, fresh initialisations, and one verdict each."""

import pandas as pd

from ccprune import legcnet_cells
from ccprune.legcnet_mnist.runs import CONTROLS
from ccprune.results import Cell
from ccprune.stats import bootstrap_interval, verdict_exact

# The trial whose released PT mask has the printed number of weights.
PRINTED_TRIAL = 3
_PRINTED_AS = {"accuracy": "accuracy_printed", "f1": "f1_printed"}
# Table 3's magnitude figures are dense's own: nothing was retrained.
_RUN_AS = {"magnitude": "magnitude_after"}
_MASK = ("kept", "pruned_pct")  # what a mask says without any training
_OPEN = "the rows of mnist.csv are not released"


def author_cells(rows: pd.DataFrame, *, budget: int) -> list[Cell]:
    """Cells of tables 1 to 3 from the rows of `runs.rerun_authors`, all trials together.

    Accuracy and F1 are what the authors' scripts print (`training.Measures`). Counts are those of the released masks,
    whatever their script applies. A figure that depends on training cannot be judged "not_reproduced" here, because
    the data are not the authors': it is "underspecified" unless identical.
    """
    paper, cells = legcnet_cells.published(), []
    for table, method, quantity, key, decimals in legcnet_cells.PRINTED:
        figure = paper[legcnet_cells.TABLES[table]]["mnist"][key]
        name = _RUN_AS.get(method, method)
        if quantity in _MASK and method in ("ft", "pt"):
            name = f"{method}_meant"
        for row in rows[rows.method == name].itertuples():
            ours, note = float(getattr(row, _PRINTED_AS.get(quantity, quantity))), f"trial {row.network}"
            if quantity == "epochs" and not row.reached:
                ours, note = None, f"{note}; benchmark not reached in {budget} epochs"
            verdict = "not_published"
            if row.network == PRINTED_TRIAL:
                verdict = verdict_exact(figure, ours, decimals=decimals)
                if verdict == "not_reproduced":
                    trained = quantity not in _MASK
                    verdict = "underspecified" if trained else verdict
                    note = f"{note}; {_OPEN if trained else f'the released mask has {41_000 - int(row.kept)} weights'}"
            shown = figure if row.network == PRINTED_TRIAL else None
            cells.append(legcnet_cells.author_cell(table, "mnist", method, quantity, shown, ours, verdict, note))
    return cells


def script_cells(rows: pd.DataFrame) -> list[Cell]:
    """What the authors' script leaves out: accuracy with the whole mask applied, and fc4's weights it should remove."""
    cells = []
    for method in ("ft", "pt"):
        meant = rows[rows.method == f"{method}_meant"].set_index("network")
        for trial, row in meant.iterrows():
            note = f"trial {trial}; all of the mask applied, which the script does not do"
            for quantity, value in (("accuracy", row.accuracy_printed), ("removed_fc4", row.removed_fc4)):
                where = ("mask", "mnist", f"{method}_meant", quantity)
                cells.append(legcnet_cells.author_cell(*where, None, float(value), "not_published", note))
    return cells


def mask_cells(table: pd.DataFrame) -> list[Cell]:
    """Jaccard index of masks from scratch with the released ones, from `runs.masks_from_scratch`."""
    cells = []
    for row in table.itertuples():
        note = f"trial {row.network}; {row.removed} removed, {row.released} released; {row.by_chance:.3f} by chance"
        where = ("mask", "mnist", row.method, "jaccard")
        cells.append(legcnet_cells.author_cell(*where, None, row.jaccard, "not_published", note))
    return cells


def fresh_cells(rows: pd.DataFrame, *, dataset: str, profile: str, budget: int, seed: int = 0) -> list[Cell]:
    """Cells of tables 1 to 3 from the rows of `runs.fresh`, and what the tables do not print.

    On MNIST a published figure is judged as one more run, by what the scripts print. The 5,000 digits are other data,
    with which no figure is compared.
    """
    cells, tables = [], {}
    if dataset == "mnist":
        printed = rows.assign(**{name: rows[column] for name, column in _PRINTED_AS.items()})
        cells = legcnet_cells.fresh_cells(printed, dataset, profile=profile, budget=budget, seed=seed)
    for method, part in rows.groupby("method", sort=False):
        for quantity in ("accuracy", "f1", "epochs", "kept"):
            tables[method, quantity] = bootstrap_interval(part[quantity], seed=seed)
    for (method, quantity), found in tables.items():
        note = "over all test rows" if quantity in _PRINTED_AS else ""
        where = ("legcnet", "fresh", dataset, method, quantity)
        cells.append(Cell.measured(*where, found, profile=profile, note=note))
    return cells


def differences(rows: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """`legcnet_cells.differences` of FT, PT, and PT over all layers, to dense and their controls."""
    return legcnet_cells.differences(rows, seed=seed, controls=CONTROLS)
