"""WeightWatcher's alpha on MNIST: the paper's table 4, and whether alpha tells pruned from dense networks at all."""

from collections.abc import Sequence

import pandas as pd
from torch import nn

from ccprune.stats import Interval, paired_difference
from replication.diagnostics import weightwatcher
from replication.ledger import Cell
from replication.ledger.figures import prediction_range
from replication.legcnet import figures
from replication.legcnet.mnist.runs import Outcome
from replication.networks.models import legcnet_mnist

# The paper's row of table 4 for each of our methods; its magnitude networks are not retrained, as in table 3.
ROWS = {
    "dense": "dense",
    "ft": "legcnet_ft",
    "pt": "legcnet_pt",
    "random": "random",
    "magnitude_after": "magnitude",
}
QUANTITIES = ("alpha", "alpha_weighted")
WELL_TRAINED = (2.0, 6.0)  # where section 5.1 says alpha lies on every layer


def alphas(outcome: Outcome, *, methods: Sequence[str] = tuple(ROWS)) -> pd.DataFrame:
    """One row per method and layer: network, method, layer (1 to 3), alpha, alpha_weighted, log_norm and more.

    See `diagnostics.weightwatcher.summary`; alpha is fitted as weightwatcher did at the time of the paper, without its
    later correction for few eigenvalues.
    """
    parts = []
    for place, row in enumerate(outcome.rows.itertuples()):
        if row.method in methods:
            parts.append(_summary(outcome.networks.model(place), row.network, row.method))
    return pd.concat(parts, ignore_index=True)


def untrained(seeds: Sequence[int]) -> pd.DataFrame:
    """The same of networks that have learned nothing, which alpha should tell from trained ones; method "untrained"."""
    parts = [_summary(legcnet_mnist(seed=seed), seed, "untrained") for seed in seeds]
    return pd.concat(parts, ignore_index=True)


def author_cells(table: pd.DataFrame) -> list[Cell]:
    """Table 4 from the authors' trials; which trial it shows is not stated, that of tables 1 and 2 is assumed."""
    cells, printed_trial = [], figures.printed_trial("mnist")
    for method, layer, quantity, printed in _printed():
        part = table[(table.method == method) & (table.layer == layer)]
        for row in part.itertuples():
            value, more = getattr(row, quantity), {}
            ours = None if pd.isna(value) else float(value)
            if row.network == printed_trial:
                more = figures.exact(printed, ours, 2)
                if more["verdict"] == "outside":
                    note = "neither the trial nor the rows of mnist.csv are stated"
                    more |= {"verdict": "underspecified", "note": note}
            where = ("4", "mnist", ROWS[method], f"layer{layer}_{quantity}")
            cells.append(figures.author_cell(*where, ours, int(row.network), **more))
    return cells


def fresh_cells(table: pd.DataFrame, *, dataset: str, profile: str, seed: int = 0) -> list[Cell]:
    """Table 4 over fresh initialisations, beside the published figures on MNIST.

    These figures depend on rows that are not released: underspecified, with what our runs say of them in the note.
    """
    cells = []
    for method, layer, quantity, printed in _printed():
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


def separation(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Does alpha tell pruned from dense? Paired differences to dense of the same initialisation, by method and layer.

    Columns: method, layer, estimate, low, high, p_value (sign-flip), n, spread (standard deviation of dense alphas over
    initialisations, which a single pair of networks has to be read against). Networks not measurable are left out.
    """
    rows = []
    for layer, part in table.groupby("layer"):
        wide = part.pivot(index="network", columns="method", values="alpha").astype(float)
        for method in [name for name in wide.columns if name != "dense"]:
            pair = wide[[method, "dense"]].dropna()
            if len(pair) < 2:
                continue
            found = paired_difference(pair[method], pair["dense"], seed=seed)
            numbers = (found.estimate, found.low, found.high, found.p_value, found.n)
            rows.append((method, layer, *numbers, pair["dense"].std()))
    columns = ["method", "layer", "estimate", "low", "high", "p_value", "n", "spread"]
    return pd.DataFrame(rows, columns=columns)


def separation_cells(table: pd.DataFrame, *, dataset: str, profile: str) -> list[Cell]:
    """`separation` as cells."""
    cells = []
    for row in table.itertuples():
        note = f"standard deviation of dense over initialisations {row.spread:.2f}"
        interval = Interval(row.estimate, row.low, row.high, row.n)
        where = ("legcnet", "alpha_separates", dataset, row.method, f"layer{row.layer}_alpha")
        more = {"reference": "dense", "p_value": row.p_value, "note": note, "profile": profile}
        cells.append(Cell.measured(*where, interval, **more))
    return cells


def within(table: pd.DataFrame) -> pd.DataFrame:
    """Share of networks whose alpha lies between 2 and 6, by method, on each layer and on all; NA counts as outside."""
    low, high = WELL_TRAINED
    inside = table.assign(inside=table.alpha.between(low, high).fillna(False).astype(bool))
    wide = inside.pivot(index=["method", "network"], columns="layer", values="inside")
    wide["all"] = wide.all(axis=1)
    return wide.groupby("method", sort=False).mean()


def _summary(model: nn.Module, network: int, method: str) -> pd.DataFrame:
    table = weightwatcher.summary(model, small_n_correction=False).reset_index()
    return table.assign(network=network, method=method, layer=range(1, len(table) + 1))


def _printed() -> list[tuple[str, int, str, float]]:
    """(method, layer, quantity, published figure) of the 30 cells."""
    paper = figures.published()["table4_weightwatcher_mnist"]
    found = []
    for method, row in ROWS.items():
        row_of = dict(zip(paper["columns"], paper[row], strict=True))
        found += [(method, layer, name, row_of[f"layer{layer}_{name}"]) for layer in (1, 2, 3) for name in QUANTITIES]
    return found
