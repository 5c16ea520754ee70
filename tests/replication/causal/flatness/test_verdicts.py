"""Conclusions on flatness from planted rows: ratios, ruined networks, equal accuracy, false rate."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from replication.causal.flatness import runs as flatness_runs
from replication.causal.flatness import verdicts as flatness

CONTENT = {"parameters": {"dataset": "mnist5k", "architecture": "mlp"}, "profile": "default"}
FILLER = {name: 1.0 for name in flatness_runs.MEASURES} | {"level": 0.9, "weights": "remaining", "places": ""}


def frame(rows):
    return pd.DataFrame([FILLER | {"test_accuracy": 0.95} | row for row in rows])


def by_seed(method, values, **more):
    return [{"seed": seed, "method": method, "trace": value} | more for seed, value in enumerate(values)]


def found(rows, *, measure="trace", weights="remaining", level=0.9):
    table = flatness.comparisons(frame(rows), classes=10)
    table = table[(table.measure == measure) & (table.weights == weights) & (table.sparsity == level)]
    return table.set_index(["method", "reference"]).loc


def test_ratios_are_geometric_and_paired():
    dense, causal = np.array([2.0, 4.0, 6.0]), np.array([0.5, 1.2, 1.2])
    row = found(by_seed("dense", dense) + by_seed("causal", causal))["causal", "dense"]
    logs = np.log(causal / dense)
    reach = 4.302652729911275 * logs.std(ddof=1) / 3**0.5  # Student's t, 2 degrees of freedom, 97.5%
    expected = np.exp([logs.mean(), logs.mean() - reach, logs.mean() + reach])
    assert (row.estimate, row.low, row.high) == pytest.approx(tuple(expected))
    assert row.p_value == pytest.approx(ttest_rel(np.log(causal), np.log(dense)).pvalue)
    assert (row.outcome, row.n) == ("holds", 3)
    turned = found(by_seed("dense", causal) + by_seed("causal", dense))["causal", "dense"]
    assert turned.outcome == "does_not_hold" and turned.estimate == pytest.approx(1 / row.estimate)


def test_null_identical_networks_are_undecided():
    rows = [row for method in ("dense", "causal", "magnitude") for row in by_seed(method, [2.0, 3.0, 4.0])]
    rows += by_seed("dense", [2.0, 3.0, 4.0], weights="same places", places="causal")
    table = flatness.comparisons(frame(rows), classes=10)
    table = table[table.n > 0]
    assert set(table.estimate) == {1.0} and set(table.p_value) == {1.0} and set(table.outcome) == {"undecided"}
    assert set(table.reference) == {"dense", "dense at the same places", "magnitude", "magnitude at equal accuracy"}


def test_false_rate_of_both_outcomes():
    """Where methods do not differ, each of "holds" and "does not hold" comes in 2.5% of cases; 6 x 150 tests here."""
    rng = np.random.default_rng(0)
    levels, seeds = np.arange(150) / 1000, np.arange(3)
    parts = []
    for method in ("dense", "magnitude"):
        index = pd.MultiIndex.from_product([levels, seeds], names=["level", "seed"]).to_frame(index=False)
        noise = pd.DataFrame(np.exp(rng.normal(size=(len(index), 6))), columns=flatness_runs.MEASURES)
        parts.append(pd.concat([index, noise], axis=1).assign(method=method, weights="remaining", test_accuracy=0.9))
    table = flatness.comparisons(pd.concat(parts, ignore_index=True), classes=10)
    shares = table[table.weights == "remaining"].outcome.value_counts(normalize=True)
    # Four standard errors of a share of .025 among 900.
    assert shares["holds"] == pytest.approx(0.025, abs=0.0208)
    assert shares["does_not_hold"] == pytest.approx(0.025, abs=0.0208)


def test_ruined_networks_are_left_out_and_named():
    rows = by_seed("dense", [1.0, 1.0, 1.0], test_accuracy=0.9)
    rows += by_seed("random", [1e-9, 0.5, 0.6], test_accuracy=0.8)
    rows[3]["test_accuracy"] = 0.5  # exactly the mean of chance and dense
    row = found(rows)["random", "dense"]
    assert row.n == 2 and row.estimate == pytest.approx(np.sqrt(0.5 * 0.6))
    assert "ruined and left out: random (seed 0)" in row.note
    rows[3]["test_accuracy"] = 0.5001
    assert found(rows)["random", "dense"].n == 3
    assert flatness.is_ruined(frame(rows), classes=2).tolist() == [False] * 3 + [True] + [False] * 2  # chance is 0.5


def test_a_dense_network_at_chance_is_ruined_with_all_its_ratios():
    rows = by_seed("dense", [1.0, 1.0], test_accuracy=0.1) + by_seed("random", [1.0, 1.0], test_accuracy=0.1)
    row = found(rows)["random", "dense"]
    assert row.n == 0 and "random (seeds 0, 1), dense (seeds 0, 1)" in row.note
    cells = [cell for cell in flatness.cells(frame(rows), CONTENT) if cell.quantity == "trace, remaining"]
    assert [(cell.ours, cell.n, cell.outcome) for cell in cells] == [(None, None, "undecided")]


def test_a_network_without_its_dense_twin_is_an_error():
    with pytest.raises(ValueError, match="a dense network for every seed and level, got none for 1 at 0.9"):
        flatness.is_ruined(frame(by_seed("dense", [1.0]) + by_seed("causal", [1.0, 1.0])), classes=10)


def test_at_equal_accuracy_the_nearest_network_of_the_seed_is_the_reference():
    rows = []
    for level in (0.5, 0.9):
        rows += by_seed("dense", [1.0, 1.0, 1.0], level=level)
    rows += by_seed("causal", [0.5, 0.5, 0.5], level=0.9)
    accuracies = {0.5: [0.96, 0.956, 0.93], 0.9: [0.958, 0.90, 0.90]}  # of causal 0.95: at 0.9, at 0.5, and none
    for level, values in accuracies.items():
        for seed, accuracy in enumerate(values):
            traces = {"trace": 0.1 if level == 0.5 else 0.2, "test_accuracy": accuracy}
            rows.append({"seed": seed, "method": "magnitude", "level": level} | traces)
    row = found(rows)["causal", "magnitude at equal accuracy"]
    assert row.n == 2 and row.estimate == pytest.approx(np.sqrt(0.5 / 0.2 * 0.5 / 0.1))
    assert "matched with sparsity 0.5, 0.9; without a match within 0.01: seed 2" in row.note
    assert "test accuracy 0.950 and 0.957" in row.note
    assert found(rows)["causal", "magnitude"].estimate == pytest.approx(0.5 / 0.2)  # at equal sparsity
    exactly = [row | {"test_accuracy": 0.96} if row["method"] == "magnitude" else row for row in rows]
    assert found(exactly)["causal", "magnitude at equal accuracy"].n == 3
    beyond = [row | {"test_accuracy": 0.961} if row["method"] == "magnitude" else row for row in rows]
    assert found(beyond)["causal", "magnitude at equal accuracy"].n == 0


def test_a_ruined_network_is_no_match():
    rows = by_seed("dense", [1.0, 1.0], test_accuracy=0.9) + by_seed("causal", [1.0, 1.0], test_accuracy=0.505)
    rows += by_seed("magnitude", [1.0, 1.0], test_accuracy=0.499)
    row = found(rows)["causal", "magnitude at equal accuracy"]
    assert row.n == 0 and "without a match within 0.01: seeds 0, 1" in row.note


def test_places_decide_which_dense_measurement_is_the_reference():
    rows = by_seed("dense", [8.0, 8.0, 9.0]) + by_seed("causal", [1.0, 2.0, 1.5]) + by_seed("random", [1.0, 2.0, 1.5])
    rows += by_seed("dense", [2.0, 4.0, 3.0], weights="same places", places="causal")
    rows += by_seed("dense", [1.0, 2.0, 1.5], weights="same places", places="random")
    table = found(rows)
    assert table["causal", "dense at the same places"].estimate == pytest.approx(0.5)
    assert table["random", "dense at the same places"].estimate == pytest.approx(1.0)
    assert table["random", "dense"].estimate < 0.3


def test_a_measure_that_is_not_positive_has_no_ratio():
    rows = by_seed("dense", [1.0, 1.0], sharpness_random=0.1) + by_seed("causal", [1.0, 1.0], sharpness_random=0.1)
    rows[2]["sharpness_random"] = -0.1
    row = found(rows, measure="sharpness_random")["causal", "dense"]
    assert row.n == 1 and np.isnan(row.low) and np.isnan(row.p_value) and row.outcome == "undecided"
    assert "not positive, so without a ratio: seed 0" in row.note
    assert "not positive" not in found(rows)["causal", "dense"].note


def test_cells_say_what_is_claimed_and_what_is_a_control():
    rows = []
    for method in ("dense", "causal", "magnitude", "random"):
        for weights in ("remaining", "all"):
            rows += by_seed(method, [1.0, 1.1], weights=weights)
        if method != "dense":
            rows += by_seed("dense", [1.0, 1.1], weights="same places", places=method)
    cells = flatness.cells(frame(rows), CONTENT)
    accuracies = [cell for cell in cells if cell.table == "accuracy_short-mlp"]
    assert {(cell.reference, cell.kind) for cell in accuracies} == {
        ("magnitude", "claim"),
        ("dense", "claim"),
        ("random", "control"),
    }, "the same networks' accuracies are claims too"
    cells = [cell for cell in cells if cell not in accuracies]
    claims = {(cell.method, cell.reference, cell.quantity) for cell in cells if cell.kind == "claim"}
    assert claims == {("causal", "dense", f"{name}, remaining") for name in ("top_eigenvalue", "trace")}
    assert {cell.kind for cell in cells} == {"claim", "control"}
    assert {(cell.table, cell.dataset, cell.sparsity) for cell in cells} == {("flatness-mlp", "mnist5k", 0.9)}
    assert len({cell.key for cell in cells}) == len(cells) == 6 * (3 * 3 + 2 * 2)


def test_rows_of_older_results_have_no_places():
    rows = frame(by_seed("dense", [2.0, 2.0]) + by_seed("causal", [1.0, 1.2])).drop(columns="places")
    cells = flatness.cells(rows, CONTENT)
    assert {cell.reference for cell in cells} == {"dense"}
    assert next(cell for cell in cells if cell.quantity == "trace, remaining").n == 2


def test_the_summary_counts_outcomes_and_names_the_flattest():
    rows = by_seed("dense", [2.0, 2.1, 2.2]) + by_seed("causal", [1.0, 1.1, 1.0]) + by_seed("random", [0.1, 0.1, 0.1])
    for row in rows[-3:]:
        row["test_accuracy"] = 0.1
    said = flatness.summary(frame(rows), classes=10, dataset="mnist5k", architecture="mlp")
    assert "Causal over dense: top eigenvalue 1.00 (0 flatter and 0 sharper of 1), trace 0.49 (1 flatter and" in said
    assert "all 9 networks belongs to random at 0.9, whose test accuracy is 0.100." in said
    assert said.endswith("Ruined and left out: random at 0.9 (seeds 0, 1, 2).") and "Random over" not in said


def test_the_detectable_ratio_is_the_one_that_is_detected_with_80_percent_power():
    rng = np.random.default_rng(0)
    logs = rng.normal(0, 0.3, 5)
    logs -= logs.mean()  # undecided
    ratio = flatness._geometric(logs)["detectable"]
    spread = logs.std(ddof=1)
    samples = rng.normal(np.log(ratio), spread, (1000, 5))
    found = np.mean([flatness._geometric(sample)["outcome"] == "does_not_hold" for sample in samples])
    assert found == pytest.approx(0.8, abs=0.05)
    assert np.isnan(flatness._geometric(np.array([0.1]))["detectable"])
