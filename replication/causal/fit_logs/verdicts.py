"""Released figures beside the runs of `runs` and `cut`, and measurements of these runs."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from replication.causal.fit_logs.cut import GROUP
from replication.causal.follow_up.released_cells import judge_figure
from replication.causal.released.figures import Figure, ReleasedFigures, load
from replication.causal.released.rows import rows
from replication.ledger.cell import Cell
from replication.ledger.figures import pooled_range, prediction_range, range_coverage
from replication.ledger.tabular import sample_cells

_GROUPS = ("fit_log_mlpnet", "fit_log_mlpnet_plain_sgd", "synthetic_friedman", GROUP)
_FIVE_EPOCHS = "of five recorded epochs"
# Cells of the logs' notebook that show the records of another run than its fit.
_OTHER_RECORDS = ("delta_loss", "squared_step", "largest_mean_feature")


def cells(raw: pd.DataFrame, content: Mapping[str, Any]) -> list[Cell]:
    """Released figures that follow from the raw runs of `24_released_fits.ipynb`.

    Parameters
    ----------
    raw : DataFrame
        Rows of the result.
    content : mapping
        The result, for its parameters and profile.
    """
    if content["profile"] != "paper":
        return []
    images = {name: content["parameters"][name] for name in ("digits", "dataset")}
    found = released_cells(raw, load(), profile="paper", **images)
    return [cell for cell in found if cell.kind == "figure"]


def released_cells(
    raw: pd.DataFrame, released: ReleasedFigures, *, profile: str, digits: str, dataset: str
) -> list[Cell]:
    """Return the released figures that the runs answer, and measurements of ours.

    A released figure is one run. A figure of the logs is compared with the `prediction_range` of our runs, one range
    for each start; an accuracy of LeNet with that of Student's t over the trained networks, one for each fit. Which
    start and which fit the authors had is not known, and other settings are taken from another script of theirs, so
    that the verdict is "underspecified" if the ranges disagree about the figure or all leave it out. A figure of fewer
    than two runs is left out.

    Parameters
    ----------
    raw : DataFrame
        Rows of `log_runs`, `friedman_runs` and `cut_runs` together.
    released : ReleasedFigures
        The released figures.
    profile, digits, dataset : str
        The run's profile, and the images of the MLP and of LeNet. Figures are answered by the profile "paper" only,
        and only on the images that they are about.

    Returns
    -------
    list of Cell
    """
    found: list[Cell] = []
    if profile == "paper":
        for row in rows(released):
            figure = row.figures[0]
            if figure.group in _GROUPS and figure.dataset in (digits, dataset, "friedman1"):
                found += _against(row.cell, figure, raw)
    where = {"paper": "causal", "profile": profile}
    named = raw.assign(method=raw["start"].fillna(raw["method"]).fillna("causal"), sparsity=raw["total"])
    names = ["method", "sparsity", "quantity"]
    for groups, table, images in (
        (_GROUPS[:2], "fit_logs-mlpnet", digits),
        (_GROUPS[2:3], "fit_logs-linear_10", "friedman1"),
        (_GROUPS[3:], "one_cut-lenet", dataset),
    ):
        part = named[named.group.isin(groups)].assign(quantity=_words)
        found += sample_cells(part[[*names, "value"]], **where, table=table, dataset=images)
    return found


def _against(cell: Cell, figure: Figure, raw: pd.DataFrame) -> Iterator[Cell]:
    part = raw[(raw.group == figure.group) & (raw.quantity == figure.quantity)]
    at = figure.details.get("fit_pass", figure.details.get("fit_batch"))
    if at is not None:
        part = part[part["at"] == at]
    if figure.group == GROUP:
        # All fits and shares prune the same trained networks: pooled, each would count several times.
        chosen = {name: one.value.to_numpy() for name, one in part[part.total == figure.sparsity].groupby("method")}
        ranges = {name: pooled_range(values, [values]) for name, values in chosen.items()}
    else:
        named = part.assign(start=part["start"].fillna("SGD"))
        chosen = {name: one.value.to_numpy() for name, one in named.groupby("start", sort=False)}
        ranges = {name: prediction_range(values) if len(values) > 1 else None for name, values in chosen.items()}
    remark = _FIVE_EPOCHS if figure.quantity.startswith(_OTHER_RECORDS) else ""
    least = min((len(values) for values in chosen.values()), default=0)
    if figure.group != GROUP and (coverage := range_coverage(least)) < 0.95:
        remark = f"{remark} (of {least} networks, whose range has a coverage of {coverage:.0%})".lstrip()
    exact = figure.quantity == "gammas_not_zero"
    yield from judge_figure(cell, chosen, ranges, exact=exact, remark=remark, known=figure.dataset == "friedman1")


def _words(part: pd.DataFrame) -> list[str]:
    kinds = {"fit_log_mlpnet": "pass", "fit_log_mlpnet_plain_sgd": "plain SGD, batch"}
    return [
        quantity.replace("_", " ") + ("" if pd.isna(at) else f", {kinds[group]} {at:g}")
        for group, quantity, at in zip(part.group, part.quantity, part["at"], strict=True)
    ]
