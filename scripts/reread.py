"""Recompute the verdicts and outcomes of a replication folder from its raw rows, without ccprune.

Usage: ``python scripts/reread.py [folder]``, by default ``replication``. The exit status is 1 if anything differs.
Of tables that ``STUDIES`` lacks and of the controls of ``flatness``, only Holm's correction is recomputed.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

NEVER = 1e300  # epochs of a run that did not reach the benchmark; finite, so that quantiles can be interpolated
UNKNOWN = {("cancer", "pt"), ("titanic", "pt")}  # settings that were not released and not found
MASKS = (("banknote", "pt"), ("iris3f", "pt"))  # the mask of the printed trial is not released
OTHER_NETWORK = {
    "fit_average_loss_every_pass",
    "gammas_not_zero",
}  # where no run answers it, its cell names another network than the log
STUDIES = {"accuracy_path": "curves", "accuracy_totals": "curves", "accuracy_short": "flatness", "flatness": "flatness"}
STUDIES |= {name.replace("accuracy", "accuracy_mean"): study for name, study in STUDIES.items()}  # over sparsities
STUDIES["accuracy_protocol_2024"] = "protocol_2024"
STUDIES |= dict.fromkeys(
    "fewer_epochs keeps_accuracy keeps_f1 beats_random beats_magnitude margins beats_magnitude_unretrained".split(),
    "fresh",
)
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "replication")
paper = json.loads((folder / "paper/legcnet_tables.json").read_text())
theirs = json.loads((folder / "paper/causal_released.json").read_text())["cells"]
runs, log = {}, {}
for file in sorted((folder / "raw").glob("*.parquet")):
    p = json.loads((folder / "results" / f"{file.stem}.json").read_text())["parameters"]
    raw = pd.read_parquet(file)
    for study, data in raw.groupby("study") if "study" in raw else ():
        key = p.get("dataset"), p.get("architecture", ""), bool(p.get("totals")), p["profile"], study
        runs[key] = data.assign(epochs=np.where(data.get("reached", True) != False, data.get("epochs"), NEVER))  # noqa: E712


def select(row, method, study):
    """Return the raw rows of one method for a row of the table, indexed by network or seed."""
    key = row.dataset, row.table.partition("-")[2], "_totals-" in row.table, row.profile.replace("authors", "paper")
    data = runs[*key, study].query("method == @method").set_index("network" if row.paper == "legcnet" else "seed")
    mean = row.claim == "accuracy_mean"
    level = row.paper == "causal" and not mean and study != "protocol_2024"  # its masks of a seed have one sparsity
    data = data[np.isclose(data.level, row.sparsity)] if level else data
    data = data[data.weights == (row.quantity.partition(", ")[2] or "remaining")] if study == "flatness" else data
    return data.groupby("seed").mean(numeric_only=True) if mean else data


def compare(part, row, near=False, **expected):
    """Compare columns of one row of the table and print those that differ."""
    log[part, row.Index] = "agree"
    for column, value in expected.items():
        found = getattr(row, column)
        if found != value and (isinstance(value, str) or not np.isclose(found, value, 1e-4, 0, equal_nan=True)):
            log[part, row.Index] = "borderline" if near and column == "outcome_alone" else "DIFFERS"
            print(log[part, row.Index], *row[2:8], row.margin, row.profile, column, found, "recomputed:", value)


def figure(row, authors):
    """Compare one printed figure with the authors' trial or with the central 95% range of single runs."""
    table = next(entry for name, entry in paper.items() if name.startswith(f"table{row.table}_"))
    step = 1 if row.quantity in ("epochs", "kept") else 0.01 if row.table == "4" else 0.0001
    if row.table == "4":
        x, value, printed = [row.ours], row.ours, table[row.method][table["columns"].index(row.quantity)]
    else:
        printed = table[row.dataset][f"{row.quantity.replace('kept', 'weights')}_{row.method}"]
        x = select(row, row.method.replace("magnitude", "magnitude_after"), "authors" if authors else "fresh")
        x = x.get(f"{row.quantity}_printed", x[row.quantity]).sort_index().to_numpy(float)
        value = x[int(row.trial) - 1] if authors else np.median(x) if row.quantity == "epochs" else x.mean()
    low, high = (value, value) if authors else np.quantile(x, [0.025, 0.975], method="weibull")  # ranks q (n + 1)
    inside = printed - step / 2 <= high + 1e-9 and low < printed + step - 1e-9  # rounds or truncates to it
    hidden = row.dataset == "mnist" and not (authors and row.quantity == "kept")
    hidden |= (row.dataset, row.method) in (MASKS if authors else UNKNOWN) or (authors and row.method == "random")
    verdict = "underspecified" if hidden else "outside" if not inside else "identical" if authors else "within_noise"
    compare(f"figures, {row.profile}", row, published=printed, ours=value if value < NEVER else np.nan, verdict=verdict)


def check_released(row):
    """Compare one released figure that no run answers with the nearest one of its kind in the authors' file."""
    values = [cell["value"] for cell in theirs if (cell["dataset"], cell["method"]) == (row.dataset, row.method)]
    nearest = min(values, key=lambda value: abs(value - row.published))
    rounding = "identical" if row.ours == nearest else "underspecified" if abs(row.ours - nearest) == 1 else "outside"
    absent = "underspecified" if row.quantity in OTHER_NETWORK else "not_run"
    compare("figures, released", row, published=nearest, verdict=absent if np.isnan(row.ours) else rounding)


def check_paired(row, study):
    """Compare one test of paired differences, which are positive where the claim holds."""
    a, b = (select(row, method, study) for method in (row.method, row.reference))
    a = a[a.test_accuracy.gt((0.1 + b.test_accuracy) / 2)] if row.claim == "flatness" else a  # no ruined networks
    a, b = (
        data["test_accuracy" if row.claim.startswith("accuracy") else row.quantity.split(",")[0]] for data in (a, b)
    )
    x = np.log(b / a) if row.claim == "flatness" else np.sign(b - a) if row.quantity == "epochs" else a - b
    x = x.dropna().to_numpy() + np.nan_to_num(row.margin)
    p, drawn = stats.ttest_1samp(x, 0).pvalue if len(x) > 1 else np.nan, len(x) > 5 and row.quantity != "epochs"
    if drawn:  # flips of the signs
        flips = np.random.default_rng(row.Index).integers(0, 2, (10_000, len(x))) * 2.0 - 1
        p = (1 + (abs(flips @ x) >= abs(x.sum()) - 1e-9).sum()) / 10_001
    elif row.quantity == "epochs":
        p = stats.binomtest(int((x > 0).sum()), int((x != 0).sum())).pvalue
    alone = "undecided" if not p < 0.05 else "holds" if x.sum() > 0 else "does_not_hold"
    setting = row.method.removeprefix("random_").removesuffix("_after")  # masks of the same count, or not retrained
    alone = "cannot_be_known" if (row.dataset, setting) in UNKNOWN else alone
    near, p = drawn and abs(p - 0.05) < 0.01, row.p_value if drawn else p
    compare(f"{row.kind}s, {row.claim}", row, near, outcome_alone=alone, n=len(x), p_value=p)


table = pd.read_csv(folder / "verdicts.csv", dtype={"table": str})
table["claim"] = table.table.str.split("(?:_path|_totals|_short|_protocol_2024)?-", regex=True).str[0]
repaired = table.claim.str.startswith("repaired")
alone = repaired | (table.paper == "causal") | (table.reference == "dense_other")  # a family for each reference
random = (table.claim == "margins") & table.method.str.startswith("random")
family = [table.paper, table.claim, table.kind, table.margin, table.reference.where(alone)]
family += [table.quantity.where(repaired), random]
for _, p in table.p_value.sort_values().groupby(family, dropna=False):  # ascending, missing ones last
    table.loc[p.index, "holm"] = (p * (p.count() - np.arange(len(p)))).cummax().clip(upper=1)
for row in table[(table.kind == "figure") & (table.origin == "printed")].itertuples():
    figure(row, row.profile == "authors")
for row in table[(table.kind == "figure") & (table.origin != "printed") & table.profile.isna()].itertuples():
    check_released(row)
for row in table[table.kind != "figure"].itertuples():
    if study := STUDIES.get(row.table.split("-")[0]) if row.kind == "claim" or row.claim != "flatness" else None:
        check_paired(row, study)
    outcome = "undecided" if row.holm >= 0.05 and row.outcome_alone != "cannot_be_known" else row.outcome_alone
    compare(f"Holm, {row.kind}s" if study else f"Holm only, {row.claim}", row, p_holm=row.holm, outcome=outcome)
print(pd.Series(log).groupby(level=0, sort=False).value_counts().unstack(fill_value=0).to_string())
sys.exit("DIFFERS" in log.values())
