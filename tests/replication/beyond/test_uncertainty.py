"""The simulations of lesson 20: what is planted is known, and their tables are counted correctly."""

import numpy as np
import pandas as pd
import pytest
import torch

from replication.beyond import uncertainty
from replication.beyond.uncertainty import weights


def test_a_planted_coefficient_is_zero_exactly_for_idle_weights():
    generator = torch.Generator().manual_seed(0)
    changes = torch.randn(3000, 20, generator=generator, dtype=torch.float64)
    idle = torch.arange(20) >= 10
    losses = weights.plant(changes, idle, correlation=0.0, seed=0)
    features = changes.square().numpy()
    coefficients = np.linalg.lstsq(np.column_stack([features, np.ones(3000)]), losses.numpy(), rcond=None)[0][:20]
    z = coefficients * features.std(0) * np.sqrt(3000)
    assert np.abs(z[10:]).max() < 4 and np.sqrt(np.mean(z[:10] ** 2)) == pytest.approx(3, rel=0.5)


def test_wrong_removals_are_counted():
    table = pd.DataFrame({"problem": "p", "records": "r", "share": 0.5, "repeat": [0] * 4 + [1] * 4})
    table["matters"] = [True, True, False, False] * 2
    table["probability"] = [0.9, 0.1, 0.2, 0.3, 0.9, 0.8, 0.1, 0.3]
    (row,) = uncertainty.removals(table).to_dict("records")
    assert (row["expected"], row["true"], row["n"]) == (pytest.approx((0.3 + 0.4) / 2), 0.5, 2)
    cells = uncertainty.posterior_cells(uncertainty.removals(table), "smoke")
    assert [cell.quantity for cell in cells] == ["expected wrong removals", "true wrong removals"]
    found = uncertainty.calibration(table).set_index("fifth")
    assert found["n"].sum() == 8 and found.loc[4, "matters"] == 1


def test_both_methods_are_in_one_table_and_runs_are_added_until_a_decision():
    table = uncertainty.simulate_drops(runs=[3], repeats=2, resamples=19, noise=0.01, seed=0)
    assert set(table["method"]) == {"bootstrap", "Bayes"} and set(table["shape"]) == set(uncertainty.SHAPES)
    assert table["covers"].notna().sum() == 4  # the stick and the ramp have a corner
    stopping = uncertainty.simulate_stopping(most=3, repeats=2, noise=0.01, seed=0)
    assert stopping["runs"].between(1, 3).all()
    np.testing.assert_allclose(stopping[["abrupt", "not abrupt", "undecided"]].sum(axis=1), 1)
    cells = uncertainty.drop_cells(table, stopping, "smoke")
    assert len(cells) == 12 + 8 + 12
