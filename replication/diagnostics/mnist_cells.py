"""Cells of lesson 05 that do not follow from its raw runs, which `replication.reporting.judging` concludes from."""

from collections.abc import Sequence

import pandas as pd

from replication.diagnostics import mnist_alpha
from replication.ledger import Cell
from replication.legcnet.figures import author_cell
from replication.legcnet.mnist import assumptions
from replication.legcnet.mnist.runs import Outcome


def lesson_cells(
    compared: pd.DataFrame | None,
    rounded: pd.DataFrame | None,
    trials: Sequence[Outcome],
    scratch: pd.DataFrame | None,
    spectra: pd.DataFrame,
    separation: pd.DataFrame,
    *,
    dataset: str,
    profile: str,
    seed: int = 0,
) -> list[Cell]:
    """Return the cells of the lesson's tables. A table of an omitted part is None.

    Parameters
    ----------
    compared : DataFrame or None
        As from `legcnet.mnist.assumptions.dense_runs`.
    rounded : DataFrame or None
        As from `legcnet.mnist.assumptions.rounding`.
    trials : sequence of Outcome
        As from `legcnet.mnist.runs.rerun_authors`; empty if omitted.
    scratch : DataFrame or None
        As from `legcnet.mnist.runs.masks_from_scratch`.
    spectra, separation : DataFrame
        As from `mnist_alpha.alphas` of fresh networks, and `mnist_alpha.separation`.
    dataset, profile : str
    seed : int, default 0
        Seed of the intervals' resamples.

    Returns
    -------
    list of Cell
    """
    where = {"dataset": dataset, "profile": profile}
    cells = [] if compared is None else assumptions.cells(compared, **where)
    cells += [] if rounded is None else assumptions.rounding_cells(rounded, **where)
    if trials:
        cells += script_cells(pd.concat([trial.rows for trial in trials], ignore_index=True))
        cells += mnist_alpha.author_cells(pd.concat(map(mnist_alpha.alphas, trials), ignore_index=True))
    cells += [] if scratch is None else mask_cells(scratch)
    cells += mnist_alpha.fresh_cells(spectra, seed=seed, **where)
    return cells + mnist_alpha.separation_cells(separation, **where)


def script_cells(rows: pd.DataFrame) -> list[Cell]:
    """What the authors' script leaves out: accuracy with the whole mask applied, and fc4's weights it should remove."""
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
    """Jaccard index of masks from scratch with the released ones, from `runs.masks_from_scratch`."""
    cells, quantity = [], "jaccard_pruned"
    for row in table.itertuples():
        note = f"{row.removed} removed, {row.released} released; {row.by_chance:.3f} by chance"
        cells.append(author_cell("mask", "mnist", row.method, quantity, row.jaccard_pruned, row.network, note=note))
    return cells
