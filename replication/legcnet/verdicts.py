"""Paper A, tables 1 to 3 on the small datasets: figures, claims and controls from the raw runs of notebook 01."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from replication.ledger.cell import Cell
from replication.ledger.claims import fewer_epochs, higher
from replication.ledger.paired import share_interval
from replication.legcnet import figures
from replication.legcnet.runs import CONTROLS
from replication.legcnet.settings import NOT_FOUND, SETTINGS

#: An accuracy or F1 lower by less than this counts as kept: one percentage point. The paper names no margin.
MARGIN = 0.01
#: Other margins at which "keeps accuracy" is asked, of the method and of random masks of the same count.
MARGINS = (0.0025, 0.005, 0.01, 0.02)
_NO_SETTINGS = "its settings were not found, these are PT's usual ones"
# Masks that have as many weights as those of another method depend on its settings.
_SETTING_OF = {"ft_after": "ft", "pt_after": "pt", "random": "ft", "random_pt": "pt"}
_COMPARED = ("epochs", "accuracy", "f1", "accuracy_at_budget", "f1_at_budget")
_REFERENCES = {**CONTROLS, "ft_causal": ("random", "magnitude")}


def cells(raw: pd.DataFrame, content: Mapping[str, Any]) -> list[Cell]:
    """All cells that follow from the raw runs of `01_legcnet_tables.ipynb`.

    Parameters
    ----------
    raw : DataFrame
        Rows of `runs.rerun_authors` (study "authors") and `runs.fresh_runs` (study "fresh").
    content : mapping
        The result, for its parameters and profile.

    Returns
    -------
    list of Cell
    """
    dataset, profile = content["parameters"]["dataset"], content["profile"]
    theirs, fresh = (raw[raw.study == study] for study in ("authors", "fresh"))
    found = author_cells(theirs, dataset) if len(theirs) else []
    for cell in figures.fresh_cells(fresh, dataset, profile=profile):
        found.append(_open(cell) if (dataset, cell.method) in NOT_FOUND else cell)
    found += chance_cells(fresh, dataset, profile=profile)
    return found + comparisons(fresh, dataset, profile=profile, budget=SETTINGS[dataset].budget)


def _open(cell: Cell) -> Cell:
    """A figure whose settings are not known, whatever our runs at other settings give."""
    values = {name: getattr(cell, name) for name in cell.__dataclass_fields__}
    return Cell(**values | {"verdict": "underspecified", "note": f"{_NO_SETTINGS}; {cell.note}"})


def author_cells(runs: pd.DataFrame, dataset: str) -> list[Cell]:
    """Compare the printed trial with its figures, and return the other trials as measurements.

    Parameters
    ----------
    runs : DataFrame
        Rows of `runs.rerun_authors`.
    dataset : str
        Name of the data set.

    Returns
    -------
    list of Cell
        One for each row of `PRINTED` and each trial.

    References
    ----------
    LEGCNet, arXiv 2308.09955, tables 1 to 3.
    """
    found, printed_trial = [], figures.printed_trial(dataset)
    for table, method, quantity, key, decimals in figures.PRINTED:
        printed = figures.figure(table, dataset, key)
        for _, row in runs[runs.method == figures.RUN_AS.get(method, method)].iterrows():
            trial, ours = int(row.network) + 1, figures.trial_value(row, quantity)
            more: dict[str, Any] = {}
            if trial == printed_trial:
                more = figures.exact_fields(printed, ours, decimals)
                missing = "the random mask is not released" if method == "random" else _missing_mask(dataset, method)
                if missing:
                    more |= {"verdict": "underspecified", "note": missing}
                else:
                    more["note"] = _note(dataset, method, quantity, more["verdict"])
            elif ours is None:
                more["note"] = f"benchmark not reached in {SETTINGS[dataset].budget} epochs"
            found.append(figures.author_cell(table, dataset, method, quantity, ours, trial, **more))
    return found


def _missing_mask(dataset: str, method: str) -> str:
    """Say that none of the released PT masks has the printed number of weights; empty where one has."""
    released = figures.published_figures()["authors_masks"]["pt"].get(dataset) if method == "pt" else None
    weights = figures.figure("1", dataset, "weights_dense")
    kept = [weights - len(removed) for removed in released or ()]
    if not released or (printed := figures.figure("2", dataset, "weights_pt")) in kept:
        return ""
    return (
        f"mask not released: the released ones keep {kept}, the table {printed}; another number of lags gives the "
        "printed row, see 10_legcnet_settings"
    )


def _note(dataset: str, method: str, quantity: str, verdict: str) -> str:
    """What an identical figure needs beyond the paper's text, or why another one does not come out."""
    sentences = []
    if verdict == "identical":
        if dataset in figures.SEARCHED:
            sentences.append("softmax outputs and an undivided gradient, found by search")
            if method in ("ft", "pt"):
                sentences.append("mask derived from scratch, as none is released")
        if method == "magnitude":
            sentences.append("the dense network at its benchmark, smallest weights removed, not retrained")
    elif method == "magnitude":
        sentences.append("smallest weights of the dense network removed, as many as table 1 says")
    sentences.append(figures.contradiction(dataset, method, quantity))
    return "; ".join(filter(None, sentences))


def comparisons(
    fresh: pd.DataFrame,
    dataset: str,
    *,
    profile: str,
    budget: int,
    references: Mapping[str, tuple[str, str]] = _REFERENCES,
) -> list[Cell]:
    """Compare FT and PT with dense and with masks of the same count: claims, controls and paired differences.

    Methods and quantities that `fresh` lacks are left out.

    Parameters
    ----------
    fresh : DataFrame
        One row per network and method, as yielded by `runs.fresh_runs`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.
    budget : int
        Number of epochs after which a network was given up.
    references : mapping of str to tuple of str, optional
        Names of each method's random and magnitude masks. The default has `CONTROLS`, and for "ft_causal" the masks of
        FT.

    Returns
    -------
    list of Cell
    """
    wide = fresh.pivot(index="network", columns="method")
    present = set(fresh.method)
    found = [_reached_share(fresh, dataset, method, budget, profile) for method in dict.fromkeys(fresh.method)]
    for method in [name for name in references if name in present]:
        random, magnitude = references[method]
        pair = _Pairs(wide, dataset, method, profile)
        if method in CONTROLS:
            if dataset in figures.published_figures()["table1_dense_vs_ft"]:  # a data set of the paper
                found += _claims(pair)
                for name in (method, random):
                    other = _Pairs(wide, dataset, name, profile)
                    found += [other.cell("margins", "dense", "accuracy", kind="control", margin=m) for m in MARGINS]
            found.append(pair.cell("beats_random", random, "accuracy", kind="control"))
            found.append(pair.cell("beats_magnitude", magnitude, "accuracy", kind="control"))
            if {f"{method}_after", f"{magnitude}_after"} <= present:  # magnitude only at FT's count
                unretrained = _Pairs(wide, dataset, f"{method}_after", profile)
                where = ("beats_magnitude_unretrained", f"{magnitude}_after", "accuracy")
                found.append(unretrained.cell(*where, kind="control"))
        for reference in ("dense", random, magnitude, *(("ft",) if method == "ft_causal" else ())):
            compared = [
                name for name in _COMPARED if (name, method) in wide.columns and wide[name, method].notna().all()
            ]
            found += [pair.cell("paired_difference", reference, name, kind="measurement") for name in compared]
    return found


class _Pairs:
    """One method's runs beside others of the same initialisations."""

    def __init__(self, wide: pd.DataFrame, dataset: str, method: str, profile: str):
        self.wide, self.dataset, self.method, self.profile = wide, dataset, method, profile

    def cell(
        self,
        table: str,
        reference: str,
        quantity: str,
        *,
        kind: str,
        margin: float | None = None,
        published: float | None = None,
    ) -> Cell:
        """The paired difference to `reference`, tested as the claim of that kind, or measured only."""
        if quantity == "epochs":
            sides = (self._epochs(name) for name in (self.method, reference))
            numbers = fewer_epochs(*sides)
        else:
            sides = (self.wide[quantity, name].to_numpy(dtype=float) for name in (self.method, reference))
            numbers = higher(*sides, margin=margin or 0.0)
        if kind == "measurement":
            numbers = {name: value for name, value in numbers.items() if name not in ("outcome", "detectable")}
        if kind != "measurement" and (self.dataset, _SETTING_OF.get(self.method, self.method)) in NOT_FOUND:
            numbers |= {"outcome": "cannot_be_known", "note": _NO_SETTINGS}
        where = {"paper": "legcnet", "table": table, "dataset": self.dataset, "method": self.method}
        where |= {"reference": reference, "quantity": quantity, "profile": self.profile}
        origin = "" if published is None else "printed"
        return Cell(**where, **numbers, kind=kind, margin=margin, published=published, origin=origin)

    def _epochs(self, method: str) -> np.ndarray:
        reached = self.wide["reached", method].astype(bool)
        return self.wide["epochs", method].astype(float).where(reached, np.inf).to_numpy()


def _claims(pair: _Pairs) -> list[Cell]:
    """What the abstract claims, against dense: fewer epochs, where the paper's own row has fewer; the rest kept.

    The row of MNIST prints other quantities by the names of accuracy and F1, so that their difference is not stated.
    """
    printed = {}
    for quantity in ("epochs", "accuracy", "f1"):
        theirs, dense = (_printed_figure(pair.dataset, name, quantity) for name in (pair.method, "dense"))
        other = pair.dataset == "mnist" and quantity != "epochs"
        printed[quantity] = None if other or None in (theirs, dense) else round(theirs - dense, 4)
    fewer = printed["epochs"] is not None and printed["epochs"] < 0
    kind = "claim" if fewer else "measurement"
    return [
        pair.cell("fewer_epochs", "dense", "epochs", kind=kind, published=printed["epochs"]),
        pair.cell("keeps_accuracy", "dense", "accuracy", kind="claim", margin=MARGIN, published=printed["accuracy"]),
        pair.cell("keeps_f1", "dense", "f1", kind="claim", margin=MARGIN, published=printed["f1"]),
    ]


def _printed_figure(dataset: str, method: str, quantity: str) -> float | None:
    known = figures.published_figures()
    for table in figures.TABLES.values():
        if f"{quantity}_{method}" in known[table].get(dataset, {}):
            return known[table][dataset][f"{quantity}_{method}"]
    return None


def _reached_share(fresh: pd.DataFrame, dataset: str, method: str, budget: int, profile: str) -> Cell:
    """The share of a method's networks that reached the benchmark within the budget."""
    part = fresh[fresh.method == method]
    found = share_interval(int(part.reached.sum()), len(part))
    where = ("legcnet", "reached", dataset, method, "share_that_reached_the_benchmark")
    return Cell.from_interval(*where, found, profile=profile, note=f"within {budget} epochs")


def chance_cells(fresh: pd.DataFrame, dataset: str, *, profile: str) -> list[Cell]:
    """How many of the dataset's figures one of our own runs would have outside the range of the others.

    One cell for each number of figures: the share of networks with as many outside. Methods whose settings are not
    known are left out, as they are among the verdicts.
    """
    printed = {method for _, method, *_ in figures.PRINTED if (dataset, method) not in NOT_FOUND}
    counts = np.bincount(figures.outside_by_chance(fresh, printed)) / fresh.network.nunique()
    where = {"paper": "legcnet", "table": "outside_by_chance", "dataset": dataset, "method": "one of our runs"}
    more = {"kind": "null_test", "n": int(fresh.network.nunique()), "profile": profile}
    return [
        Cell(**where, quantity=f"share_with_{k}_outside", ours=float(share), **more) for k, share in enumerate(counts)
    ]
