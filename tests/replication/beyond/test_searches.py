"""Searches of a stored grid: regret and optimism on tables whose best setting is known."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("optuna")
from replication.beyond.searches import search_cells, search_results, settings_grid

SPARSITIES = (0.5, 0.8, 0.9)
GRID = settings_grid(SPARSITIES)


def table(noise, bound, seed=0):
    """All settings of magnitude keep the metric up to `bound`, the others none; each with noise."""
    chance = np.random.default_rng(seed)
    rows = []
    for place, one in enumerate(GRID):
        true = 0.0 if one["criterion"] == "magnitude" and one["sparsity"] <= bound else -one["sparsity"] / 2
        for number in range(5):
            values = dict(zip(("validation", "test"), true + noise * chance.standard_normal(2), strict=True))
            rows.append({"place": place, "seed": number, **values})
    return pd.DataFrame(rows).assign(margin=0.02)


def test_every_setting_occurs_once():
    assert len({tuple(one.values()) for one in GRID}) == len(GRID) == 36
    assert {one["window"] for one in GRID if one["criterion"] == "legcnet"} == {10, 20}


def test_the_whole_grid_has_no_regret_and_more_budget_has_less():
    found = search_results(table(0.0, 0.9), SPARSITIES)
    means = found.groupby(["method", "share"])["regret"].mean()
    assert means["grid", 1.0] == 0 and (found["regret"] >= 0).all()
    assert means["tpe", 0.3] <= means["tpe", 0.1]
    assert (found["optimism"].abs() < 1e-12).all()  # no noise, no optimism
    cells = {(one.method, one.quantity): one for one in search_cells(found.assign(task="t"), "default")}
    assert (cells["grid, 100% of the cost", "regret"].ours, cells["tpe, 30% of the cost", "regret"].n) == (0, 5)
    tried = found.groupby(["method", "share"])["tried"].max()
    assert tried["random", 0.1] <= 0.1 * 37 and tried["tpe", 0.3] <= 0.3 * 37 * 3


def test_choosing_the_best_of_noise_is_optimistic():
    found = pd.concat([search_results(table(0.3, 0.0, seed), SPARSITIES) for seed in range(3)])
    grid = found[found["method"] == "grid"]
    assert grid["optimism"].mean() > 0.1
