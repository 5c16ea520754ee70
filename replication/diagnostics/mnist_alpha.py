"""WeightWatcher's alpha on MNIST: the paper's table 4, and whether alpha distinguishes pruned from dense networks."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from torch import nn

from ccprune.stats import Interval, paired_difference
from replication.diagnostics import weightwatcher
from replication.ledger import AUTHORS, Cell, cell_table
from replication.ledger.figures import prediction_range
from replication.legcnet import figures
from replication.legcnet.mnist.runs import Outcome
from replication.networks.models import legcnet_mnist

# Row of the paper's table 4 for each of our methods. Its magnitude networks are not retrained, as in table 3.
ROWS = {
    "dense": "dense",
    "ft": "legcnet_ft",
    "pt": "legcnet_pt",
    "random": "random",
    "magnitude_after": "magnitude",
}
QUANTITIES = ("alpha", "alpha_weighted")
WELL_TRAINED = (2.0, 6.0)  # range of alpha on every layer according to section 5.1


def alphas(outcome: Outcome) -> pd.DataFrame:
    """Return alpha and related quantities of networks, by method and layer.

    Alpha is fitted as by weightwatcher at the time of the paper, without its later correction for few eigenvalues.

    Parameters
    ----------
    outcome : Outcome
        Trained networks; those of methods that are not in `ROWS` are left out.

    Returns
    -------
    DataFrame
        One row per network, method and layer (1 to 3), with the columns of `diagnostics.weightwatcher.summary`.
    """
    parts = []
    for place, row in enumerate(outcome.rows.itertuples()):
        if row.method in ROWS:
            parts.append(_summary(outcome.networks.model(place), row.network, row.method))
    return pd.concat(parts, ignore_index=True)


def untrained_alphas(seeds: Sequence[int]) -> pd.DataFrame:
    """Return `alphas` of untrained networks, method "untrained", which alpha should distinguish from trained ones.

    Parameters
    ----------
    seeds : sequence of int
        One network each.

    Returns
    -------
    DataFrame
        As returned by `alphas`.
    """
    parts = [_summary(legcnet_mnist(seed=seed), seed, "untrained") for seed in seeds]
    return pd.concat(parts, ignore_index=True)


def author_cells(table: pd.DataFrame) -> list[Cell]:
    """Return table 4 from the authors' trials.

    The trial of the printed table is not stated; that of tables 1 and 2 is assumed.

    Parameters
    ----------
    table : DataFrame
        Table of `alphas` for the authors' trials.

    Returns
    -------
    list of Cell

    References
    ----------
    LEGCNet, arXiv 2308.09955, table 4.
    """
    cells, printed_trial = [], figures.printed_trial("mnist")
    for method, layer, quantity, printed in _printed_cells():
        part = table[(table.method == method) & (table.layer == layer)]
        for row in part.itertuples():
            value, more = getattr(row, quantity), {}
            ours = None if pd.isna(value) else float(value)
            if row.network == printed_trial:
                more = _comparison(printed, ours)
            where = ("4", "mnist", ROWS[method], f"layer{layer}_{quantity}")
            cells.append(figures.author_cell(*where, ours, int(row.network), **more))
    return cells


def judge_figure(cell: Cell) -> Cell:
    """Return a figure of table 4 with the verdict that follows from its number and from the figure in the paper."""
    printed = {(ROWS[method], f"layer{layer}_{quantity}"): value for method, layer, quantity, value in _printed_cells()}
    value = printed[cell.method, cell.quantity]
    more = _comparison(value, cell.ours) if cell.profile == AUTHORS else {"verdict": "underspecified"}
    return replace(cell, **{"published": value} | more)


def stored_verdicts(cell: Cell) -> tuple[str, ...]:
    """Return the verdicts that a stored figure of table 4 may have: by the present rule, and by that of older files.

    Older files have "identical" where a trial of the authors gives the printed figure.
    """
    same = cell.profile == AUTHORS and figures.exact_fields(cell.published, cell.ours, 2)["verdict"] == "identical"
    return ("underspecified", "identical") if same else ("underspecified",)


def _comparison(printed: float, ours: float | None) -> dict[str, object]:
    """Return the fields of a figure that a trial of the authors is compared with, which is trained on rows of ours."""
    note = "neither the trial nor the rows of mnist.csv are stated"
    if figures.exact_fields(printed, ours, 2)["verdict"] == "identical":
        note += "; this trial on rows of our choosing gives the printed figure"
    return {"kind": "figure", "origin": "printed", "published": printed, "verdict": "underspecified", "note": note}


def fresh_cells(table: pd.DataFrame, *, dataset: str, profile: str, seed: int = 0) -> list[Cell]:
    """Return table 4 over fresh initialisations, with the published figures on MNIST.

    These figures depend on rows that are not released, so they are underspecified. The note has the comparison with our
    runs.

    Parameters
    ----------
    table : DataFrame
        Table of `alphas` for fresh initialisations.
    dataset : str
        Name of the data set. Only for "mnist" are the published figures given beside ours.
    profile : str
        Profile of the run.
    seed : int, default 0
        Seed of the intervals' resamples.

    Returns
    -------
    list of Cell

    References
    ----------
    LEGCNet, arXiv 2308.09955, table 4.
    """
    cells = []
    for method, layer, quantity, printed in _printed_cells():
        part = table[(table.method == method) & (table.layer == layer)]
        values = part[quantity].dropna().astype(float)
        left = len(part) - len(values)
        notes = [f"{left} of {len(part)} networks not measurable"] if left else []
        more = {}
        if dataset == "mnist" and len(values) > 1:
            low, high = prediction_range(values)
            there = "within" if low - 0.005 <= printed <= high + 0.005 else "outside"
            notes.append(f"on rows of our choosing it lies {there} the range of single runs")
            more = {"kind": "figure", "origin": "printed", "published": printed, "verdict": "underspecified"}
        names = {"paper": "legcnet", "table": "4", "dataset": dataset, "method": ROWS[method]}
        numbers = figures.summary(values.to_numpy(), quantity, seed=seed) if len(values) > 1 else {}
        names |= {"quantity": f"layer{layer}_{quantity}", "note": "; ".join(notes), "profile": profile}
        cells.append(Cell(**names, **numbers, **more))
    return cells


def mean_table(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return the mean alpha of each layer over initialisations beside table 4, for `figures.alphas`.

    Parameters
    ----------
    table : DataFrame
        As from `alphas`.
    seed : int, default 0
        Seed of the intervals.

    Returns
    -------
    DataFrame
        One row per method and layer, with the columns parameter (such as "layer 1"), method, estimate, low, high (95%
        interval) and published.
    """
    cells = fresh_cells(table, dataset="mnist", profile="default", seed=seed)
    rows = cell_table(cell for cell in cells if cell.quantity.endswith("_alpha"))
    names = {"ours": "estimate", "ci_low": "low", "ci_high": "high"}
    rows = rows.assign(parameter="layer " + rows.quantity.str[5]).rename(columns=names)
    return rows[["parameter", "method", *names.values(), "published"]]


def claim_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Return the claim that alpha lies between 2 and 6 on every layer of LEGCNet's networks (section 5.1), by layer.

    The claim holds where the interval of the mean alpha over initialisations lies inside this range, and does not hold
    where the interval lies outside it.

    Parameters
    ----------
    cells : sequence of Cell
        Cells of `fresh_cells`; cells of other tables, networks and data sets are passed over.
    """
    low, high = WELL_TRAINED
    found = []
    for cell in cells:
        of_table = cell.table == "4" and cell.dataset == "mnist" and cell.profile != AUTHORS and cell.ci_low is not None
        if not of_table or cell.method not in ("legcnet_ft", "legcnet_pt") or not cell.quantity.endswith("_alpha"):
            continue
        outcome = "undecided"
        if low <= cell.ci_low and cell.ci_high <= high:
            outcome = "holds"
        elif cell.ci_high < low or cell.ci_low > high:
            outcome = "does_not_hold"
        names = {"table": "well_trained", "method": cell.method.removeprefix("legcnet_"), "kind": "claim"}
        note = "on rows of our choosing; by the interval of the mean, without correction"
        found.append(replace(cell, **names, verdict="", outcome=outcome, note=note))
    return found


def separation(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return paired differences of alpha between pruned and dense networks of the same initialisation.

    Parameters
    ----------
    table : DataFrame
        As from `alphas`. Networks whose alpha is not measurable are left out.
    seed : int, default 0
        Seed of the intervals and tests.

    Returns
    -------
    DataFrame
        One row per method and layer, with the columns method, layer, estimate, low, high, p_value (sign-flip), n, and
        spread (standard deviation of dense alphas over initialisations, for comparison with a single pair).
    """
    rows = []
    for layer, part in table.groupby("layer"):
        wide = part.pivot(index="network", columns="method", values="alpha").astype(float)
        for method in [name for name in wide.columns if name != "dense"]:
            pair = wide[[method, "dense"]].dropna()
            if len(pair) < 2:
                continue
            difference = paired_difference(pair[method], pair["dense"], seed=seed)
            numbers = (difference.estimate, difference.low, difference.high, difference.p_value, difference.n)
            rows.append((method, layer, *numbers, pair["dense"].std()))
    columns = ["method", "layer", "estimate", "low", "high", "p_value", "n", "spread"]
    return pd.DataFrame(rows, columns=columns)


def separation_cells(table: pd.DataFrame, *, dataset: str, profile: str) -> list[Cell]:
    """Return `separation` as cells.

    Parameters
    ----------
    table : DataFrame
        Table of `separation`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    cells = []
    for row in table.itertuples():
        note = f"standard deviation of dense over initialisations {row.spread:.2f}"
        interval = Interval(row.estimate, row.low, row.high, row.n)
        where = ("legcnet", "alpha_separates", dataset, row.method, f"layer{row.layer}_alpha")
        more = {"reference": "dense", "p_value": row.p_value, "note": note, "profile": profile}
        cells.append(Cell.from_interval(*where, interval, **more))
    return cells


def share_in_range(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of networks with alpha between 2 and 6 by method.

    Networks whose alpha is not measurable count as outside.

    Parameters
    ----------
    table : DataFrame
        Table of `alphas`.

    Returns
    -------
    DataFrame
        One row per method; columns are the layers and "all" (inside on every layer).

    References
    ----------
    LEGCNet, arXiv 2308.09955, section 5.1.
    """
    low, high = WELL_TRAINED
    inside = table.assign(inside=table.alpha.between(low, high).fillna(False).astype(bool))
    wide = inside.pivot(index=["method", "network"], columns="layer", values="inside")
    wide["all"] = wide.all(axis=1)
    return wide.groupby("method", sort=False).mean()


def _summary(model: nn.Module, network: int, method: str) -> pd.DataFrame:
    table = weightwatcher.summary(model, small_n_correction=False).reset_index()
    return table.assign(network=network, method=method, layer=range(1, len(table) + 1))


def _printed_cells() -> list[tuple[str, int, str, float]]:
    """Return method, layer, quantity and published figure of the 30 cells."""
    paper = figures.published_figures()["table4_weightwatcher_mnist"]
    printed = []
    for method, row in ROWS.items():
        row_of = dict(zip(paper["columns"], paper[row], strict=True))
        printed += [(method, layer, name, row_of[f"layer{layer}_{name}"]) for layer in (1, 2, 3) for name in QUANTITIES]
    return printed
