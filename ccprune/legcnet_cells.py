"""Paper A's tables 1 to 3 as compared numbers: published, the authors' files re-run, ours; and one verdict each."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from ccprune.data import authors
from ccprune.legcnet import NOT_FOUND
from ccprune.legcnet_runs import CONTROLS
from ccprune.results import Cell
from ccprune.stats import Interval, bootstrap_interval, claim_holds, paired_difference, verdict_exact, verdict_sample

# (table, method, quantity, key in the published figures, printed decimals)
PRINTED = (
    ("1", "dense", "epochs", "epochs_dense", 0),
    ("1", "dense", "accuracy", "accuracy_dense", 4),
    ("1", "dense", "f1", "f1_dense", 4),
    ("1", "dense", "kept", "weights_dense", 0),
    ("1", "ft", "epochs", "epochs_ft", 0),
    ("1", "ft", "accuracy", "accuracy_ft", 4),
    ("1", "ft", "f1", "f1_ft", 4),
    ("1", "ft", "kept", "weights_ft", 0),
    ("1", "ft", "pruned_pct", "pruned_pct_ft", 2),
    ("2", "ft", "epochs", "epochs_ft", 0),
    ("2", "ft", "accuracy", "accuracy_ft", 4),
    ("2", "ft", "f1", "f1_ft", 4),
    ("2", "ft", "kept", "weights_ft", 0),
    ("2", "pt", "epochs", "epochs_pt", 0),
    ("2", "pt", "accuracy", "accuracy_pt", 4),
    ("2", "pt", "f1", "f1_pt", 4),
    ("2", "pt", "kept", "weights_pt", 0),
    ("2", "pt", "pruned_pct", "pruned_pct_pt", 2),
    ("3", "random", "epochs", "epochs_random", 0),
    ("3", "random", "accuracy", "accuracy_random", 4),
    ("3", "random", "f1", "f1_random", 4),
    ("3", "magnitude", "accuracy", "accuracy_magnitude", 4),
    ("3", "magnitude", "f1", "f1_magnitude", 4),
)
# Table 3's magnitude columns come out without retraining, see `legcnet_runs`.
_RUN_AS = {"magnitude": "magnitude_after"}
# The printed trial of vowel is not named; only the third gives the printed row.
_TRIALS = {"vowel": 3}
_NO_SETTINGS = "its settings were not found, these are PT's usual ones"
TABLES = {"1": "table1_dense_vs_ft", "2": "table2_ft_vs_pt", "3": "table3_baselines"}
# An accuracy or F1 lower by less than this counts as kept: one percentage point.
MARGIN = 0.01
_CONTROLS = {**CONTROLS, "ft_causal": ("random", "magnitude")}
_COMPARED = ("epochs", "accuracy", "f1", "accuracy_at_budget", "f1_at_budget")


def published() -> dict:
    """The paper's figures, from replication/paper/legcnet_tables.json."""
    return json.loads(authors.PUBLISHED.read_text())


def author_cells(runs: pd.DataFrame, dataset: str, *, budget: int) -> list[Cell]:
    """Cells of the authors' trials: the printed trial against its figure, the other trials for the record."""
    paper, cells = published(), []
    printed_trial = paper["table1_trial"].get(dataset) or _TRIALS[dataset]
    for table, method, quantity, key, decimals in PRINTED:
        figure = paper[TABLES[table]][dataset][key]
        for row in runs[runs.method == _RUN_AS.get(method, method)].itertuples():
            trial = row.network + 1
            note = f"trial {trial}"
            ours = float(getattr(row, quantity))
            if not row.reached and quantity not in ("kept", "pruned_pct"):
                note += f"; benchmark not reached in {budget} epochs"
                ours = None if quantity == "epochs" else ours
            if trial != printed_trial:
                cells.append(author_cell(table, dataset, method, quantity, None, ours, "not_published", note))
                continue
            verdict = verdict_exact(figure, ours, decimals=decimals)
            if verdict == "identical" and method != "random":
                note += _how(dataset, method)
            else:
                kind, why = _why(paper, dataset, table, method, quantity)
                verdict, note = kind, "; ".join(filter(None, [note, why]))
            cells.append(author_cell(table, dataset, method, quantity, figure, ours, verdict, note))
    return cells


def _how(dataset: str, method: str) -> str:
    """What the paper and the released files do not say, but an identical figure needs."""
    found = []
    if dataset == "vowel":
        found.append("softmax outputs and an undivided gradient, found by search")
        if method in ("ft", "pt"):
            found.append("mask derived from scratch, as none is released")
    if method == "magnitude":
        found.append("the dense network at its benchmark, smallest weights removed, not retrained")
    return "".join(f"; {text}" for text in found)


def _why(paper: dict, dataset: str, table: str, method: str, quantity: str) -> tuple[str, str]:
    """The verdict and the reason where a printed figure does not come out of the authors' files."""
    if method == "random":
        return "underspecified", "the random mask is not released"
    if method == "magnitude":
        return "not_reproduced", "smallest weights of the dense network removed, as many as table 1 says"
    if method == "pt":
        kept = paper["table1_dense_vs_ft"][dataset]["weights_dense"]
        kept = [kept - len(removed) for removed in paper["authors_masks"]["pt"][dataset]]
        printed = paper["table2_ft_vs_pt"][dataset]["weights_pt"]
        if printed not in kept:
            why = f"mask not released: the released ones keep {kept}, the table {printed}"
            return "not_reproduced", f"{why}; another number of lags gives the printed row, see 10_legcnet_settings"
    first = paper["table1_dense_vs_ft"][dataset].get(f"{quantity}_{method}")
    second = paper["table2_ft_vs_pt"][dataset].get(f"{quantity}_{method}")
    if None not in (first, second) and first != second:
        return "not_reproduced", f"the paper contradicts itself: table 1 prints {first}, table 2 {second}"
    return "not_reproduced", ""


def mask_cells(overlap: Tensor, dataset: str, method: str) -> list[Cell]:
    """Jaccard index of masks derived from scratch with the released ones, by trial; the paper states none."""
    return [
        author_cell("mask", dataset, method, "jaccard", None, value, "not_published", f"trial {trial}")
        for trial, value in enumerate(overlap.tolist(), start=1)
    ]


def author_cell(
    table: str,
    dataset: str,
    method: str,
    quantity: str,
    figure: float | None,
    ours: float | None,
    verdict: str,
    note: str,
) -> Cell:
    """A number from one trial of the authors' files, beside the printed figure if there is one."""
    return Cell("legcnet", table, dataset, method, quantity, figure, ours, None, None, 1, verdict, note, "authors")


def fresh_cells(runs: pd.DataFrame, dataset: str, *, profile: str, budget: int, seed: int = 0) -> list[Cell]:
    """Cells of the fresh initialisations: means with intervals; a published figure is judged as one more run."""
    paper, cells = published(), []
    for table, method, quantity, key, decimals in PRINTED:
        figure = paper[TABLES[table]][dataset][key]
        part = runs[runs.method == _RUN_AS.get(method, method)]
        if part.empty:
            continue
        mean = bootstrap_interval(part[quantity], seed=seed)
        single = part[quantity].astype(float)
        note = ""
        if quantity == "epochs":
            single = single.where(part.reached, np.inf)
            note = f"{int((~part.reached).sum())} of {len(part)} never reached the benchmark, counted as {budget}"
        verdict = verdict_sample(figure, single, decimals=decimals)
        if (dataset, method) in NOT_FOUND:
            verdict, note = "underspecified", "; ".join(filter(None, [note, _NO_SETTINGS]))
        cells.append(
            Cell(
                "legcnet", table, dataset, method, quantity, figure,
                mean.estimate, mean.low, mean.high, mean.n, verdict, note, profile,
            )
        )  # fmt: skip
    return cells


def differences(
    runs: pd.DataFrame,
    *,
    seed: int = 0,
    controls: Mapping[str, tuple[str, str]] = _CONTROLS,
) -> pd.DataFrame:
    """Paired differences of FT and PT to dense, random and magnitude on the same initial weights.

    `controls` names each method's random and magnitude masks; methods and quantities that `runs` lacks are left out.
    One row per method, reference and quantity: estimate, low, high (95% bootstrap), p_value (sign-flip permutation), n,
    and the claim's outcome: epochs fewer; accuracy and F1 not lower by `MARGIN` than dense, but higher than controls.
    """
    wide = runs.pivot(index="network", columns="method")
    rows = []
    for method in [name for name in controls if name in set(runs.method)]:
        for reference in ("dense", *controls[method], *(("ft",) if method == "ft_causal" else ())):
            for quantity in [name for name in _COMPARED if name in runs.columns]:
                found = paired_difference(wide[quantity][method], wide[quantity][reference], seed=seed)
                margin = MARGIN if reference == "dense" and quantity != "epochs" else 0.0
                better = "lower" if quantity == "epochs" else "higher"
                outcome = claim_holds(found, better=better, margin=margin)
                numbers = (found.estimate, found.low, found.high, found.p_value, found.n)
                rows.append((method, reference, quantity, *numbers, outcome))
    columns = ["method", "reference", "quantity", "estimate", "low", "high", "p_value", "n", "outcome"]
    return pd.DataFrame(rows, columns=columns)


_CLAIMS = (
    ("fewer_epochs", "dense", "epochs"),
    ("keeps_accuracy", "dense", "accuracy"),
    ("keeps_f1", "dense", "f1"),
    ("beats_random", "random", "accuracy"),
    ("beats_magnitude", "magnitude", "accuracy"),
)
# An effect that the interval does not show is not reproduced; the note tells "undecided" from "does not hold".
_OUTCOMES = {"holds": "within_noise", "does not hold": "not_reproduced", "undecided": "not_reproduced"}


def claim_cells(table: pd.DataFrame, dataset: str, *, profile: str) -> list[Cell]:
    """Cells of the paper's claims for FT and PT: our paired difference beside the one its tables print."""
    paper, cells = published(), []
    for method in [name for name in CONTROLS if name in set(table.method)]:
        for claim, reference, quantity in _CLAIMS:
            ours_reference = reference if reference == "dense" else CONTROLS[method][reference == "magnitude"]
            row = table.set_index(["method", "reference", "quantity"]).loc[(method, ours_reference, quantity)]
            pair = [_figure(paper, dataset, name, quantity) for name in (method, reference)]
            figure = None if None in pair else round(pair[0] - pair[1], 4)
            verdict = "not_published" if figure is None else _OUTCOMES[row.outcome]
            note = f"claim {row.outcome}; sign-flip p = {row.p_value:.2g}"
            if (dataset, method) in NOT_FOUND:
                verdict, note = "underspecified", f"{note}; {_NO_SETTINGS}"
            cells.append(
                Cell(
                    "legcnet", claim, dataset, method, f"{quantity}_minus_{reference}", figure,
                    row.estimate, row.low, row.high, int(row.n), verdict, note, profile,
                )
            )  # fmt: skip
    return cells


def difference_cells(table: pd.DataFrame, dataset: str, *, profile: str) -> list[Cell]:
    """Cells of every paired difference, which the paper does not print; "ft_causal" is the paper's other reading."""
    cells = []
    for row in table.itertuples():
        where = ("legcnet", "paired_difference", dataset, row.method, f"{row.quantity}_minus_{row.reference}")
        interval = Interval(row.estimate, row.low, row.high, row.n)
        cells.append(Cell.measured(*where, interval, profile=profile, note=f"sign-flip p = {row.p_value:.2g}"))
    return cells


def _figure(paper: dict, dataset: str, method: str, quantity: str) -> float | None:
    for table in TABLES.values():
        if f"{quantity}_{method}" in paper[table][dataset]:
            return paper[table][dataset][f"{quantity}_{method}"]
    return None


def sentence(table: pd.DataFrame, runs: pd.DataFrame, dataset: str, method: str) -> str:
    """Does the claim hold on this dataset? One sentence, from the paired differences."""
    rows = table[table.method == method].set_index(["reference", "quantity"])
    random, magnitude = CONTROLS[method]
    removed = runs[runs.method == method].pruned_pct.mean()
    said = []
    for reference, quantity, what in (
        ("dense", "epochs", "epochs against dense"),
        ("dense", "accuracy", "accuracy against dense"),
        (random, "accuracy", "accuracy against random masks"),
        (magnitude, "accuracy", "accuracy against magnitude masks"),
    ):
        row = rows.loc[(reference, quantity)]
        digits = 1 if quantity == "epochs" else 4
        numbers = f"{row.estimate:+.{digits}f} [{row.low:+.{digits}f}, {row.high:+.{digits}f}], p = {row.p_value:.2g}"
        said.append(f"{what} {numbers} ({row.outcome})")
    n = int(rows.iloc[0].n)
    where = f"{dataset}, LEGCNet-{method.upper()}"
    if (dataset, method) in NOT_FOUND:
        where += f" ({_NO_SETTINGS})"
    return f"{where} over {n} initialisations, {removed:.1f}% removed: " + "; ".join(said) + "."
