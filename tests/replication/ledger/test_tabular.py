"""Oracle: SciPy's t interval. Null: a single run has no interval."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from replication.ledger import Cell, cell_table, count_outcomes, list_skipped, row_cells, sample_cells

WHERE = {"paper": "causal", "table": "t", "dataset": "mnist", "profile": "smoke"}


def test_samples_become_means_with_students_interval_in_order_of_appearance():
    values = {("b", 0.9): [0.2, 0.4, 0.9], ("a", 0.5): [1.0, 3.0]}
    rows = [(method, sparsity, value) for (method, sparsity), run in values.items() for value in run]
    table = pd.DataFrame(rows, columns=["method", "sparsity", "value"]).assign(quantity="accuracy")
    cells = sample_cells(table, **WHERE)
    assert [(cell.method, cell.sparsity, cell.n) for cell in cells] == [("b", 0.9, 3), ("a", 0.5, 2)]
    for cell, run in zip(cells, values.values(), strict=True):
        low, high = stats.t.interval(0.95, len(run) - 1, np.mean(run), stats.sem(run))
        assert (cell.ours, cell.ci_low, cell.ci_high) == pytest.approx((np.mean(run), low, high))


def test_null_a_single_run_has_no_interval():
    (cell,) = sample_cells(pd.DataFrame({"method": ["a"], "quantity": "q", "value": [2]}), **WHERE)
    assert cell == Cell(**WHERE, method="a", quantity="q", ours=2.0, n=1)


def test_rows_become_cells_with_their_index_and_without_missing_fields():
    table = pd.DataFrame(
        {"quantity": "q", "ours": [1.5, np.nan], "ci_low": [1.0, np.nan], "ci_high": [2.0, np.nan], "n": [3, 4]},
        index=pd.Index(["a", "b"], name="method"),
    )
    expected = [
        Cell(**WHERE, method="a", quantity="q", ours=1.5, ci_low=1.0, ci_high=2.0, n=3),
        Cell(**WHERE, method="b", quantity="q", n=4),
    ]
    assert row_cells(table, **WHERE) == expected


def test_groups_may_lack_a_field():
    table = pd.DataFrame({"method": "a", "quantity": "q", "sparsity": [None, None, 0.5], "value": [1.0, 2.0, 3.0]})
    assert [(cell.sparsity, cell.n) for cell in sample_cells(table, **WHERE)] == [(None, 2), (0.5, 1)]


def test_an_unknown_column_is_refused():
    with pytest.raises(TypeError, match="sparseness"):
        sample_cells(pd.DataFrame({"method": ["a"], "quantity": "q", "sparseness": 1, "value": 1.0}), **WHERE)


def test_a_table_of_cells_has_every_field_and_the_kinds_asked_for():
    figure = Cell(**WHERE, method="a", quantity="q", kind="figure", origin="printed", published=1.0, verdict="not_run")
    claim = Cell(**WHERE, method="a", quantity="q", kind="claim", outcome="holds")
    table = cell_table([figure, claim])
    assert (
        table.kind.tolist() == ["figure", "claim"] and Cell(**table.iloc[1].where(table.iloc[1].notna(), None)) == claim
    )
    assert cell_table([figure, claim], ("claim", "control")).outcome.tolist() == ["holds"]
    assert cell_table([]).empty and list(cell_table([]).columns) == list(table.columns)


def test_outcomes_are_counted_the_most_frequent_first():
    found = count_outcomes(["undecided", "does_not_hold", "undecided"])
    assert found == "Outcomes: 2 *undecided*, 1 *does not hold*."


def test_only_parts_that_did_not_run_are_skipped():
    assert list_skipped({"one part": True, "another": False}, "no files") == [{"what": "another", "why": "no files"}]
