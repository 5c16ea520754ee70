"""Oracles: scikit-learn's roc_auc_score, and the count over all pairs that an area is. Null: random scores, constant
ones, and perfect ones turned round.
"""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from ccprune import criteria
from ccprune.criteria import _registry as registry
from ccprune.mask import prunable
from ccprune.stats import mean_interval
from replication import null as calibrate
from replication.causal.known_answers import Question
from replication.data.synthetic import idle_quadratic
from replication.null import planted


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_CRITERIA", dict(registry._CRITERIA))


def problem_and_score(values):
    rng = np.random.default_rng(0)
    idle = {"a": torch.from_numpy(rng.random((6, 5)) < 0.4), "b": torch.from_numpy(rng.random(20) < 0.4)}
    return {"b": torch.from_numpy(rng.choice(values, 20)), "a": torch.from_numpy(rng.choice(values, (6, 5)))}, idle


@pytest.mark.parametrize(
    "values", [[0.0, 1.0, 2.0], [1.0], np.linspace(-1, 1, 1001)], ids=["ties", "constant", "distinct"]
)
def test_area_is_scikit_learns_and_the_share_of_pairs(values):
    score, idle = problem_and_score(values)
    needed = torch.cat([~idle["a"].flatten(), ~idle["b"]]).numpy()
    ranked = torch.cat([score["a"].flatten(), score["b"]]).numpy()
    found = calibrate.auc(score, idle)
    assert found == pytest.approx(roc_auc_score(needed, ranked), abs=1e-12)
    above = ranked[needed][:, None] - ranked[~needed][None, :]
    assert found == pytest.approx(((above > 0) + 0.5 * (above == 0)).mean(), abs=1e-12)


def test_infinite_scores_have_a_place():
    idle = {"w": torch.tensor([True, True, False, False])}
    assert calibrate.auc({"w": torch.tensor([-torch.inf, 1e300, 2e300, torch.inf], dtype=torch.float64)}, idle) == 1.0


def fixed(_):
    return idle_quadratic(30, 12, kind="dead", samples=64, seed=0)


FIXED = {"fixed": Question(fixed, 0.1)}


def test_perfect_random_and_inverted_scores_have_areas_of_one_a_half_and_zero():
    needed = (~fixed(0).idle["weight"]).double()
    criteria.register("perfect", lambda model: {"weight": needed})
    criteria.register("inverted", lambda model: {"weight": -needed})
    criteria.register("constant", lambda model: {"weight": torch.zeros_like(needed)})
    names = ["perfect", "inverted", "constant", "random"]
    table = calibrate.roc(FIXED, names=names, seeds=20, steps=2).table
    table = table[table.state == "start"].set_index("criterion")
    for name, area in (("perfect", 1.0), ("inverted", 0.0), ("constant", 0.5)):
        assert tuple(table.loc[name, ["auc", "low", "high"]]) == (area, area, area)
    assert table.low["random"] < 0.5 < table.high["random"] and table.high["random"] - table.low["random"] < 0.2


def test_tables_hold_together():
    found = calibrate.roc(FIXED, names=["magnitude", "movement", "random"], seeds=3, steps=20)
    assert list(found.table.columns) == ["problem", "state", "criterion", "auc", "low", "high", "seeds"]
    assert not found.table.isna().any(axis=None) and set(found.table.seeds) == {3}
    pairs = list(zip(found.table.state, found.table.criterion, strict=True))
    assert pairs == [("start", "magnitude"), ("start", "random")] + [
        ("trained", name) for name in ("magnitude", "movement", "random")
    ]
    for row in found.table.itertuples():
        areas = found.areas.query("state == @row.state and criterion == @row.criterion")
        interval = mean_interval(areas.auc)
        assert (row.auc, row.low, row.high) == (interval.estimate, interval.low, interval.high)
        curves = found.curves.query("state == @row.state and criterion == @row.criterion").groupby("seed")
        for seed, area in zip(areas.seed, areas.auc, strict=True):
            curve = curves.get_group(seed)
            assert tuple(curve.iloc[0, 4:]) == (0, 0) and tuple(curve.iloc[-1, 4:]) == (1, 1)
            # Idle weights on the one axis, needed on the other; a good score prunes the idle first.
            x, y = curve.pruned_needed.to_numpy(), curve.pruned_idle.to_numpy()
            assert np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) == pytest.approx(area)


def test_the_seed_decides_and_the_state_is_what_it_says():
    first, again = (calibrate.roc(FIXED, names=["random", "magnitude", "causal"], seeds=2, steps=20) for _ in range(2))
    assert first.table.equals(again.table) and first.curves.equals(again.curves)
    problem = fixed(0)
    start = first.areas.query("state == 'start' and criterion == 'magnitude'").auc
    weight = prunable(problem.model)["weight"].detach().abs()
    assert set(start) == {calibrate.auc({"weight": weight}, problem.idle)}
    assert list(first.areas.query("criterion == 'random'").groupby("state").auc.first()) == [first.areas.auc[0]] * 2


def test_known_answers_come_out():
    """Dead inputs: every score that looks at gradients, inputs or steps tells them; magnitude at the start cannot."""
    question = {"dead": Question(lambda seed: idle_quadratic(60, 30, kind="dead", samples=128, seed=seed), 0.1)}
    names = ["magnitude", "snip", "fisher", "obd", "wanda", "causal", "causal_consecutive", "squared_updates"]
    table = calibrate.roc(question, names=names, seeds=5, steps=100).table.set_index(["state", "criterion"])
    for name in names[1:5]:
        assert table.low["start", name] == 1.0
    for name in names[1:]:
        assert table.low["trained", name] == 1.0
    assert table.low["start", "magnitude"] < 0.5 < table.high["start", "magnitude"]


def test_default_problems_are_the_four_with_known_answers():
    assert list(planted.questions()) == ["dead", "dead, unequal needs", "noise only", "teacher network"]
    table = calibrate.roc(names=["obd"], seeds=2, steps=10).table
    assert list(table.problem.unique()) == list(planted.questions())


def test_errors_name_the_argument():
    idle = {"w": torch.tensor([True, False])}
    with pytest.raises(ValueError, match=r"score must have the names and shapes \{'w': \(2,\)\}, got \{'w': \(3,\)\}"):
        calibrate.auc({"w": torch.zeros(3)}, idle)
    with pytest.raises(ValueError, match="score must not be NaN"):
        calibrate.auc({"w": torch.tensor([torch.nan, 0.0])}, idle)
    for same in (True, False):
        with pytest.raises(ValueError, match="idle must be True for some weights and False for others"):
            calibrate.auc({"w": torch.zeros(2)}, {"w": torch.tensor([same, same])})
    with pytest.raises(ValueError, match="seeds must be an integer of at least 2, got 1"):
        calibrate.roc(FIXED, seeds=1)
    with pytest.raises(ValueError, match="steps must be an integer of at least 1"):
        calibrate.roc(FIXED, steps=0)
    with pytest.raises(ValueError, match="name must be one of"):
        calibrate.roc(FIXED, names=["oracle"])
