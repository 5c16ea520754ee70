"""Paper A on MNIST: figures and claims from the raw runs of notebook 05.

The rows that the authors trained on are not released. Their trials cannot be re-run, and our runs are on rows of our
choosing, so that a figure that depends on training cannot be judged from either: it is underspecified. The claims
compare networks with each other on the same rows, and can be tested.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from replication.ledger.cell import Cell
from replication.legcnet import figures
from replication.legcnet.mnist.runs import CONTROLS
from replication.legcnet.verdicts import comparisons

_PRINTED_AS = {"accuracy": "accuracy_printed", "f1": "f1_printed"}
_OPEN = "the rows of mnist.csv are not released"


def cells(raw: pd.DataFrame, content: Mapping[str, Any]) -> list[Cell]:
    """All cells that follow from the raw runs of `05_legcnet_mnist.ipynb`.

    Parameters
    ----------
    raw : DataFrame
        Rows of `legcnet.mnist.runs`: of the authors' trials (study "authors") and of fresh initialisations ("fresh").
    content : mapping
        The result, for its parameters and profile.

    Returns
    -------
    list of Cell
    """
    dataset, profile = content["parameters"]["dataset"], content["profile"]
    theirs, fresh = (raw[raw.study == study] for study in ("authors", "fresh"))
    found = _author_cells(theirs) if len(theirs) else []
    if dataset == "mnist":
        printed = fresh.assign(**{name: fresh[column] for name, column in _PRINTED_AS.items()})
        found += [_open(cell) for cell in figures.fresh_cells(printed, dataset, profile=profile)]
    for method, part in fresh.groupby("method", sort=False):
        for quantity in ("accuracy", "f1", "epochs", "kept"):
            where = {"paper": "legcnet", "table": "fresh", "dataset": dataset, "method": method, "quantity": quantity}
            numbers = figures.summary(figures.values(part, quantity), quantity)
            found.append(Cell(**where, **numbers, profile=profile))
    more = {"budget": content["parameters"]["budget"], "references": CONTROLS}
    return found + comparisons(fresh, dataset, profile=profile, **more)


def _author_cells(runs: pd.DataFrame) -> list[Cell]:
    """Cells of the five trials. Accuracy and F1 are what the authors' scripts print; counts those of their masks."""
    found, printed_trial = [], figures.printed_trial("mnist")
    for table, method, quantity, key, decimals in figures.PRINTED:
        printed = figures.figure(table, "mnist", key)
        name, column = figures.RUN_AS.get(method, method), _PRINTED_AS.get(quantity, quantity)
        if quantity == "kept" and f"{method}_meant" in set(runs.method):
            name = f"{method}_meant"
        for _, row in runs[runs.method == name].iterrows():
            trial, ours = int(row.network), figures.trial_value(row, column)
            more: dict[str, Any] = {}
            if trial == printed_trial:
                more = figures.exact_fields(printed, ours, decimals)
                if quantity != "kept":
                    more |= {"verdict": "underspecified", "note": _OPEN}
                elif more["verdict"] == "outside":
                    more["note"] = f"the released mask has {41_000 - int(row.kept)} weights"
            found.append(figures.author_cell(table, "mnist", method, quantity, ours, trial, **more))
    return found


def _open(cell: Cell) -> Cell:
    """A figure that depends on training; what our runs on our rows say of it stands in the note."""
    values = {name: getattr(cell, name) for name in cell.__dataclass_fields__}
    there = {"within_noise": "within", "outside": "outside"}[cell.verdict]
    note = f"{_OPEN}; on rows of our choosing it lies {there} the range of single runs; {cell.note}"
    return Cell(**values | {"verdict": "underspecified", "note": note})
