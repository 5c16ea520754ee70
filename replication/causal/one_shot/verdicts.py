"""Cells of the one-shot study: accuracy before fine-tuning, fits against simpler scores, and what the fits rank."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from replication.causal.follow_up.fits import FITS
from replication.ledger.cell import Cell
from replication.ledger.claims import higher
from replication.ledger.tabular import mean_fields

#: What each fit is compared with at the same number of kept weights.
REFERENCES = ("fisher", "magnitude", "random")
_ACCURACIES = {"top1": "accuracy", "top5": "top-5 accuracy"}
_AGREEMENTS = {"rank_correlation": "rank correlation", "top_overlap": "overlap of the largest 1%"}


def cells(raw: pd.DataFrame, content: Mapping[str, Any]) -> list[Cell]:
    """Return all cells that follow from the raw runs of the study.

    Parameters
    ----------
    raw : DataFrame
        Rows of `study.before_fine_tuning`, the first with study "before_fine_tuning", the second with study
        "agreement".
    content : mapping
        The result, for its parameters dataset and architecture, and its profile.

    Returns
    -------
    list of Cell
        The measurements of accuracy, the controls against `REFERENCES` paired by seed, and the measurements of
        agreement. A network that was not pruned, because its fit had no coefficients, is in none of them.
    """
    used = content["parameters"]
    where = {"paper": "causal", "dataset": used["dataset"], "profile": content["profile"]}
    networks = raw[raw.study == "before_fine_tuning"].dropna(subset=["top1"])
    return [
        *_accuracies(networks, where | {"table": f"one_shot-{used['architecture']}"}),
        *_differences(networks, where | {"table": f"accuracy_one_shot-{used['architecture']}"}),
        *_agreements(raw[raw.study == "agreement"], where | {"table": f"agreement-{used['architecture']}"}),
    ]


def _accuracies(networks: pd.DataFrame, where: Mapping[str, str]) -> list[Cell]:
    found = []
    for (method, compression), part in networks.groupby(["method", "compression"], sort=False):
        names = {"method": method, "sparsity": 1 - 1 / compression, "note": _ends(part)}
        for column, quantity in _ACCURACIES.items():
            found.append(Cell(**where, **names, quantity=quantity, **mean_fields(part[column].tolist())))
    return found


def _differences(networks: pd.DataFrame, where: Mapping[str, str]) -> list[Cell]:
    found = []
    for compression, part in networks[networks.method != "dense"].groupby("compression"):
        table = part.pivot(index="seed", columns="method", values="top1")
        for method in [name for name in FITS if name in table]:
            for reference in [name for name in REFERENCES if name in table]:
                pair = table[[method, reference]].dropna()
                if len(pair):
                    numbers = higher(pair[method], pair[reference])
                    names = {"method": method, "reference": reference, "sparsity": 1 - 1 / compression}
                    found.append(Cell(**where, **names, quantity="accuracy", kind="control", **numbers))
    return found


def _agreements(rows: pd.DataFrame, where: Mapping[str, str]) -> list[Cell]:
    found = []
    for (method, target, reference), part in rows.groupby(["method", "target", "reference"], sort=False):
        name = "fisher" if reference == "mean_squared_gradient" else f"{method} with recorded loss changes"
        for column, quantity in _AGREEMENTS.items():
            values = part[column].dropna().tolist()
            if values:
                names = {"method": method, "reference": name, "quantity": f"{quantity}, {target} loss changes"}
                found.append(Cell(**where, **names, note=_ends(part), **mean_fields(values)))
    return found


def _ends(part: pd.DataFrame) -> str:
    """Return how the fits of these runs ended, in words, or an empty string where there is no fit."""
    counts = part.outcome.dropna().value_counts()
    return ", ".join(f"{count} of {len(part)} fits {outcome}" for outcome, count in counts.items())
