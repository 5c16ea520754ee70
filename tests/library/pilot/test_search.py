"""Search of a pilot's grid: the best of a planted table is found under the budget, and is reported on other samples."""

import itertools
import json
import statistics

import pytest
import torch
from torch import nn

import ccprune
from ccprune._pilot import _runs
from ccprune._pilot._search import search, sparsest

pytest.importorskip("optuna")
GRID = [
    {"method": method, "schedule": schedule, "sparsity": sparsity}
    for method, schedule, sparsity in itertools.product("abcd", ("one_shot", "gradual"), (0.5, 0.7, 0.8, 0.9, 0.95))
]


def planted(noise, seed):
    """Differences in which method c in rounds keeps the metric up to 0.9, and all others lose it from 0.7 on."""
    generator = torch.Generator().manual_seed(seed)
    chance = noise * torch.randn(len(GRID), 4, generator=generator)

    def measure(choice, repetition):
        best = choice["method"] == "c" and choice["schedule"] == "gradual"
        bound = 0.9 if best else 0.5
        return float(-max(0.0, choice["sparsity"] - bound) + chance[GRID.index(choice), repetition])

    return measure


def found(measure, budget, **options):
    price = lambda choice, _: 1.0 if choice else 2.0  # noqa: E731
    return search(GRID, measure, sparsest(0.01), repetitions=4, budget=budget, price=price, **options)


def test_the_planted_setting_is_found_more_often_than_by_random_search():
    hits = {
        sampler: statistics.mean(
            found(planted(0.002, seed), 60, sampler=sampler, seed=seed).setting == GRID[28] for seed in range(10)
        )
        for sampler in ("tpe", "random")
    }
    assert GRID[28] == {"method": "c", "schedule": "gradual", "sparsity": 0.9}
    assert hits["tpe"] >= hits["random"] + 0.2, hits


def test_the_budget_holds_and_nothing_is_measured_twice():
    for sampler in ("tpe", "random"):
        calls, measure = [], planted(0.0, 0)

        def counted(choice, repetition, calls=calls, measure=measure):
            calls.append((*choice.values(), repetition))
            return measure(choice, repetition)

        result = found(counted, 25, sampler=sampler)
        assert len(set(calls)) == len(calls)
        assert result.spent == len(calls) + 2 * (1 + max(call[-1] for call in calls)) <= 25
        assert result == found(measure, 25, sampler=sampler)  # the same seed, the same search
        assert result.difference == pytest.approx(measure(result.setting, 0))
    with pytest.raises(ValueError, match="budget must pay for one measurement"):
        found(measure, 2)


def test_a_choice_among_equals_is_optimistic_and_other_samples_are_not():
    pure = {seed: found(planted(0.1, seed), 120, sampler="random", seed=seed) for seed in range(12)}
    chosen = statistics.mean(one.difference for one in pure.values())
    true = statistics.mean(-max(0.0, one.setting["sparsity"] - 0.5) for one in pure.values())
    assert chosen > true + 0.05


def test_a_pilot_with_a_search_trains_a_part_and_goes_on_where_it_ended(tmp_path, monkeypatch, capsys):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(300) % 2
    x = torch.randn(300, 8, generator=generator)
    x[:, 0] += 3 * (y - 0.5)

    def make(seed):
        torch.manual_seed(seed)
        return nn.Linear(8, 2)

    branch, trainings = _runs.branch, []
    monkeypatch.setattr(_runs, "branch", lambda *args, **kwargs: trainings.append(1) or branch(*args, **kwargs))
    options = {"make": make, "train": (x[:100], y[:100]), "validation": (x[100:], y[100:]), "folder": tmp_path / "page"}
    options |= {"criteria": ("magnitude", "random", "causal"), "sparsities": (0.25, 0.5, 0.75), "seeds": 2}
    options |= {"before": 2, "recorded": 1, "after": 2, "search": 0.4}
    first = ccprune.pilot(**options)
    assert "pilot: searched" in capsys.readouterr().err
    assert first.search["spent"] <= 0.4 * 2 * (2 + 2 * 19)
    setting = tuple(first.search["setting"].values())
    assert set(first.runs["method"]) == {"dense", "random", setting[0]}
    assert first.search["reported"] == first.table.loc[setting, "validation_difference"]
    assert first.search["optimism"] == pytest.approx(first.search["difference"] - first.search["reported"])
    assert json.loads((first.folder / "pilot.json").read_text())["search"] == first.search
    count = len(trainings)
    assert count < 2 * 19
    again = ccprune.pilot(**options | {"progress": False})
    assert again.search == first.search
    assert len(trainings) - count <= 1  # only the recommended network, which is written again
    with pytest.raises(ValueError, match="search must be a share"):
        ccprune.pilot(**options | {"search": 1.5})
    with pytest.raises(ValueError, match="seconds must not be given with search"):
        ccprune.pilot(**options | {"seconds": 1.0})
