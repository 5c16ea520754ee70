"""From the runs of a pilot to its table and its recommendation, by rules that the page states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ccprune.measure.explanation import agreement
from ccprune.stats import mean_interval, student_interval

DENSE = "dense"
_KEY = ["method", "schedule", "sparsity"]


@dataclass(frozen=True)
class Recommendation:
    """What the measurements support.

    Attributes
    ----------
    answer : str
        "prune"; "do_not_prune", if no pruned network is shown to be as good as the dense one within the margin;
        "nothing_learned", if the dense networks' metric is not better than for targets in random order (p <= 0.05);
        "unknown", if there is one seed, which has no interval.
    method, schedule, sparsity
        The largest sparsity at which a method is as good as dense within the margin, there and at all smaller
        sparsities of the grid; among several methods magnitude, which needs no recording, and then the best mean. Only
        for the answer "prune".
    as_good : tuple of str
        Other methods that reach the same sparsity.
    confirmed : bool or None
        Whether the same holds on the test samples, which had no part in the choice. None without test samples.
    better : tuple of (method, schedule, sparsity)
        Pruned networks that are shown to be better than dense, with a correction for their number.
    protected : tuple of str
        Layers whose pruning alone, to the lowest screened sparsity, costs more than the margin.
    worse : tuple of int
        Number of pruned networks that are shown to be worse than dense by more than the margin, and of all of them.
    reach : float
        Half of the narrowest interval of a difference: a smaller margin cannot be shown with these seeds.
    """

    answer: str
    method: str = ""
    schedule: str = ""
    sparsity: float = 0.0
    as_good: tuple[str, ...] = ()
    confirmed: bool | None = None
    better: tuple[tuple[str, str, float], ...] = ()
    protected: tuple[str, ...] = ()
    worse: tuple[int, int] = (0, 0)
    reach: float = 0.0


def tabulate(
    rows: Sequence[dict[str, Any]], *, margin: float, sign: int, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> pd.DataFrame:
    """Return one row per method, schedule and sparsity.

    The columns are n (seeds); for validation and test the mean, its interval (low, high), and the difference to dense
    with the same seed (difference, difference_low, difference_high), for which larger is better whatever the metric;
    as_good (whether the lower bound of the validation difference is at least -margin); macs and file (shares of the
    dense model's); reached (share of the seeds that reach the dense network's metric at pruning) and epochs (median of
    the epochs until then, infinite if most do not reach it); agreement and top_k (of the features' importance with the
    dense network's); speed (dense seconds over those of the exported form).
    """
    runs = pd.DataFrame(list(rows))
    dense = {row["seed"]: row for row in rows if row["method"] == DENSE}
    found = []
    for key, group in runs.groupby(_KEY, sort=False):
        row: dict[str, Any] = dict(zip(_KEY, key, strict=True)) | {"n": len(group)}
        pairs = [(one, dense[one["seed"]]) for one in group.to_dict("records")]
        for part in ("validation", "test"):
            if any(one[part] is None or pd.isna(one[part]) for one, _ in pairs):
                continue
            values = np.array([one[part] for one, _ in pairs], dtype=float)
            gains = sign * np.array([one[part] - base[part] for one, base in pairs], dtype=float)
            row |= _interval(values, part, bounds) | _interval(gains, f"{part}_difference")
        row["as_good"] = bool(row.get("validation_difference_low", -np.inf) >= -margin)
        row["macs"] = np.mean([one["macs"] / max(base["macs"], 1) for one, base in pairs])
        row["file"] = np.mean([one["file_bytes"] / base["file_bytes"] for one, base in pairs])
        epochs = [np.inf if pd.isna(one["epochs_to_dense"]) else one["epochs_to_dense"] for one, _ in pairs]
        row |= {"reached": np.mean(np.isfinite(epochs)), "epochs": float(np.sort(epochs)[(len(epochs) - 1) // 2])}
        if all(one["importance"] for one, _ in pairs):
            others = [_other(base, dense) if row["method"] == DENSE else base for _, base in pairs]
            alike = [
                agreement(one["importance"], other["importance"])
                for (one, _), other in zip(pairs, others, strict=True)
                if other is not None
            ]
            if alike:
                row |= {
                    "agreement": np.mean([one.rank_correlation for one in alike]),
                    "top_k": np.mean([one.top_k for one in alike]),
                }
        if "seconds_exported" in group and group["seconds_exported"].notna().any():
            row["speed"] = float((group["seconds_dense"] / group["seconds_exported"]).dropna().iloc[0])
        found.append(row)
    return pd.DataFrame(found).set_index(_KEY).sort_index()


def recommend(
    table: pd.DataFrame,
    rows: Sequence[dict[str, Any]],
    layers: Sequence[dict[str, Any]],
    *,
    margin: float,
    sign: int,
) -> Recommendation:
    """Apply the rules."""
    dense = [row for row in rows if row["method"] == DENSE]
    if len(dense) < 2:
        return Recommendation("unknown")
    # All seeds share the samples, so their spread says nothing of chance in these; orders of the targets do.
    value = sign * np.mean([row["validation"] for row in dense])
    chance = sign * np.mean([row["shuffled"] for row in dense], axis=0)
    if (1 + (chance >= value).sum()) / (1 + len(chance)) > 0.05:
        return Recommendation("nothing_learned")
    pruned = table.drop(index=DENSE, level="method")
    width = pruned["validation_difference_high"] - pruned["validation_difference_low"]
    common: dict[str, Any] = {
        "better": _better(rows, list(pruned.index), sign),
        "protected": _protected(layers, dense, margin, sign),
        "worse": (int((pruned["validation_difference_high"].fillna(-np.inf) < -margin).sum()), len(pruned)),
        "reach": float(width.min() / 2),
    }
    largest: dict[tuple[str, str], float] = {}
    for (method, schedule), part in pruned.groupby(level=["method", "schedule"], sort=False):
        good = part["as_good"].droplevel(["method", "schedule"]).sort_index().cummin()
        if good.any():
            largest[method, schedule] = float(good[good].index.max())
    if not largest:
        return Recommendation("do_not_prune", **common)
    most = max(largest.values())
    ties = [key for key, sparsity in largest.items() if sparsity == most]
    mean = pruned["validation_difference"]
    method, schedule = max(ties, key=lambda key: (key[0] == "magnitude", mean[(*key, most)]))
    confirmed = None
    if "test_difference_low" in table:
        confirmed = bool(pruned["test_difference_low"][method, schedule, most] >= -margin)
    as_good = tuple(dict.fromkeys(name for name, _ in ties if name != method))
    return Recommendation("prune", method, schedule, most, as_good, confirmed, **common)


def _interval(values: np.ndarray, name: str, bounds: tuple[float, float] = (-np.inf, np.inf)) -> dict[str, float]:
    """Return the mean and its interval, without the part of it that lies outside the metric's bounds."""
    row = {name: float(values.mean())}
    if len(values) > 1 and np.isfinite(values).all():
        interval = mean_interval(values)
        row |= {f"{name}_low": max(interval.low, bounds[0]), f"{name}_high": min(interval.high, bounds[1])}
    return row


def _other(row: dict[str, Any], dense: dict[int, dict[str, Any]]) -> dict[str, Any] | None:
    """Return the dense network of the next seed, with which the agreement is that of two trainings."""
    seeds = sorted(dense)
    if len(seeds) < 2:
        return None
    return dense[seeds[(seeds.index(row["seed"]) + 1) % len(seeds)]]


def _better(
    rows: Sequence[dict[str, Any]], keys: Sequence[tuple[str, str, float]], sign: int
) -> tuple[tuple[str, str, float], ...]:
    """Return the pruned networks whose gain over dense has an interval above 0, at a level corrected for their number.

    The correction is Bonferroni's, over all cells of the grid. Gains without any spread, as a few seeds easily have on
    few samples, have no interval that could show something.
    """
    dense = {row["seed"]: row["validation"] for row in rows if row["method"] == DENSE}
    found = []
    for key in keys:
        gains = [
            sign * (row["validation"] - dense[row["seed"]])
            for row in rows
            if (row["method"], row["schedule"], row["sparsity"]) == key
        ]
        if not np.isfinite(gains).all() or np.allclose(gains, gains[0], rtol=1e-9):
            continue
        if student_interval(gains, confidence_level=1 - 0.05 / len(keys)).low > 0:
            found.append(key)
    return tuple(found)


def _protected(
    layers: Sequence[dict[str, Any]], dense: Sequence[dict[str, Any]], margin: float, sign: int
) -> tuple[str, ...]:
    if not layers:
        return ()
    lowest = min(row["sparsity"] for row in layers)
    before = dense[0]["before"][-1]
    return tuple(
        row["layer"] for row in layers if row["sparsity"] == lowest and sign * (row["validation"] - before) < -margin
    )
