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
_SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Recommendation:
    """What the measurements support; an attribute of the result of `pilot`.

    Attributes
    ----------
    answer : {"prune", "do_not_prune", "nothing_learned", "unknown"}
        "prune" if a pruned network is shown to be as good as the dense one within the margin, there and at all smaller
        sparsities of the grid, else "do_not_prune". "nothing_learned" if the dense networks are not shown to be better
        than for targets in random order (p > 0.05). "unknown" for one seed, which has no interval.
    method, schedule, sparsity
        The largest sparsity at which a method is as good as dense within the margin, there and at all smaller
        sparsities of the grid; among several methods magnitude, which needs no recording, and then the best mean. Only
        for the answer "prune".
    as_good : tuple of str
        Other methods that reach the same sparsity.
    simultaneous : (method, schedule, sparsity) or None
        The recommendation if the bounds hold for all methods and schedules at once, or None if there is none. The
        choice of the best of several is otherwise not corrected.
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
    simultaneous: tuple[str, str, float] | None = None
    confirmed: bool | None = None
    better: tuple[tuple[str, str, float], ...] = ()
    protected: tuple[str, ...] = ()
    worse: tuple[int, int] = (0, 0)
    reach: float = 0.0


def tabulate(
    rows: Sequence[dict[str, Any]], *, margin: float, sign: int, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> pd.DataFrame:
    """Return one row per method, schedule and sparsity.

    Measures are means over the seeds, and NAME_low and NAME_high their intervals: validation and test; the differences
    from dense with the same seed (validation_difference, test_difference), for which larger is better whatever the
    metric; macs and file (shares of the dense model's); agreement and top_k (of the features' importance with the dense
    network's). The measures epochs and seconds, until the dense network's metric at pruning is reached, are medians
    with the range of the seeds, infinite if it is not reached, and reached is the share of the seeds that do. The
    measure speed (dense seconds over those of the exported form) is that of one seed, with quartiles of its repeats.

    The column n is the number of seeds. A network is as_good if the lower bound of the validation difference is at
    least -margin. It is as_good_simultaneously if that holds with a bound at the level 1 - 0.05 / k for k methods and
    schedules. Within each of these, sparsities are tested from the smallest on, which needs no correction. It is better
    if the bound at the level 1 - 0.05 / (number of networks) is above 0; gains without any spread, as a few seeds
    easily have on few samples, show nothing.
    """
    dense = {row["seed"]: row for row in rows if row["method"] == DENSE}
    groups: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["schedule"], row["sparsity"]), []).append(row)
    limits = {"validation": bounds, "test": bounds, "macs": (0, 1), "agreement": (-1, 1), "top_k": (0, 1)}
    chains = len({key[:2] for key in groups}) - 1
    found = []
    for key, runs in groups.items():
        row = dict(zip(_KEY, key, strict=True)) | {"n": len(runs)}
        measured = [_measures(one, dense, sign) for one in runs]
        each = {name: np.array([one[name] for one in measured], dtype=float) for name in measured[0]}
        for name, values in each.items():
            if not np.isnan(values).any():
                row |= _interval(values, name, limits.get(name, (-np.inf, np.inf)))
        gains = each["validation_difference"]
        row["as_good"] = bool(row.get("validation_difference_low", -np.inf) >= -margin)
        row["as_good_simultaneously"] = row["as_good"] and _lower(gains, chains) >= -margin
        row["better"] = not np.allclose(gains, gains[0], rtol=1e-9) and _lower(gains, len(groups) - 1) > 0
        row["reached"] = np.mean([not pd.isna(one["epochs_to_dense"]) for one in runs])
        for name in ("epochs", "seconds"):
            ordered = np.sort([np.inf if pd.isna(value := one[f"{name}_to_dense"]) else value for one in runs])
            middle = ordered[(len(ordered) - 1) // 2]
            row |= {name: float(middle), f"{name}_low": float(ordered[0]), f"{name}_high": float(ordered[-1])}
        timed = next((one for one in runs if not pd.isna(one.get("speed"))), {})
        row |= {name: timed[name] for name in ("speed", "speed_low", "speed_high") if name in timed}
        found.append(row)
    return pd.DataFrame(found).set_index(_KEY).sort_index()


def _measures(one: dict[str, Any], dense: dict[int, dict[str, Any]], sign: int) -> dict[str, float]:
    """Return the measures of one network whose mean is a measure of its method."""
    base = dense[one["seed"]]
    other = _other(base, dense) if one["method"] == DENSE else base
    alike = agreement(one["importance"], other["importance"]) if one["importance"] and other else None
    nothing = float("nan")
    row = {}
    for part in ("validation", "test"):
        value, before = (nothing if of[part] is None else of[part] for of in (one, base))
        row |= {part: value, f"{part}_difference": sign * (value - before)}
    return row | {
        "macs": one["macs"] / max(base["macs"], 1),
        "file": one["file_bytes"] / base["file_bytes"],
        "agreement": alike.rank_correlation if alike else nothing,
        "top_k": alike.top_k if alike else nothing,
    }


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
    # All seeds share the samples, so their spread does not measure chance in these; permutations of the targets do.
    value = sign * np.mean([row["validation"] for row in dense])
    chance = sign * np.mean([row["shuffled"] for row in dense], axis=0)
    if (1 + (chance >= value).sum()) / (1 + len(chance)) > _SIGNIFICANCE:
        return Recommendation("nothing_learned")
    pruned = table.drop(index=DENSE, level="method")
    low, high = (pruned[f"validation_difference_{end}"] for end in ("low", "high"))
    common: dict[str, Any] = {
        "better": tuple(pruned.index[pruned["better"]]),
        "protected": _layers_to_protect(layers, dense, margin, sign),
        "worse": (int((high.fillna(-np.inf) < -margin).sum()), len(pruned)),
        "reach": float((high - low).min() / 2),
    }
    ties = _largest(pruned, "as_good")
    if not ties:
        return Recommendation("do_not_prune", **common)
    method, schedule, most = ties[0]
    confirmed = None
    if "test_difference_low" in table:
        confirmed = bool(pruned["test_difference_low"][method, schedule, most] >= -margin)
    as_good = tuple(dict.fromkeys(name for name, *_ in ties if name != method))
    corrected = (*_largest(pruned, "as_good_simultaneously"), None)[0]
    return Recommendation("prune", method, schedule, most, as_good, corrected, confirmed, **common)


def _largest(pruned: pd.DataFrame, column: str) -> list[tuple[str, str, float]]:
    """Return the methods that are as good at the largest sparsity, there and at all smaller ones, the best first."""
    largest = {}
    for (method, schedule), part in pruned.groupby(level=["method", "schedule"], sort=False):
        good = part[column].droplevel(["method", "schedule"]).sort_index().cummin()
        if good.any():
            largest[method, schedule] = float(good[good].index.max())
    ties = [(*key, sparsity) for key, sparsity in largest.items() if sparsity == max(largest.values())]
    return sorted(ties, key=lambda key: (key[0] == "magnitude", pruned["validation_difference"][key]), reverse=True)


def _interval(values: np.ndarray, name: str, bounds: tuple[float, float]) -> dict[str, float]:
    """Return the mean and its interval, without the part of it that lies outside the measure's bounds."""
    row = {name: float(values.mean())}
    if len(values) > 1 and np.isfinite(values).all():
        interval = mean_interval(values)
        row |= {f"{name}_low": max(interval.low, bounds[0]), f"{name}_high": min(interval.high, bounds[1])}
    return row


def _lower(gains: np.ndarray, count: int) -> float:
    """Return the lower bound of the mean that holds for `count` means at once (Bonferroni), -infinity without one."""
    if len(gains) < 2 or not np.isfinite(gains).all() or not count:
        return -np.inf
    low = student_interval(gains, confidence_level=1 - _SIGNIFICANCE / count).low
    return -np.inf if low is None else low


def _other(row: dict[str, Any], dense: dict[int, dict[str, Any]]) -> dict[str, Any] | None:
    """Return the dense network of the next seed, with which the agreement is that of two trainings."""
    seeds = sorted(dense)
    return dense[seeds[(seeds.index(row["seed"]) + 1) % len(seeds)]] if len(seeds) > 1 else None


def _layers_to_protect(
    layers: Sequence[dict[str, Any]], dense: Sequence[dict[str, Any]], margin: float, sign: int
) -> tuple[str, ...]:
    lowest = min((row["sparsity"] for row in layers), default=0)
    before = dense[0]["before"][-1]
    return tuple(
        row["layer"] for row in layers if row["sparsity"] == lowest and sign * (row["validation"] - before) < -margin
    )
