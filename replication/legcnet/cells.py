"""Paper A's measurements beside its tables, as cells: tables of the lessons in, cells out."""

from collections.abc import Mapping

import pandas as pd
from torch import Tensor

from ccprune.stats import mean_interval
from replication.ledger import Cell, row_cells
from replication.legcnet.figures import author_cell


def lesson_cells(overlap: Mapping[str, Tensor], *, samples: int, dataset: str, profile: str) -> list[Cell]:
    """Return the cells of lesson 01 that do not follow from its raw runs.

    Parameters
    ----------
    overlap : mapping of str to Tensor (trials,)
        Jaccard index of the removed weights, of masks derived from scratch with the released ones, by method. The
        paper states none.
    samples : int
        Size of the test part. The accuracy of a single network cannot show a difference below one sample.
    dataset, profile : str

    Returns
    -------
    list of Cell
        Last, the share of the accuracy that one sample has.
    """
    cells = [
        author_cell("mask", dataset, method, "jaccard_pruned", value, trial)
        for method, values in overlap.items()
        for trial, value in enumerate(values.tolist(), start=1)
    ]
    where = {"paper": "legcnet", "table": "resolution", "dataset": dataset, "method": "test part"}
    more = {"quantity": "accuracy_of_one_sample", "ours": 1 / samples, "n": samples, "profile": profile}
    return [*cells, Cell(**where, **more)]


def trajectory_cells(
    growth: pd.DataFrame,
    spread: Mapping[str, Tensor],
    *,
    delta: float,
    dataset: str,
    networks: int,
    seed: int,
    profile: str,
) -> list[Cell]:
    """Return how fast shifted runs separate, and the windowed exponents beside that.

    Parameters
    ----------
    growth : DataFrame
        A row for each half of training; columns "network, per epoch", low, high, "linear model".
    spread : dict of Tensor (networks, windows, weights)
        Exponents by setting.
    delta : float
        Shift of one run's weights from the other's.
    dataset : str
        Name of the data set.
    networks : int
        Number of networks behind `growth`.
    seed : int
        Seed of the intervals' resamples.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    where = {"paper": "legcnet", "dataset": dataset, "method": "dense", "profile": profile}
    halves = growth.rename(columns={"network, per epoch": "ours", "low": "ci_low", "high": "ci_high"})
    halves = halves.assign(
        quantity="growth_per_epoch_" + halves.index.str.replace(" ", "_"),
        note=[f"linear control {control:.3g}; shift {delta:g}" for control in halves["linear model"]],
        n=networks,
    )[["quantity", "ours", "ci_low", "ci_high", "n", "note"]]
    cells = row_cells(halves, **where, table="sensitive_dependence")
    for name, values in spread.items():
        quantity = "exponent_" + name.replace(", ", "_").replace(" ", "_").replace("=", "").replace("..", "_to_")
        found = mean_interval(values.mean((1, 2)).numpy(), seed=seed)
        more = {"table": "windowed_exponent", "quantity": quantity, "interval": found, "note": "per step"}
        cells.append(Cell.from_interval(**where, **more))
    return cells
