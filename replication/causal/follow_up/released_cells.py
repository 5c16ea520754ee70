"""Answers to the released figures of LeNet on CIFAR-10, from the networks that `repeats` trains again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd

from replication.causal.follow_up.fits import FITS
from replication.causal.released.figures import Figure, ReleasedFigures, load
from replication.causal.released.rows import rows
from replication.ledger.cell import Cell
from replication.ledger.figures import pooled_range
from replication.ledger.tabular import sample_cells

_GROUPS = ("lenet_cifar10_accuracy", "hessian_eigenvalues", "noise_tolerance")
#: Measurements of ours beside theirs: quantities of `repeats.measure` that depend neither on the scale of the weights
#: nor on the pruned ones, and accuracies of other epochs.
_OURS = ("last_epoch", "before_final", "relative_noise", "top_eigenvalue", "relative_top_eigenvalue")


def cells(raw: pd.DataFrame, content: Mapping[str, Any]) -> list[Cell]:
    """Released figures that follow from the raw runs of `18_released_networks.ipynb`.

    Parameters
    ----------
    raw : DataFrame
        Rows of the result.
    content : mapping
        The result, for its parameters and profile.
    """
    if content["profile"] != "paper":
        return []
    network, dataset = (content["parameters"][name] for name in ("architecture", "dataset"))
    found = released_cells(raw, load(), network=network, dataset=dataset, profile="paper")
    return [cell for cell in found if cell.kind == "figure"]


def released_cells(
    raw: pd.DataFrame, released: ReleasedFigures, *, network: str, dataset: str, profile: str
) -> list[Cell]:
    """Return the released figures that the runs answer, and measurements of ours.

    A released figure is one run. It is compared with the range of single runs of ours, whose spread is pooled over
    methods and sparsities (`ledger.figures.pooled_range`). A causal figure is within noise if it is so for every fit
    that was run. No figure is outside: the fit was not recorded, and the networks that the authors measured were read
    from another folder than the one that the stored script writes. A figure of which no method was trained twice has
    no range, and is left out.

    Parameters
    ----------
    raw : DataFrame
        Rows of `repeats.repeat_runs`.
    released : ReleasedFigures
        The released figures.
    network, dataset : str
        What was trained.
    profile : str
        The run's profile. Figures are answered by the profile "paper" only, because shorter runs have another protocol.

    Returns
    -------
    list of Cell
    """
    found, taken = [], cache(partial(sample, raw))
    if profile == "paper":
        for row in rows(released):
            figure = row.figures[0]
            if (figure.network, figure.dataset) == (network, dataset) and figure.group in _GROUPS:
                found += _against(row.cell, figure, taken)
    where = {"paper": "causal", "table": f"repeats-{network}", "dataset": dataset, "profile": profile}
    return found + _measurements(raw, where)


def sample(raw: pd.DataFrame, quantity: str, level: float | None = None) -> pd.Series:
    """Return the values that answer a released quantity, one for each network, by (method, total, seed).

    Raises
    ------
    ValueError
        If no run can answer the quantity.
    """
    keys = ["method", "total", "seed"]
    if quantity == "test_accuracy":
        return raw[raw.quantity == "best_on_test"].set_index(keys).value
    if quantity == "test_loss_without_noise":
        return raw[raw.quantity == "loss"].set_index(keys).value
    if quantity == "relative_test_loss_median":
        chosen = raw[(raw.quantity == "noise") & np.isclose(raw["at"].astype(float), level, rtol=1e-6)]
        return chosen.groupby(keys, sort=False).value.median()
    listed = raw[raw.quantity == "eigenvalue"].groupby(keys, sort=False).value
    if quantity == "eigenvalue_smallest_listed":
        return listed.min()
    if quantity == "eigenvalues_listed_negative":
        return listed.apply(lambda values: float((values < 0).sum()))
    if quantity.startswith("eigenvalue_"):
        rank = int(quantity.removeprefix("eigenvalue_"))
        return listed.apply(lambda values: float(values.nlargest(rank).iloc[-1]))
    raise ValueError(f"quantity must be one that runs answer, got {quantity!r}")


def _against(cell: Cell, figure: Figure, taken: Callable[..., pd.Series]) -> Iterator[Cell]:
    values = taken(figure.quantity, figure.details.get("level"))
    groups = {key: part.to_numpy() for key, part in values.groupby(level=["method", "total"])}
    names = FITS if figure.method == "causal" else [figure.method]
    chosen = {name: groups[name, figure.sparsity] for name in names if (name, figure.sparsity) in groups}
    ranges = {name: pooled_range(runs, list(groups.values())) for name, runs in chosen.items()}
    freedom = sum(len(runs) - 1 for runs in groups.values())
    remark = f"(95% ranges by Student's t, {freedom} degrees of freedom, the spread pooled over methods)"
    yield from judge_figure(cell, chosen, ranges, known=False, remark=remark)


def judge_figure(
    cell: Cell,
    chosen: Mapping[str, np.ndarray],
    ranges: Mapping[str, tuple[float, float] | None],
    *,
    exact: bool = False,
    remark: str = "",
    known: bool = True,
) -> Iterator[Cell]:
    """Yield the cell of a released figure with its verdict, nothing if one of the ranges is missing.

    It has a number of ours only if there is one setting, and the number of runs of each setting.

    Parameters
    ----------
    cell : Cell
        The row of the figure.
    chosen : mapping
        Single runs by each setting that may have made the figure.
    ranges : mapping
        Range of one further run for each of them. If the figure lies in some of the ranges only, the verdict is
        "underspecified".
    exact : bool
        If true, a figure that every run repeats is "identical".
    remark : str
        What the runs are of, for the note.
    known : bool
        Whether the figure was made with one of the settings. Otherwise one outside all ranges is "underspecified".
    """
    if not ranges or None in ranges.values():
        return
    runs = np.concatenate(list(chosen.values()))
    mean = float(runs.mean()) if len(chosen) == 1 else None  # of several settings, of which one made the figure
    inside = {low <= cell.published <= high for low, high in ranges.values()}
    missed = "outside" if known else "underspecified"
    verdict = "underspecified" if len(inside) > 1 else "within_noise" if inside == {True} else missed
    if exact and bool((runs == cell.published).all()):
        verdict = "identical"
    spans = (
        f"{name}: {chosen[name].mean():.6g}, range {low:.6g} to {high:.6g}" for name, (low, high) in ranges.items()
    )
    note = " ".join(filter(None, ["single runs", remark, f"by {'; '.join(spans)}"]))
    if True not in inside and not known:
        note += "; which settings made the figure is not known"
    most = max(len(values) for values in chosen.values())
    yield replace(cell, ours=mean, n=most, verdict=verdict, note=note, profile="paper")


def _measurements(raw: pd.DataFrame, where: dict[str, Any]) -> list[Cell]:
    chosen = raw[raw.quantity.isin(_OURS)].rename(columns={"total": "sparsity"})
    words = [
        name.replace("_", " ") + ("" if pd.isna(at) else f", radius {at:g}")
        for name, at in zip(chosen.quantity, chosen["at"], strict=True)
    ]
    names = ["method", "sparsity", "quantity"]
    means = chosen.assign(quantity=words).groupby([*names, "seed"], sort=False).value.mean().reset_index()  # over draws
    return sample_cells(means[[*names, "value"]], **where)
