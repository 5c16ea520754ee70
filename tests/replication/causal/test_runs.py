"""The table of curves, held-out images, changed conditions, and measures of flatness."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from ccprune.mask import cubic
from ccprune.training import evaluate
from replication.causal import robustness, runs
from replication.causal.flatness import runs as flatness_runs
from replication.causal.methods import all_methods
from replication.causal.protocols import prune_gradually, start
from replication.causal.setting import Setting
from replication.ledger.units import Units

SETTING = Setting(batch_size=100, lr=0.05)


def network(seed):
    from replication.networks.models import mlp

    return mlp((64, 20, 10), seed=seed)


def test_held_out_images_are_not_trained_on(digits):
    training, held = runs.hold_out(digits, count=150, seed=0)
    assert len(training.x_train) == 850 and len(held.x_test) == 150 and len(training.x_test) == len(digits.x_test)
    both = torch.cat([training.x_train, held.x_test]).flatten(1)
    assert sorted(map(bytes, both.numpy())) == sorted(map(bytes, digits.x_train.flatten(1).numpy()))
    assert torch.equal(runs.hold_out(digits, count=150, seed=0)[1].x_test, held.x_test)
    assert not torch.equal(runs.hold_out(digits, count=150, seed=1)[1].x_test, held.x_test)
    with pytest.raises(ValueError, match="count must lie in 1..999, got 1000"):
        runs.hold_out(digits, count=1000, seed=0)


def test_curves_say_what_the_networks_do(digits):
    training, held = runs.hold_out(digits, count=150, seed=0)
    schedule = {"levels": (0.5, 0.9), "before": 2, "between": 1, "after": 1, "seeds": (3,)}
    found = list(runs.points(network, training, SETTING, names=("dense", "magnitude"), **schedule))
    assert [(seed, name, point.level) for seed, name, point in found] == [
        (3, name, level) for name in ("dense", "magnitude") for level in (0.5, 0.9)
    ]
    row = runs.curve_row(*found[-1], training, held)
    model = found[-1][2].model.eval()
    for part, x, y in (
        ("test", digits.x_test, digits.y_test),
        ("valid", held.x_test, held.y_test),
    ):
        right = (model(training.normalise(x)).argmax(1) == y).double().mean()
        assert row[f"{part}_accuracy"] == pytest.approx(float(right))
    mask = found[-1][2].mask
    assert row["least_density"] == min(float(keep.double().mean()) for keep in mask.keep.values())
    assert row["sparsity"] == pytest.approx(0.9, abs=1e-3) and row["epochs"] == 5
    with pytest.raises(ValueError, match="names must be among .* got magic"):
        next(runs.points(network, training, SETTING, names=("magic",), **schedule))


def test_totals_are_reached_by_cubic_steps(digits, monkeypatch):
    seen = []
    original = runs.prune_gradually

    def watched(*arguments, **schedule):
        seen.append((schedule["levels"], schedule["only"]))
        return original(*arguments, **schedule)

    monkeypatch.setattr(runs, "prune_gradually", watched)
    schedule = {"levels": (0.5, 0.9), "before": 1, "between": 1, "after": 1, "seeds": (0,), "totals": True}
    found = list(runs.points(network, digits, SETTING, names=("magnitude",), **schedule))
    assert [point.level for _, _, point in found] == [0.5, 0.9]
    assert [point.mask.sparsity for _, _, point in found] == pytest.approx([0.5, 0.9], abs=1e-3)
    assert [point.epochs for _, _, point in found] == [12, 12]
    assert [len(levels) for levels, _ in seen] == [10, 10] and [only for _, only in seen] == [(0.5,), (0.9,)]
    assert seen[1][0][0] == pytest.approx(0.9 * (1 - 0.9**3))


KEY = {"dataset": "digits", "architecture": "mlp", "held_out": 150}


@pytest.mark.parametrize("totals", [False, True])
def test_curves_are_those_of_points_and_a_second_call_takes_the_units(digits, tmp_path, monkeypatch, totals):
    training, held = runs.hold_out(digits, count=150, seed=0)
    schedule = {"levels": (0.5, 0.9), "before": 1, "between": 1, "after": 1, "seeds": (0, 1), "totals": totals}
    names = ("dense", "causal")
    expected = [
        runs.curve_row(*found, training, held)
        for found in runs.points(network, training, SETTING, names=names, **schedule)
    ]
    options = {"key": KEY, "names": names, **schedule}
    assert runs.curves(network, training, held, SETTING, units=Units(None), **options) == expected
    units = Units(tmp_path)
    first = options | {"seeds": (0,)}  # as if it was killed after the first seed
    assert runs.curves(network, training, held, SETTING, units=units, **first) == expected[:4]
    assert len(list(tmp_path.iterdir())) == (3 if totals else 2)  # dense with totals is one unit
    started = []
    original = runs.start
    monkeypatch.setattr(runs, "start", lambda *given, **more: started.append(more["seed"]) or original(*given, **more))
    assert runs.curves(network, training, held, SETTING, units=units, **options) == expected
    assert started == [1]  # one start a seed, and none of what is stored
    faster = replace(SETTING, lr=0.1)
    assert runs.curves(network, training, held, faster, units=units, **first) != expected[:4] and started == [1, 0]


def test_stations_reach_one_total_in_the_same_epochs_between_or_in_all(digits, tmp_path):
    schedule = {"counts": (1, 2, 4), "total": 0.9, "before": 1, "between": 1, "after": 1, "seeds": (0,)}
    units = Units(tmp_path)
    found = runs.stations(network, digits, SETTING, units=units, key=KEY, **schedule)
    assert len(found) == len(list(tmp_path.iterdir())) == 10
    table = pd.DataFrame(found)
    assert table[["stations", "between", "epochs"]].drop_duplicates().to_numpy().tolist() == [
        [1, 1, 3], [1, 4, 6], [2, 1, 4], [2, 2, 6], [4, 1, 6],
    ]  # fmt: skip
    assert set(table.method) == {"causal", "magnitude"} and set(table.level) == {0.9}
    assert table.sparsity.tolist() == pytest.approx([0.9] * 10, abs=1e-3)
    begin = start(network(0), digits, SETTING, epochs=1, seed=0)
    steps = {"levels": cubic(0.9, iterations=2), "only": (0.9,), "between": 2, "after": 1, "seed": 0}
    (point,) = prune_gradually(begin, digits, SETTING, all_methods(lr=SETTING.lr, seed=0)["causal"], **steps)
    row = table[(table.stations == 2) & (table.between == 2) & (table.method == "causal")].iloc[0]
    assert row.test_loss == evaluate(point.model, digits.x_test, digits.y_test, normalise=digits.normalise).loss
    with pytest.raises(ValueError, match=r"counts must divide their largest, 4; got \[3\]"):
        runs.stations(network, digits, SETTING, units=units, key=KEY, **schedule | {"counts": (3, 4)})


def test_networks_by_name(digits):
    assert runs.network("mlp", digits)(0)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert torch.equal(runs.network("mlp", digits)(1)[1].weight, runs.network("mlp", digits)(1)[1].weight)
    with pytest.raises(ValueError, match="architecture must be one of .*lenet.* got 'lenet5'"):
        runs.network("lenet5", digits)


def test_mislabelled_changes_exactly_the_share_to_other_classes(digits):
    changed = robustness.mislabel(digits, share=0.2, seed=0)
    assert int((changed.y_train != digits.y_train).sum()) == 200
    assert set(changed.y_train.tolist()) <= set(range(10)) and torch.equal(changed.x_train, digits.x_train)
    assert torch.equal(robustness.invert(robustness.invert(digits)).x_train, digits.x_train)


def test_robustness_has_a_reference_that_agrees_with_itself(digits):
    training, held = runs.hold_out(digits, count=150, seed=0)
    method = all_methods(lr=SETTING.lr, seed=0)["causal"]
    schedule = {"levels": (0.5, 0.9), "before": 2, "between": 1, "after": 1, "seeds": (0,)}
    table = robustness.run(network, training, held, SETTING, method, **schedule)
    assert list(table.condition.unique()) == list(robustness.conditions(seed=0)) and len(table) == 16
    same = table[table.condition == "as it is"]
    assert same.rank_correlation.tolist() == pytest.approx([1, 1]) and same.jaccard_kept.tolist() == [1, 1]
    other = table[table.condition != "as it is"]
    assert (other.jaccard_kept < 1).all() and (other.rank_correlation < 0.9999).all()
    noise = table[table.condition == "another order"].rank_correlation.mean()
    assert noise > 0.5  # the same network, so much the same weights move
    summary = robustness.summary(table)
    assert list(summary.index) == list(table.condition.unique()) and set(summary["chosen sparsity"]) <= {0.5, 0.9}
    assert summary.loc["as it is", "rank correlation"] == pytest.approx(1)


def test_measure_takes_every_measure(digits):
    model = network(0)
    SETTING.train(model, digits, epochs=3, optimizer=SETTING.sgd(model), seed=0)
    effort = flatness_runs.Effort(samples=100, probes=4, draws=4, steps=3)
    found = flatness_runs.measure(model, digits, None, effort, seed=0)
    assert set(flatness_runs.MEASURES) < set(found)
    assert found["sharpness_worst"] > found["sharpness_random"] > 0
    x, y = digits.sample(100, seed=0)
    assert found["loss"] == pytest.approx(
        float(torch.nn.functional.cross_entropy(model.eval()(x), y).detach()), rel=1e-5
    )
