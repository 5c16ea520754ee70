"""Cells of the diagnostics on made-up tables: every number comes through, under a key of its own."""

import pandas as pd
import pytest

from ccprune.stats import mean_interval
from replication.diagnostics import cells
from replication.diagnostics.shap_runs import NOISE_FLOOR, QUANTITIES, claims

WHERE = {"dataset": "iris", "profile": "smoke"}


def keyed(cells):
    """Cells by table, method, reference where there is one, and quantity."""
    found = {tuple(filter(None, (cell.table, cell.method, cell.reference, cell.quantity))): cell for cell in cells}
    assert len({cell.key for cell in cells}) == len(cells)
    return found


def test_agreement_and_its_differences():
    rows = []
    for network in range(4):
        for shift, method in enumerate(("ft", "random", "magnitude", NOISE_FLOOR)):
            values = {quantity: 0.9 - 0.1 * shift - 0.01 * network for quantity in QUANTITIES}
            rows.append({"network": network, "method": method, "removed": network, **values})
    table = pd.DataFrame(rows)
    found = keyed(cells.shap_cells(table, claims(table), **WHERE))
    mean = mean_interval(table[table.method == "ft"].spearman)
    assert found["shap", "ft", "spearman"].ours == pytest.approx(mean.estimate)
    assert found["shap", "ft", "spearman"].ci_low == pytest.approx(mean.low)
    assert found["shap_difference", "ft", "random", "kendall"].ours == pytest.approx(0.1)
    pruned = found["shap_difference", "ft", "random", "kendall, something removed"]
    assert pruned.n == 3 and 0 <= pruned.p_value <= 1 and pruned.kind == "control"


def test_agreement_on_pixels():
    rows = [{"method": "pt"} | {quantity: 0.5 + 0.1 * i for quantity in QUANTITIES} for i in range(3)]
    found = keyed(cells.pixel_cells(pd.DataFrame(rows), **WHERE))
    assert found["shap", "pt", "spearman"].ours == pytest.approx(0.6) and len(found) == len(QUANTITIES)


def test_epsilon_by_method_and_width():
    rows = [
        {"method": "pt", "when": "cut", "width": width, "weights": 10 * width, "removed": 2}
        | {"epsilon_test": 0.1 * i, "epsilon_ball": 0.2 * i, "epsilon_ball_upper": 0.4 * i}
        for width in (4, 8)
        for i in (1, 2, 3)
    ]
    found = keyed(cells.epsilon_cells(pd.DataFrame(rows), **WHERE))
    assert found["epsilon", "pt, cut, 8 hidden", "epsilon_ball"].ours == pytest.approx(0.4)
    assert len(found) == 6


def test_epsilon_ratios_are_geometric_means_over_networks_that_lost_something():
    rows = [
        {
            "method": method,
            "when": "cut",
            "width": 4,
            "seed": seed,
            "removed": removed,
            "epsilon_ball": epsilon * factor,
        }
        for seed, removed, factor in ((0, 3, 1.0), (1, 2, 5.0), (2, 1, 0.2), (3, 0, 0.0))
        for method, epsilon in (("pt", 0.4), ("random", 0.2), ("magnitude", 0.4 * (2 if seed else 1)))
    ]
    table = cells.epsilon_ratios(pd.DataFrame(rows))
    found = keyed(cells.epsilon_ratio_cells(table, **WHERE))
    assert found["theorem_3_1", "pt", "random", "epsilon_ball_ratio, cut"].ours == pytest.approx(2.0)
    other = found["theorem_3_1", "pt", "magnitude", "epsilon_ball_ratio, cut"]
    assert other.ours == pytest.approx(0.25 ** (1 / 3)) and other.n == 3


def test_operations_times_traps_and_energy():
    counted = pd.DataFrame(
        {"kept": [3, 3], "macs_dense": [8, 8], "macs_kept": [3, 3], "flops_dense": [16, 16], "flops_kept": [6, 6]},
        index=["fc.weight", "all"],
    )
    times = pd.DataFrame(
        {"task": "training_step", "form": ["dense", "masked"], "median": [1.0, 1.2], "low": [0.9, 1.1]}
        | {"high": [1.1, 1.3], "n": 5, "relative": [1.0, 1.2], "sparsity": 0.9}
    )
    traps = pd.DataFrame(
        {"traps": pd.array([1.5, None], dtype="Float64"), "eigenvalues": [50, 10]}, index=["fc1.weight", "fc2.weight"]
    )
    joules = pd.DataFrame({"name": ["dense", "dense", "ft", "ft"], "cpu": [2.0, 4.0, 1.0, 1.0], "source": "estimated"})
    found = keyed(
        cells.operation_cells(counted, **WHERE)
        + cells.time_cells(times, **WHERE)
        + cells.trap_cells(traps, "pt", **WHERE)
        + cells.energy_cells(joules, **WHERE)
    )
    assert found["operations", "masked", "flops"].ours == 6 and found["operations", "dense", "macs"].ours == 8
    assert found["operations", "masked, training step", "time_over_dense"].ours == 1.2
    assert found["traps", "pt, fc1.weight", "traps"].ours == 1.5 and ("traps", "pt, fc2.weight", "traps") not in found
    assert found["energy", "dense", "cpu_joules"].ours == 3
    assert found["energy", "ft", "cpu_joules"].note == "estimated"
