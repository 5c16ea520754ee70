"""Causal minus magnitude at one total, by the number of pruning steps."""

import pandas as pd
import pytest
from scipy.stats import ttest_rel

from replication.causal.phase_shift import verdicts as curves

CONTENT = {"parameters": {"dataset": "mnist5k", "architecture": "lenet"}, "profile": "paper"}


def raw(accuracies):
    """Rows of (stations, between) -> {method: accuracies by seed}."""
    return pd.DataFrame(
        {"study": "stations", "stations": float(k), "between": float(between), "seed": seed, "method": method}
        | {"level": 0.98, "sparsity": 0.98, "test_accuracy": accuracy, "test_loss": 1.0, "epochs": 9}
        for (k, between), methods in accuracies.items()
        for method, values in methods.items()
        for seed, accuracy in enumerate(values)
    )


def test_one_control_for_each_number_of_stations_and_epochs_between():
    causal, magnitude = [0.80, 0.83, 0.85], [0.70, 0.72, 0.76]
    same = {"causal": [0.9, 0.8, 0.9], "magnitude": [0.8, 0.9, 0.9]}
    found = curves.cells(raw({(2, 6): {"causal": causal, "magnitude": magnitude}, (12, 1): same}), CONTENT)
    first, second = found
    assert (first.table, first.kind, first.method, first.reference) == (
        "stations-lenet",
        "control",
        "causal",
        "magnitude",
    )
    assert first.quantity == "accuracy, 2 stations, 6 epochs between" and first.sparsity == 0.98
    assert first.ours == pytest.approx(0.1) and (first.n, first.outcome) == (3, "holds")
    test = ttest_rel(causal, magnitude)
    assert first.p_value == pytest.approx(test.pvalue)
    assert (first.ci_low, first.ci_high) == pytest.approx(tuple(test.confidence_interval()))
    assert second.quantity == "accuracy, 12 stations, 1 epochs between" and second.outcome == "undecided"


def test_only_seeds_that_have_both_methods_are_paired():
    rows = raw({(2, 6): {"causal": [0.8, 0.9, 0.7], "magnitude": [0.7, 0.7]}})
    (cell,) = curves.cells(rows, CONTENT)
    assert cell.n == 2 and cell.ours == pytest.approx(0.15)
