"""Cells of the follow-up's runs. Oracles: the rows themselves, and scipy's paired t-test."""

import pandas as pd
import pytest
from scipy.stats import ttest_rel

from replication.causal.follow_up.verdicts import ACCURACIES, cells

CONTENT = {"parameters": {"dataset": "cifar10", "architecture": "lenet"}, "profile": "paper"}
VALUES = {
    ("ridge", "cubic"): (0.70, 0.72, 0.71),
    ("ridge", "geometric"): (0.60, 0.61, 0.65),
    ("magnitude", "cubic"): (0.69, 0.70, 0.71),
    ("magnitude", "geometric"): (0.68, 0.71, 0.70),
}


@pytest.fixture
def raw():
    def row(method, schedule, total, seed, value):
        accuracies = {name: value + place / 100 for place, name in enumerate(ACCURACIES)}
        return {"seed": seed, "method": method, "schedule": schedule, "total": total, **accuracies}

    rows = [row("dense", None, 0.0, seed, 0.75) for seed in range(3)]
    for (method, schedule), values in VALUES.items():
        rows += [row(method, schedule, 0.9, seed, value) for seed, value in enumerate(values)]
    return pd.DataFrame(rows)


def test_every_row_is_behind_a_cell(raw):
    found = cells(raw, CONTENT)
    tables = pd.Series([cell.table for cell in found]).value_counts().to_dict()
    assert tables == {"follow_up-lenet": 4 * 5, "accuracy_follow_up-lenet": 2, "schedule_follow_up-lenet": 2}
    assert {cell.n for cell in found} == {3}


def test_differences_are_paired_by_seed_at_the_same_schedule(raw):
    found = {(cell.method, cell.reference): cell for cell in cells(raw, CONTENT) if cell.kind == "control"}
    a, b = VALUES["ridge", "geometric"], VALUES["magnitude", "geometric"]
    cell = found["ridge, geometric", "magnitude, geometric"]
    assert cell.ours == pytest.approx(sum(a) / 3 - sum(b) / 3)
    assert cell.p_value == pytest.approx(ttest_rel(a, b).pvalue)
    cell = found["ridge, cubic", "ridge, geometric"]
    assert cell.ours == pytest.approx(sum(VALUES["ridge", "cubic"]) / 3 - sum(a) / 3)


def test_a_run_that_ended_early_is_in_no_accuracy(raw):
    ended = (raw.method == "ridge") & (raw.schedule == "cubic") & (raw.seed == 1)
    raw.loc[ended, ["best_on_test", "chosen_on_validation", "last_epoch"]] = None
    found = [cell for cell in cells(raw, CONTENT) if cell.method == "ridge, cubic"]
    counts = {(cell.quantity, cell.kind): cell.n for cell in found}
    assert counts[ACCURACIES["last_epoch"], "measurement"] == 2
    assert counts[ACCURACIES["before_final"], "measurement"] == 3
    assert counts[ACCURACIES["chosen_on_validation"], "control"] == 2
