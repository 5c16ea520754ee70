"""Cells of paper B that are not concluded from curves. Oracles: the tables themselves, by hand."""

import numpy as np
import pandas as pd
import pytest

from replication.causal import cells
from replication.causal.known_answers import Answer

WHERE = {"dataset": "mnist5k", "architecture": "lenet", "profile": "default"}


def by_key(found):
    return {(cell.method, cell.quantity): cell for cell in found}


def test_a_number_that_only_follows_from_a_script_gets_no_verdict():
    path = [[0.1, 0.6], [0.1, 0.66], [0.1, 0.7]]
    found = cells.sparsity_cell(path, 0.1, 10, epochs=10, **WHERE)
    assert (found.published, found.origin, found.kind, found.verdict) == (0.651, "derived", "measurement", "")
    assert found.ours == pytest.approx(np.mean([0.6, 0.66, 0.7])) and found.n == 3


def test_solvers_are_averaged_within_a_seed_first():
    compared = pd.DataFrame({"seed": [0, 0, 1, 1], "jaccard_sgd": [0.8, 1.0, 0.5, 0.7], "jaccard_exact": 1.0})
    exponents = pd.DataFrame(
        {
            "seed": [0, 1, 0, 1],
            "power_t": [0.1, 0.1, 0.25, 0.25],
            "jaccard_kept": [0.2, 0.4, 1, 1],
            "jaccard_weighted": 0.9,
        }
    )
    exact = pd.DataFrame({"seed": [0, 1], "gap_sgd": [0.1, 0.3], "gap_exact": [1e-9, 3e-9]})
    found = by_key(cells.solver_cells(compared, exponents, exact, **WHERE))
    assert found["causal_sgd", "jaccard_kept"].ours == pytest.approx(0.75)
    assert found["causal_sgd", "least_jaccard_kept"].ours == pytest.approx(0.65)
    assert found["causal_sgd, t^-0.1", "jaccard_kept"].ours == pytest.approx(0.3)
    assert found["causal_exact", "duality_gap"].ours == pytest.approx(2e-9)
    assert {cell.n for cell in found.values()} == {2} and len(found) == 8


def test_the_null_stands_beside_what_the_score_shares():
    names = ["causal, consecutive", "causal, same batch"]
    one = pd.DataFrame({"|theta|": [0.1, 0.2], "squared updates": [0.8, 0.9], "Fisher": [0.5, 0.6]}, index=names)
    chance = pd.DataFrame({"seed": [0, 1], "pairing": "consecutive", "share": [0.04, 0.08]})
    stable = pd.DataFrame([("covariance", "as recorded", 7, 3.4)])
    found = by_key(cells.is_it_causal_cells({0: one, 1: one + 0.02}, chance, stable, weights=100, **WHERE))
    assert found["causal, same batch", "rank correlation with Fisher"].ours == pytest.approx(0.61)
    assert found["causal, consecutive", "share below 0.05"].ours == pytest.approx(0.06)
    stable = found["covariance, as recorded", "stable weights"]
    assert (stable.ours, stable.n) == (7, 1) and "at most 3 false" in stable.note and len(found) == 8


def test_known_answers_have_four_numbers_a_score_and_leave_out_what_is_missing():
    table = pd.DataFrame(
        {"critical_sparsity": [0.5, np.nan], "low": [0.4, np.nan], "high": [0.6, np.nan], "p_value": [0.01, 0.7]}
        | {"abrupt": [True, False], "auc": [1.0, 0.5], "one_se": [0.5, 0.1]},
        index=["causal", "random"],
    )
    answers = {"dead": Answer(pd.DataFrame(), table, 0.5)}
    found = by_key(cells.known_answer_cells(answers, seeds=3, profile="default"))
    corner = found["causal", "critical_sparsity"]
    assert (corner.ours, corner.ci_low, corner.ci_high, corner.n, corner.note) == (0.5, 0.4, 0.6, 3, "abrupt")
    assert (found["random", "critical_sparsity"].ours, found["random", "critical_sparsity"].p_value) == (None, 0.7)
    assert found["random", "idle_share"].ours == 0.5 and len(found) == 8


def test_robustness_takes_the_first_and_the_last_sparsity_and_the_chosen_one():
    changed = pd.DataFrame(
        [("as it is", s, level, level < 0.8, level, level / 2, 1 - level) for s in (0, 1) for level in (0.3, 0.6, 0.9)],
        columns=["condition", "seed", "level", "valid_accuracy", "test_accuracy", "rank_correlation", "jaccard_kept"],
    )
    found = by_key(cells.robustness_cells(changed, **WHERE))
    values = {quantity: (cell.ours, cell.sparsity) for (_, quantity), cell in found.items()}
    assert values == {
        "chosen_sparsity": (0.6, None),
        "accuracy_there": (0.6, 0.6),
        "rank_correlation": (pytest.approx(0.15), 0.3),
        "jaccard_kept": (pytest.approx(0.1), 0.9),
    }


def test_omitted_parts_of_the_phase_shift_have_no_cells():
    empty = pd.DataFrame()
    assert cells.phase_shift_cells({}, None, empty, known=0, **WHERE) == []
    own = cells.sparsity_cell([[0.6], [0.7]], 0.1, 10, epochs=10, **WHERE)
    assert cells.phase_shift_cells({}, own, empty, known=0, **WHERE) == [own]
