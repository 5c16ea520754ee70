"""Cells of paper B that are not concluded from curves."""

import numpy as np
import pytest

from ccprune.stats import student_interval
from replication.causal import cells


def test_a_cell_is_a_mean_with_students_interval():
    values = [0.8, 0.85, 0.9]
    found = cells.cell("t", "mnist5k", "causal", "jaccard", values, profile="default", sparsity=0.9, note="x")
    expected = student_interval(values)
    assert (found.ours, found.ci_low, found.ci_high, found.n) == (expected.estimate, expected.low, expected.high, 3)
    assert (found.sparsity, found.note, found.kind) == (0.9, "x", "measurement")
    single = cells.cell("t", "mnist5k", "causal", "jaccard", [0.8], profile="default")
    assert (single.ours, single.ci_low, single.n) == (0.8, None, 1)


def test_a_number_that_only_follows_from_a_script_gets_no_verdict():
    path = [[0.1, 0.6], [0.1, 0.66], [0.1, 0.7]]
    options = {"epochs": 10, "architecture": "lenet", "dataset": "fashion_mnist", "profile": "paper"}
    found = cells.paper_cell(path, 0.1, 10, **options)
    assert (found.published, found.origin, found.kind, found.verdict) == (0.651, "derived", "measurement", "")
    assert found.ours == pytest.approx(np.mean([0.6, 0.66, 0.7])) and found.n == 3
