"""Cells of the follow-up's runs: accuracies by each way to choose the epoch, methods and schedules compared."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from replication.causal.follow_up.fits import FITS
from replication.ledger.cell import Cell
from replication.ledger.claims import higher
from replication.ledger.tabular import mean_fields

#: What each fit is compared with at the same schedule, number of weights and epochs.
REFERENCES = ("fisher", "magnitude", "random")
#: Ways to choose the epoch whose test accuracy counts. The authors' figures are best on test.
ACCURACIES = {
    "best_on_test": "accuracy, best epoch on test",
    "chosen_on_validation": "accuracy, epoch chosen on held-out images",
    "last_epoch": "accuracy, last epoch",
    "before_final": "accuracy before the last training",
}
_FAIR = "chosen_on_validation"


def cells(raw: pd.DataFrame, content: Mapping[str, Any]) -> list[Cell]:
    """Return all cells that follow from the rows of `runs.follow_up_runs`.

    Parameters
    ----------
    raw : DataFrame
        The rows. A run that ended early, because a fit had no coefficients, is in no cell of accuracy.
    content : mapping
        The result, for its parameters dataset and architecture, and its profile.

    Returns
    -------
    list of Cell
        The measurements of accuracy; controls of each fit against `REFERENCES` at the same schedule; and controls of
        the cubic against the geometric schedule for the same method. Differences are paired by seed, with the epoch
        chosen on held-out images.
    """
    used = content["parameters"]
    where = {"paper": "causal", "dataset": used["dataset"], "profile": content["profile"]}
    rows = raw.assign(schedule=raw["schedule"].fillna(""))
    return [
        *_accuracies(rows, where | {"table": f"follow_up-{used['architecture']}"}),
        *_fits(rows, where | {"table": f"accuracy_follow_up-{used['architecture']}"}),
        *_schedules(rows, where | {"table": f"schedule_follow_up-{used['architecture']}"}),
    ]


def _accuracies(rows: pd.DataFrame, where: Mapping[str, str]) -> Iterator[Cell]:
    for (method, schedule, total), part in rows.groupby(["method", "schedule", "total"], sort=False):
        label = f"{method}, {schedule}" if schedule else method
        for column, quantity in ACCURACIES.items():
            values = part[column].dropna().tolist()
            if values:
                yield Cell(**where, method=label, sparsity=float(total), quantity=quantity, **mean_fields(values))


def _fits(rows: pd.DataFrame, where: Mapping[str, str]) -> Iterator[Cell]:
    pruned = rows[rows.method != "dense"]
    for (schedule, total), part in pruned.groupby(["schedule", "total"], sort=False):
        table = part.pivot(index="seed", columns="method", values=_FAIR)
        for method in [name for name in FITS if name in table]:
            for reference in [name for name in REFERENCES if name in table]:
                yield from _difference(table, method, reference, where, f", {schedule}", float(total))


def _schedules(rows: pd.DataFrame, where: Mapping[str, str]) -> Iterator[Cell]:
    for (method, total), part in rows[rows.method != "dense"].groupby(["method", "total"], sort=False):
        table = part.pivot(index="seed", columns="schedule", values=_FAIR)
        if {"cubic", "geometric"} <= set(table):
            table = table.add_prefix(f"{method}, ")
            yield from _difference(table, f"{method}, cubic", f"{method}, geometric", where, "", float(total))


def _difference(
    table: pd.DataFrame, method: str, reference: str, where: Mapping[str, str], suffix: str, total: float
) -> Iterator[Cell]:
    pair = table[[method, reference]].dropna()
    if len(pair):
        numbers = higher(pair[method], pair[reference])
        names = {"method": method + suffix, "reference": reference + suffix, "sparsity": total}
        yield Cell(**where, **names, quantity=ACCURACIES[_FAIR], kind="control", **numbers)
