"""Paper B's claims on curves whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from ccprune.stats import student_interval
from replication.causal.phase_shift import verdicts as curves
from replication.causal.phase_shift.sentences import claims_sentence

LEVELS = np.array([0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
WHERE = {"paper": "causal", "dataset": "mnist5k", "profile": "default"}


def runs(seeds=3):
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for method, corner, offset in (("dense", 1.0, 0.0), ("causal", 0.7, 0.0), ("magnitude", 0.5, -0.05)):
            for level in LEVELS:
                accuracy = 0.9 + offset - 2 * max(0.0, level - corner) + 1e-3 * rng.standard_normal()
                rows.append((seed, method, level, accuracy, accuracy + 0.001))
    return pd.DataFrame(rows, columns=["seed", "method", "level", "test_accuracy", "valid_accuracy"])


def content(**parameters):
    used = {"dataset": "mnist5k", "architecture": "lenet", "held_out": 500, "totals": False} | parameters
    return {"parameters": used, "profile": "default"}


def at(cells, reference, sparsity):
    (found,) = [cell for cell in cells if (cell.reference, cell.sparsity) == (reference, sparsity)]
    return found


def test_curve_cells_are_means_with_student_intervals():
    found = curves.curve_cells(runs(), "curve", WHERE)
    assert len(found) == 3 * len(LEVELS)
    one = next(cell for cell in found if (cell.method, cell.sparsity) == ("causal", 0.9))
    table = runs()
    expected = student_interval(table[(table.method == "causal") & (table.level == 0.9)].test_accuracy)
    assert (one.ours, one.ci_low, one.ci_high, one.n) == (expected.estimate, expected.low, expected.high, 3)
    single = curves.curve_cells(runs(1), "curve", WHERE)[0]
    assert single.n == 1 and single.ci_low is None


def test_differences_are_paired_tested_and_of_their_kind():
    found, table = curves.difference_cells(runs(), "accuracy", WHERE), runs()
    better = at(found, "magnitude", 0.1)
    pair = table[table.level == 0.1].pivot(index="seed", columns="method", values="test_accuracy")
    assert better.p_value == pytest.approx(scipy_stats.ttest_rel(pair["causal"], pair["magnitude"]).pvalue)
    assert better.ours == pytest.approx(0.05, abs=0.003) and (better.kind, better.outcome) == ("claim", "holds")
    assert at(found, "dense", 0.95).outcome == "does_not_hold" and at(found, "dense", 0.95).margin == curves.MARGIN
    assert at(found, "dense", 0.1).outcome == "holds", "null: equal to noise, so not worse by a percentage point"
    assert {cell.outcome for cell in curves.difference_cells(runs(1), "accuracy", WHERE)} == {"undecided"}
    twin = pd.concat([runs(), runs().query("method == 'magnitude'").assign(method="random")])
    kinds = {cell.reference: cell.kind for cell in curves.difference_cells(twin, "accuracy", WHERE)}
    assert kinds == {"magnitude": "claim", "dense": "claim", "random": "control"}


def test_a_whole_curve_is_one_test_and_its_mean_that_of_the_points():
    points, whole = (make(runs(), "accuracy", WHERE) for make in (curves.difference_cells, curves.mean_cells))
    assert [(cell.reference, cell.sparsity, cell.n) for cell in whole] == [("magnitude", None, 3)]
    against = [cell.ours for cell in points if cell.reference == "magnitude"]
    assert whole[0].ours == pytest.approx(sum(against) / len(against)) and whole[0].outcome == "holds"
    one = runs()
    assert curves.mean_cells(one[one.level == LEVELS[0]], "accuracy", WHERE) == []


def test_null_of_a_whole_curve():
    """Equal methods, whose runs differ at random and together over the sparsities, differ in about 5 of 100 studies."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        table = runs()
        shift = {(m, s): rng.normal(0, 0.01) for m in ("causal", "magnitude") for s in table.seed.unique()}
        values = [0.8 + shift.get((m, s), 0) for m, s in zip(table.method, table.seed, strict=True)]
        found += curves.mean_cells(table.assign(test_accuracy=values), "accuracy", WHERE)
    assert 2 <= sum(cell.outcome != "undecided" for cell in found) <= 20


def test_critical_points_fall_where_they_were_put():
    points = curves.critical_points(runs())
    assert set(points) == {"causal", "magnitude"}
    assert points["causal"].critical_sparsity == pytest.approx(0.7, abs=0.05)
    assert points["magnitude"].critical_sparsity == pytest.approx(0.5, abs=0.05)
    powers = curves.drop_powers(points, runs())
    assert set(powers) == {"causal"}, "only the drop that the paper claims"
    found = curves.drop_cells(points, runs(), "abrupt_drop_path-lenet", WHERE, powers)
    assert [(cell.method, cell.kind) for cell in found] == [("causal", "claim"), ("magnitude", "control")]
    assert found[0].ci_low <= found[0].ours <= found[0].ci_high
    assert all(cell.p_value == max(points[cell.method].p_line, points[cell.method].p_smooth) for cell in found)
    assert all(cell.outcome in ("holds", "undecided") for cell in found), "a drop that is not shown is not shown smooth"


def test_few_sparsities_have_no_change_point():
    some = runs()
    assert curves.critical_points(some[some.level.isin(LEVELS[:5])]) == {}


def test_schedules_have_tables_of_their_own():
    path, totals = (
        {cell.table for cell in curves.cells(runs().assign(study="curves"), content(totals=flag))} for flag in (0, 1)
    )
    names = ("curve", "accuracy", "accuracy_mean", "abrupt_drop", "abrupt_power", "chosen")
    assert path == {f"{name}_path-lenet" for name in names}
    assert totals == {name.replace("path", "totals") for name in path}


def test_chosen_is_made_on_held_out_images():
    table = runs()
    table.loc[table.method == "causal", "valid_accuracy"] = 0.5
    table.loc[(table.method == "causal") & (table.level == 0.3), "valid_accuracy"] = 0.9
    found = curves.chosen_sparsities(table)
    assert found.loc["causal", "sparsity"] == 0.3
    there = table[(table.method == "causal") & (table.level == 0.3)].test_accuracy.mean()
    assert found.loc["causal", "test_accuracy"] == pytest.approx(there) and found.loc["causal", "dense"] > 0.89


def test_masks_of_the_papers_protocol_are_compared_at_equal_count():
    rows = pd.DataFrame(
        {
            "seed": seed,
            "method": method,
            "sparsity": 0.0 if method == "dense" else 0.65,
            "test_accuracy": value + seed / 1000,
        }
        for seed in range(3)
        for method, value in (("dense", 0.9), ("causal", 0.82), ("magnitude", 0.83), ("iterative_magnitude", 0.8))
    )
    found = curves.rewound_cells(rows, "lenet", WHERE)
    differences = {cell.reference: cell for cell in found if cell.reference}
    assert {name: cell.kind for name, cell in differences.items()} == {
        "dense": "claim",
        "magnitude": "control",
        "iterative_magnitude": "claim",
    }
    assert differences["iterative_magnitude"].ours == pytest.approx(0.02)
    assert {cell.table for cell in found} == {"protocol_2024-lenet", "accuracy_protocol_2024-lenet"}


def test_sentence_counts():
    points, cells = curves.critical_points(runs()), curves.difference_cells(runs(), "accuracy", WHERE)
    text = claims_sentence(points, cells, dataset="mnist5k", architecture="lenet")
    assert text.startswith("mnist5k, lenet, 3 seeds") and "against magnitude better at 8 and worse at 0 of 8" in text
    alone = runs(1)
    text = claims_sentence(
        curves.critical_points(alone),
        curves.difference_cells(alone, "accuracy", WHERE),
        dataset="mnist5k",
        architecture="lenet",
    )
    assert "lenet, one seed (no interval" in text and "higher at 8 and lower at 0 of 8" in text and "better" not in text
