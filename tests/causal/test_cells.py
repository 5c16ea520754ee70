"""Cells and sentences from tables whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from ccprune.causal import cells
from ccprune.stats import student_interval

LEVELS = np.array([0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])


def curves(seeds=3):
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for method, corner, offset in (("dense", 1.0, 0.0), ("causal", 0.7, 0.0), ("magnitude", 0.5, -0.05)):
            for level in LEVELS:
                accuracy = 0.9 + offset - 2 * max(0.0, level - corner) + 1e-3 * rng.standard_normal()
                rows.append((seed, method, level, accuracy, accuracy + 0.001))
    return pd.DataFrame(rows, columns=["seed", "method", "level", "test_accuracy", "valid_accuracy"])


def test_curve_cells_are_means_with_student_intervals():
    found = cells.curve_cells(curves(), table="curve", dataset="mnist5k", profile="default")
    assert len(found) == 3 * len(LEVELS)
    one = next(c for c in found if c.method == "causal at 0.9")
    table = curves()
    values = table[(table.method == "causal") & (table.level == 0.9)].test_accuracy
    expected = student_interval(values)
    assert (one.ours, one.ci_low, one.ci_high, one.n) == (expected.estimate, expected.low, expected.high, 3)
    single = cells.curve_cells(curves(1), table="curve", dataset="mnist5k", profile="default")[0]
    assert single.n == 1 and single.ci_low is None and single.verdict == "not_published"


def test_critical_points_fall_where_they_were_put():
    points = cells.critical_points(curves(), axis="sparsity")
    assert set(points) == {"causal", "magnitude"}
    assert points["causal"].critical_sparsity == pytest.approx(0.7, abs=0.02)
    assert points["magnitude"].critical_sparsity == pytest.approx(0.5, abs=0.02)
    found = cells.critical_cells(points, table="phase_shift", dataset="mnist5k", runs=3, profile="default")
    assert [c.method for c in found] == ["causal", "magnitude"]
    assert found[0].ci_low <= 0.7 <= found[0].ci_high and "abrupt" in found[0].note


def test_differences_are_paired_and_judged():
    table = cells.differences(curves()).set_index(["reference", "level"])
    assert table.loc[("magnitude", 0.1)].estimate == pytest.approx(0.05, abs=0.003)
    assert table.loc[("magnitude", 0.1)].claim == "holds" and table.loc[("dense", 0.95)].claim == "does not hold"
    assert table.loc[("dense", 0.1)].claim == "holds"  # null: equal to noise, so no worse by a percentage point
    assert set(cells.differences(curves(1)).claim) == {"undecided"}
    made = cells.difference_cells(table.reset_index(), name="curve", dataset="mnist5k", profile="default")
    assert made[0].method == "causal - magnitude at 0.1" and made[0].n == 3


def test_chosen_is_made_on_held_out_images():
    table = curves()
    table.loc[table.method == "causal", "valid_accuracy"] = 0.5
    table.loc[(table.method == "causal") & (table.level == 0.3), "valid_accuracy"] = 0.9
    found = cells.chosen(table)
    assert found.loc["causal", "sparsity"] == 0.3
    at = table[(table.method == "causal") & (table.level == 0.3)].test_accuracy.mean()
    assert found.loc["causal", "test_accuracy"] == pytest.approx(at) and found.loc["causal", "dense"] > 0.89


def test_paper_cell_is_judged_by_the_range_of_runs():
    path = [[0.1, 0.6], [0.1, 0.66], [0.1, 0.7]]
    options = {"epochs": 10, "architecture": "lenet", "dataset": "fashion_mnist", "profile": "paper"}
    found = cells.paper_cell(path, 0.1, 10, **options)
    assert found.published == 0.651 and found.verdict == "within_noise" and found.n == 3
    assert found.ours == pytest.approx(np.mean([0.6, 0.66, 0.7]))
    assert cells.paper_cell(path[1:], 0.1, 10, **options).verdict == "not_reproduced"
    assert cells.paper_cell(path[:1], 0.1, 10, **options).verdict == "not_reproduced"
    assert cells.paper_cell([[0.6513]], 0.1, 10, **options).verdict == "within_noise"


def test_sentence_counts():
    table = cells.differences(curves())
    points = cells.critical_points(curves(), axis="sparsity")
    text = cells.sentence(points, table, dataset="mnist5k", architecture="lenet")
    assert text.startswith("mnist5k, lenet, 3 seeds") and "against magnitude better at 8 and worse at 0 of 8" in text
    assert "critical sparsity is 0.70" in text


def test_sentence_of_one_seed_shows_nothing_better_or_worse():
    one = curves(1)
    points = cells.critical_points(one, axis="sparsity")
    text = cells.sentence(points, cells.differences(one), dataset="mnist5k", architecture="lenet")
    assert "lenet, one seed (no interval" in text and "higher at 8 and lower at 0 of 8" in text and "better" not in text
