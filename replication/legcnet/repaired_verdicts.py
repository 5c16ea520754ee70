"""Paper A's rankings of weights, by its test and by repaired tests, from the raw runs of notebook 15."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ccprune.stats import mean_interval
from replication.ledger.cell import Cell
from replication.ledger.claims import fewer_epochs, higher
from replication.legcnet.repaired import RANDOM, TESTS

#: The table of each way in which masks are matched.
TABLES = {"count": "repaired", "operations": "repaired_operations"}


def cells(raw: pd.DataFrame, content: Mapping[str, Any]) -> list[Cell]:
    """All cells that follow from the raw runs of `15_legcnet_repaired.ipynb`.

    Parameters
    ----------
    raw : DataFrame
        Rows of `repaired.runs` (study "repaired").
    content : mapping
        The result, for its parameters and profile.

    Returns
    -------
    list of Cell
    """
    runs = raw[raw.study == "repaired"]
    dataset, profile = content["parameters"]["dataset"], content["profile"]
    return control_cells(runs, dataset, profile=profile) + alone_cells(runs, dataset, profile=profile)


def control_cells(runs: pd.DataFrame, dataset: str, *, profile: str) -> list[Cell]:
    """Compare each ranking with random masks and with magnitude: accuracy and, at equal counts, epochs.

    Accuracy is compared with the mean over a network's random masks, epochs with the first of them: a mean of epochs
    would hide the networks that never reach the benchmark. The random row itself is the first mask.

    Parameters
    ----------
    runs : DataFrame
        Rows of `repaired.runs`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    found = []
    for (matched, share), part in runs[runs.share > 0].groupby(["matched", "share"], sort=False):
        accuracy = part.pivot(index="network", columns="ranking", values="accuracy")
        epochs = part.assign(epochs=part.epochs.astype(float).where(part.reached.astype(bool), np.inf))
        epochs = epochs.pivot(index="network", columns="ranking", values="epochs")
        accuracy["random"], epochs["random"] = accuracy[list(RANDOM)].mean(axis=1), epochs[RANDOM[0]]
        where = {"paper": "legcnet", "table": TABLES[matched], "dataset": dataset, "sparsity": share}
        where |= {"kind": "control", "profile": profile}
        for ranking in [name for name in accuracy if name not in RANDOM]:
            for reference in [name for name in ("random", "magnitude") if name != ranking]:
                pair = {"method": ranking, "reference": reference}
                numbers = higher(accuracy[ranking], accuracy[reference])
                found.append(Cell(**where, **pair, quantity="accuracy", **numbers))
            if matched == "count" and ranking != "random":
                numbers = fewer_epochs(epochs[ranking], epochs["random"])
                pair = {"method": ranking, "reference": "random"}
                found.append(Cell(**where, **pair, quantity="epochs", **numbers))
    return found


def alone_cells(runs: pd.DataFrame, dataset: str, *, profile: str) -> list[Cell]:
    """Share of the weights that each test prunes by itself at level 0.05, without and with Benjamini-Hochberg."""
    found = []
    weights = int(runs[runs.ranking == "dense"].kept.iloc[0])
    part = runs[(runs.matched == "count") & (runs.share == runs.share[runs.share > 0].min())]
    for test in TESTS:
        rows = part[part.ranking == test]
        for quantity in ("pruned_alone", "pruned_alone_corrected"):
            interval = mean_interval(rows[quantity].astype(float) / weights)
            where = ("legcnet", "repaired_alone", dataset, test, f"share_{quantity}")
            found.append(Cell.from_interval(*where, interval, profile=profile))
    return found
