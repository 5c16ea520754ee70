"""Paper B's claims as compared numbers: what each run measured, and one sentence per claim."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ccprune.results import Cell
from ccprune.stats import (
    ChangePoint,
    Interval,
    change_point,
    claim_holds,
    one_standard_error,
    student_interval,
    verdict_sample,
)

# An accuracy lower by less than this counts as kept: one percentage point.
MARGIN = 0.01
REFERENCES = ("magnitude", "magnitude_layer", "lamp", "squared_updates", "random", "dense")


def summarise(values: Sequence[float]) -> tuple[float, float | None, float | None, int]:
    """(estimate, low, high, n): mean of some runs with its Student interval; of a single run its value alone."""
    if len(values) == 1:
        return float(values[0]), None, None, 1
    found = student_interval(values)
    return found.estimate, found.low, found.high, found.n


def cell(
    table: str, dataset: str, method: str, quantity: str, values: Sequence[float], *, profile: str, note: str = ""
) -> Cell:
    """A measured number from one value per run (see `summarise`)."""
    numbers = summarise(values)
    return Cell("causal", table, dataset, method, quantity, None, *numbers, "not_published", note, profile)


def wide(curves: pd.DataFrame, method: str, value: str) -> pd.DataFrame:
    """One method's curves: a row per seed, a column per sparsity."""
    return curves[curves.method == method].pivot(index="seed", columns="level", values=value)


def curve_cells(curves: pd.DataFrame, *, table: str, dataset: str, profile: str) -> list[Cell]:
    """Test accuracy of every method at every sparsity, named "METHOD at SPARSITY"."""
    return [
        cell(table, dataset, f"{method} at {level:g}", "accuracy", part.test_accuracy.tolist(), profile=profile)
        for (method, level), part in curves.groupby(["method", "level"], sort=False)
    ]


def critical_points(curves: pd.DataFrame, *, axis: str, seed: int = 0) -> dict[str, ChangePoint]:
    """The change point of every pruning method's test accuracy, by method."""
    found = {}
    for method in dict.fromkeys(curves.method):
        if method != "dense":
            table = wide(curves, method, "test_accuracy")
            found[method] = change_point(table.columns.to_numpy(), table.to_numpy(), axis=axis, seed=seed)
    return found


def critical_cells(
    points: Mapping[str, ChangePoint], *, table: str, dataset: str, runs: int, profile: str
) -> list[Cell]:
    """The critical sparsity of every method, with the tests on its abruptness in the note."""
    cells = []
    for method, point in points.items():
        note = (
            f"{point.shape}, interval over {point.resampled}; against a line p = {point.p_line:.2g}, against smooth "
            f"curves p = {point.p_smooth:.2g}, BIC difference {point.delta_bic:.1f}: "
            f"{'abrupt' if point.abrupt else 'not shown to be abrupt'}"
        )
        if point.lost_before is not None:
            note += f"; {100 * point.lost_before:.0f}% of the fall comes before"
        numbers = (point.critical_sparsity, point.low, point.high, runs)
        cells.append(
            Cell(
                "causal",
                table,
                dataset,
                method,
                "critical_sparsity",
                None,
                *numbers,
                "not_published",
                note,
                profile,
            )
        )
    return cells


def chosen(curves: pd.DataFrame) -> pd.DataFrame:
    """The amount chosen without a person: on held-out images by the one-standard-error rule; one row per method.

    Columns: sparsity, test_accuracy there (mean over seeds), dense (test accuracy of dense after the same steps).
    """
    rows = {}
    for method in dict.fromkeys(curves.method):
        if method != "dense":
            held = wide(curves, method, "valid_accuracy")
            level = one_standard_error(held.columns.to_numpy(), held.to_numpy())
            rows[method] = {
                "sparsity": level,
                "test_accuracy": wide(curves, method, "test_accuracy")[level].mean(),
                "dense": wide(curves, "dense", "test_accuracy")[level].mean(),
            }
    return pd.DataFrame(rows).T


def differences(curves: pd.DataFrame, *, method: str = "causal") -> pd.DataFrame:
    """Test accuracy of `method` minus that of each reference at equal sparsity, paired by seed.

    One row per reference and sparsity: reference, level, estimate, low, high (NaN of a single run), n, and `claim`:
    whether "no worse by a percentage point" holds.
    """
    rows = []
    ours = wide(curves, method, "test_accuracy")
    for reference in REFERENCES:
        if reference not in set(curves.method):
            continue
        gap = ours - wide(curves, reference, "test_accuracy")
        for level in gap.columns:
            estimate, low, high, n = summarise(gap[level].tolist())
            claim = "undecided"
            if low is not None:
                claim = claim_holds(Interval(estimate, low, high, n), better="higher", margin=MARGIN)
            rows.append((reference, level, estimate, low, high, n, claim))
    columns = ["reference", "level", "estimate", "low", "high", "n", "claim"]
    return pd.DataFrame(rows, columns=columns).astype({"low": float, "high": float})


def difference_cells(
    table: pd.DataFrame, *, name: str, dataset: str, profile: str, method: str = "causal"
) -> list[Cell]:
    """`differences` as cells, named "METHOD - REFERENCE at SPARSITY"."""
    cells = []
    for row in table.itertuples():
        low, high = (None, None) if pd.isna(row.low) else (row.low, row.high)
        what = f"{method} - {row.reference} at {row.level:g}"
        numbers = (row.estimate, low, high, row.n, "not_published", f"kept to a percentage point: {row.claim}")
        cells.append(Cell("causal", name, dataset, what, "accuracy_difference", None, *numbers, profile))
    return cells


def paper_cell(
    sparsities: Sequence[Sequence[float]],
    share: float,
    iterations: int,
    *,
    epochs: int,
    architecture: str,
    dataset: str,
    profile: str,
) -> Cell:
    """The sparsity that the paper's lambda leads to, (runs, iterations), beside the one that it implies.

    The paper's scripts let magnitude remove `share` of what is left in each iteration, 1 - (1 - share)^iterations in
    all.
    """
    published = round(1 - (1 - share) ** iterations, 3)
    final = [path[-1] for path in sparsities]
    numbers = summarise(final)
    # One run has no range of its own; it is compared at the published decimals.
    verdict = verdict_sample(published, final if len(final) > 1 else final * 2, decimals=3)
    note = f"{epochs} epochs before and in each of {iterations} iterations; published: what magnitude removed to match"
    table = f"protocol_2024-{architecture}"
    return Cell("causal", table, dataset, "causal", "sparsity", published, *numbers, verdict, note, profile)


def sentence(points: Mapping[str, ChangePoint], table: pd.DataFrame, *, dataset: str, architecture: str) -> str:
    """Claims 1 and 2 on one data set, in a sentence."""
    n = int(table.n.max())
    parts = []
    for reference, rows in table.groupby("reference", sort=False):
        furthest = rows.loc[rows.estimate.abs().idxmax()]
        if n == 1:  # one seed has no interval, so nothing is shown to be better or worse
            counts = f"higher at {(rows.estimate > 0).sum()} and lower at {(rows.estimate < 0).sum()}"
        else:
            counts = f"better at {(rows.low > 0).sum()} and worse at {(rows.high < 0).sum()}"
        parts.append(
            f"against {reference} {counts} of {len(rows)} sparsities (furthest "
            f"{furthest.estimate:+.3f} at {furthest.level:g})"
        )
    causal = points["causal"]
    if causal.critical_sparsity is None:
        where = "its accuracy never bends down"
    else:
        interval = "" if causal.low is None else f" [{round(causal.low, 3):g}, {round(causal.high, 3):g}]"
        where = (
            f"its critical sparsity is {causal.critical_sparsity:.3f}{interval}, "
            f"{'abrupt' if causal.abrupt else 'not shown to be abrupt'}"
        )
    seeds = f"{n} seeds" if n > 1 else "one seed (no interval over seeds)"
    return f"{dataset}, {architecture}, {seeds}: accuracy of causal pruning {'; '.join(parts)}; {where}."
