"""Paper B's claim of flat minima, with controls, from the raw runs of notebook 04.

A measure of flatness can be lower without a flatter minimum: fewer weights are measured, pruning of any kind changes
the loss, and a network that no longer classifies has a flat loss. So a pruned network is compared with the dense
network, with the dense network at the same places (the principal submatrix of its Hessian that belongs to the weights
which the pruned network keeps), and with other pruning methods, at equal sparsity and at equal accuracy. Ruined
networks are left out of every comparison and named.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

from ccprune.stats import student_interval
from replication.causal.flatness.runs import MEASURES, SAME_PLACES
from replication.causal.phase_shift.verdicts import difference_cells, mean_cells
from replication.data._image_sources import kind_of
from replication.ledger.cell import Cell
from replication.ledger.claims import outcome_of
from replication.ledger.power import detectable_effect

#: Measures that the paper's claim is about, on the remaining weights against the dense network.
CLAIMED = ("top_eigenvalue", "trace")
#: Largest difference of test accuracy, as a share, at which two networks count as equally accurate: one percentage
#: point, the margin at which accuracy counts as kept elsewhere.
TOLERANCE = 0.01
#: Outcome of a comparison in words: the claim is "flatter than the reference".
WORDS = {"holds": "flatter", "does_not_hold": "sharper", "undecided": "undecided"}

_DENSE_THERE = "dense at the same places"


def cells(raw: pd.DataFrame, content: Mapping[str, Any]) -> list[Cell]:
    """All cells that follow from the raw runs of `04_flat_minima.ipynb`.

    Parameters
    ----------
    raw : DataFrame
        One row a measured network, as `runs.measure_points` makes them. Rows of older results have no column
        `places` and no dense network at the same places; these comparisons are then left out.
    content : mapping
        The result, for its parameters and profile.

    Returns
    -------
    list of Cell
    """
    used = content["parameters"]
    where = {"paper": "causal", "table": f"flatness-{used['architecture']}", "dataset": used["dataset"]}
    # These networks were pruned along a path of few sparsities: their accuracies are claims as those of longer paths.
    short = where | {"profile": content["profile"]}
    del short["table"]
    networks = raw[raw.weights == "remaining"]
    networks = networks[networks.places == ""] if "places" in networks else networks
    found = difference_cells(networks, f"accuracy_short-{used['architecture']}", short)
    found += mean_cells(networks, f"accuracy_mean_short-{used['architecture']}", short)
    for row in comparisons(raw, classes=kind_of(used["dataset"]).classes).to_dict("records"):
        claimed = row["method"] == "causal" and row["reference"] == "dense" and row["weights"] == "remaining"
        names = ("estimate", "low", "high", "p_value", "detectable")
        numbers = {name: None if pd.isna(row[name]) else row[name] for name in names}
        found.append(
            Cell(
                **where,
                method=row["method"],
                reference=row["reference"],
                sparsity=row["sparsity"],
                quantity=f"{row['measure']}, {row['weights']}",
                kind="claim" if claimed and row["measure"] in CLAIMED else "control",
                ours=numbers["estimate"],
                ci_low=numbers["low"],
                ci_high=numbers["high"],
                n=row["n"] or None,
                p_value=numbers["p_value"],
                outcome=row["outcome"],
                detectable=numbers["detectable"],
                note=row["note"],
                profile=content["profile"],
            )
        )
    return found


def is_ruined(raw: pd.DataFrame, *, classes: int) -> pd.Series:
    """Return whether each network is ruined: test accuracy at most the mean of chance and its dense twin's.

    Such a network has lost at least half of what training gained over chance. The rule takes the dense network of the
    same seed and level for its unit, so that it is the same on easy and on hard data; chance is 1 / `classes`.

    Parameters
    ----------
    raw : DataFrame
        Rows of `runs.measure_points`.
    classes : int
        Number of classes; chance is 1 / `classes`.

    Returns
    -------
    Series of bool
        With the index of `raw`.

    Raises
    ------
    ValueError
        If a seed and level have no dense network.
    """
    dense = raw[(raw.method == "dense") & (raw.weights == "remaining")].set_index(["seed", "level"]).test_accuracy
    twin = dense.reindex(pd.MultiIndex.from_frame(raw[["seed", "level"]])).to_numpy()
    if np.isnan(twin).any():
        seed, level = raw[["seed", "level"]].iloc[int(np.isnan(twin).argmax())]
        raise ValueError(f"raw must have a dense network for every seed and level, got none for {seed:g} at {level:g}")
    return raw.test_accuracy <= (1 / classes + twin) / 2


def comparisons(raw: pd.DataFrame, *, classes: int) -> pd.DataFrame:
    """Ratio of every measure to the reference's, paired by seed.

    Parameters
    ----------
    raw : DataFrame
        Rows of `runs.measure_points`, as in `cells`.
    classes : int
        Number of classes, for the accuracy by chance, as in `is_ruined`.

    Returns
    -------
    DataFrame
        One row a method, reference, sparsity, kind of weights and measure, with the columns

        - method, reference, sparsity, weights, measure. The reference is "dense", "dense at the same places", or
          another method at equal sparsity ("magnitude") or "at equal accuracy".
        - estimate, low, high: geometric mean of the ratios with Student's 95% interval on the logarithms; NaN where
          there are no pairs, and the interval of a single pair.
        - n, p_value: pairs, and two-sided p of a paired t-test that the mean logarithm is 0 (NaN below two pairs).
        - outcome: "holds" (flatter: p < .05 and a ratio below 1), "does_not_hold" (sharper), "undecided".
        - detectable: for "undecided", the smallest ratio above 1 (or its inverse) that is detected with 80% power.
        - note: mean accuracies of both, and networks left out.

    Raises
    ------
    ValueError
        If a seed and level have no dense network.

    Notes
    -----
    At equal accuracy a causal network is paired with the network of the same seed, whatever its sparsity, whose test
    accuracy is nearest, if it differs by at most `TOLERANCE`. Runs have two to four sparsities, too few and too far
    apart to interpolate a measure between them, so that only networks that were measured are compared. Seeds without a
    match are named in the note.
    """
    networks = raw.assign(
        ruined=is_ruined(raw, classes=classes), places=raw["places"].fillna("") if "places" in raw else ""
    )
    rows = []
    for where, ours, theirs, remarks in _comparisons(networks):
        left_out = [*_name_ruined(where["method"], ours), *_name_ruined(where["reference"], theirs)]
        if left_out:
            remarks = [*remarks, f"ruined and left out: {', '.join(left_out)}"]
        ours, theirs = ours[~ours.ruined], theirs[~theirs.ruined]
        seeds = ours.index.intersection(theirs.index)
        ours, theirs = ours.loc[seeds], theirs.loc[seeds]
        if len(seeds):
            accuracies = f"test accuracy {ours.test_accuracy.mean():.3f} and {theirs.test_accuracy.mean():.3f}"
            remarks = [accuracies, *remarks]
        for measure in MEASURES:
            pairs = np.stack([ours[measure], theirs[measure]]).astype(float)
            usable = (pairs > 0).all(axis=0)
            missing = [] if usable.all() else [f"not positive, so without a ratio: {_seeds(seeds[~usable])}"]
            numbers = _geometric(np.log(pairs[0, usable] / pairs[1, usable]))
            rows.append(where | {"measure": measure} | numbers | {"note": "; ".join([*remarks, *missing])})
    return pd.DataFrame(rows)


def summary(raw: pd.DataFrame, *, classes: int, dataset: str, architecture: str) -> str:
    """Return sentences on the flatness of a run: the claim, its controls, the flattest network, the ruined ones.

    Parameters
    ----------
    raw : DataFrame
        Rows of `runs.measure_points`, as in `cells`.
    classes : int
        Number of classes, for the accuracy by chance.
    dataset, architecture : str
        Data set and network of the run.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a seed and level have no dense network.
    """
    table = comparisons(raw, classes=classes)
    seeds = raw.seed.nunique()
    sentences = [
        f"{dataset}, {architecture}, {seeds} seed{'s' * (seeds > 1)}: ratios of the claimed measures on the remaining "
        "weights, and at how many sparsities the method is flatter or sharper."
    ]
    part = table[(table.weights == "remaining") & table.measure.isin(CLAIMED) & (table.n > 0)]
    wanted = ("dense", _DENSE_THERE, "magnitude", "magnitude at equal accuracy", "random at equal accuracy")
    for method, references in {"causal": wanted, "magnitude": wanted[:2], "random": wanted[:2]}.items():
        for reference in references:
            rows = part[(part.method == method) & (part.reference == reference)]
            if len(rows):
                measures = [_range(name, rows[rows.measure == name]) for name in dict.fromkeys(rows.measure)]
                sentences.append(f"{method.capitalize()} over {reference}: {', '.join(measures)}.")
    own = raw.assign(ruined=is_ruined(raw, classes=classes))[raw.weights == "remaining"]
    flattest = own.loc[own.trace.idxmin()]
    sentences.append(
        f"The lowest trace of all {len(own)} networks belongs to {flattest.method} at {flattest.level:g}, whose test "
        f"accuracy is {flattest.test_accuracy:.3f}."
    )
    lost = own[own.ruined].groupby(["method", "level"], sort=False).seed
    names = [f"{method} at {level:g} ({_seeds(part)})" for (method, level), part in lost]
    if names:
        sentences.append(f"Ruined and left out: {', '.join(names)}.")
    return " ".join(sentences)


def _range(measure: str, rows: pd.DataFrame) -> str:
    low, high = rows.estimate.min(), rows.estimate.max()
    ratio = f"{low:.2f}" if len(rows) == 1 else f"{low:.2f} to {high:.2f}"
    counts = " and ".join(f"{(rows.outcome == name).sum()} {WORDS[name]}" for name in ("holds", "does_not_hold"))
    return f"{measure.replace('_', ' ')} {ratio} ({counts} of {len(rows)})"


def _comparisons(raw: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, list[str]]]:
    """(method, reference, sparsity and weights; the method's rows by seed; the reference's; remarks) to compare."""
    pruned = [name for name in dict.fromkeys(raw.method) if name != "dense"]

    by = ["method", "level", "weights", "places"]
    groups = {key: part.set_index("seed") for key, part in raw.groupby(by, sort=False)}
    none = raw.iloc[:0].set_index("seed")

    def rows(method: str, level: float, weights: str, places: str = "") -> pd.DataFrame:
        return groups.get((method, level, weights, places), none)

    for level in dict.fromkeys(raw.level):
        for method in pruned:
            where = {"method": method, "reference": "dense", "sparsity": level}
            for weights in ("remaining", "all"):
                yield where | {"weights": weights}, rows(method, level, weights), rows("dense", level, weights), []
            there = rows("dense", level, SAME_PLACES, method)
            if len(there):
                where |= {"reference": _DENSE_THERE, "weights": "remaining"}
                yield where, rows(method, level, "remaining"), there, []
        for other in [name for name in pruned if name != "causal" and "causal" in pruned]:
            where = {"method": "causal", "reference": other, "sparsity": level, "weights": "remaining"}
            ours = rows("causal", level, "remaining")
            yield where, ours, rows(other, level, "remaining"), []
            candidates = raw[(raw.method == other) & (raw.weights == "remaining") & ~raw.ruined]
            where |= {"reference": f"{other} at equal accuracy"}
            yield where, ours, *_match_accuracy(ours, candidates)


def _match_accuracy(ours: pd.DataFrame, candidates: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """For each seed the candidate of nearest accuracy, by seed, and remarks on sparsities and on seeds without one."""
    ours = ours[~ours.ruined]
    gaps = (candidates.test_accuracy - ours.test_accuracy.reindex(candidates.seed).to_numpy()).abs()
    # Accuracies are shares of whole images: a difference of exactly the tolerance must not fail by rounding.
    near = candidates.assign(gap=gaps)[gaps <= TOLERANCE + 1e-9]
    found = near.sort_values("gap", kind="stable").drop_duplicates("seed").set_index("seed")
    remarks = []
    if len(found):
        levels = ", ".join(f"{level:g}" for level in sorted(set(found.level)))
        remarks.append(f"matched with sparsity {levels}")
    missing = ours.index.difference(found.index)
    if len(missing):
        remarks.append(f"without a match within {TOLERANCE:g}: {_seeds(missing)}")
    return found, remarks


def _name_ruined(method: str, rows: pd.DataFrame) -> list[str]:
    lost = rows.index[rows.ruined]
    return [f"{method} ({_seeds(lost)})"] if len(lost) else []


def _seeds(seeds: Iterable[int]) -> str:
    names = [str(seed) for seed in seeds]
    return f"seed{'s' * (len(names) > 1)} {', '.join(names)}"


def _geometric(logs: np.ndarray) -> dict[str, Any]:
    """Geometric mean, its interval, p, outcome and detectable factor, from the logarithms of ratios."""
    n = len(logs)
    nothing = {"low": np.nan, "high": np.nan, "p_value": np.nan, "outcome": "undecided", "detectable": np.nan}
    if n < 2:
        return nothing | {"estimate": float(np.exp(logs[0])) if n else np.nan, "n": n}
    found = student_interval(logs)
    # Equal logarithms have no spread to test with: identical networks do not differ, others surely do.
    p_value = float(found.estimate == 0) if np.ptp(logs) == 0 else float(ttest_1samp(logs, 0.0).pvalue)
    outcome = outcome_of(p_value, -found.estimate)
    numbers = {"estimate": found.estimate, "low": found.low, "high": found.high}
    if outcome == "undecided" and np.ptp(logs) > 0:
        numbers["detectable"] = detectable_effect(float(logs.std(ddof=1)), n)
    factors = {name: float(np.exp(value)) for name, value in numbers.items()}
    return nothing | factors | {"n": n, "p_value": p_value, "outcome": outcome}
