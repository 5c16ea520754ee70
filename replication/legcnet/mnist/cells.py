"""What notebook 05 measures on MNIST beside the runs that `replication.reporting.judging` concludes from."""

import pandas as pd

from replication.ledger import Cell
from replication.legcnet.figures import author_cell


def script_cells(rows: pd.DataFrame) -> list[Cell]:
    """Return what the authors' script leaves out: accuracy with the whole mask applied, and the weights of fc4 it
    removes.

    Parameters
    ----------
    rows : DataFrame
        Rows of `runs.rerun_authors`, all trials together.

    Returns
    -------
    list of Cell
        Accuracy and number of removed weights for each of FT and PT and each trial.
    """
    cells = []
    for method in ("ft", "pt"):
        meant = rows[rows.method == f"{method}_meant"].set_index("network")
        for trial, row in meant.iterrows():
            note = "all of the mask applied, which the script does not do"
            for quantity, value in (("accuracy", row.accuracy_printed), ("removed_fc4", row.removed_fc4)):
                where = ("mask", "mnist", f"{method}_meant", quantity)
                cells.append(author_cell(*where, float(value), int(trial), note=note))
    return cells


def mask_cells(table: pd.DataFrame) -> list[Cell]:
    """Return the Jaccard index of masks from scratch with the released ones.

    Parameters
    ----------
    table : DataFrame
        Rows of `runs.masks_from_scratch`.

    Returns
    -------
    list of Cell
        One per trial and method.
    """
    cells = []
    for row in table.itertuples():
        note = f"{row.removed} removed, {row.released} released; {row.by_chance:.3f} by chance"
        cells.append(author_cell("mask", "mnist", row.method, "jaccard_pruned", row.jaccard, row.network, note=note))
    return cells
