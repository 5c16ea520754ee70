"""The one-shot study. Oracles: counting, scipy's rank correlation, an uninterrupted run."""

import copy
from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr

from ccprune import scores
from ccprune.mask import Mask, prunable
from ccprune.training import evaluate
from replication.causal.follow_up.checkpoint import Checkpoint
from replication.causal.follow_up.fits import FITS, Fit
from replication.causal.follow_up.records import Records
from replication.causal.one_shot import study
from replication.causal.one_shot.agreement import agreement, compare
from replication.causal.one_shot.start import TARGETS, Start, train
from replication.causal.one_shot.study import Design, before_fine_tuning, top_accuracies
from replication.causal.setting import Setting
from replication.ledger.units import Units
from replication.networks.models import lenet, mlp

SETTING = Setting(batch_size=100, lr=0.05)
DESIGN = Design(epochs=2)


def network(seed):
    return mlp((64, 20, 10), seed=seed)


def run(images, units=None, *, design=DESIGN, **options):
    units = Units(None) if units is None else units
    options = {"key": {"dataset": "digits"}, "seeds": (0,)} | options
    return before_fine_tuning(network, images, SETTING, design, units=units, **options)


@pytest.fixture(scope="module")
def found(digits):
    return run(digits, seeds=(0, 1))


@pytest.fixture(scope="module")
def start(digits):
    options = {"epochs": 2, "lr_min": 1e-3, "recorded": 1, "record_lr": 1e-3}
    return Start(network, digits, SETTING, seed=0, **options)


def test_every_method_keeps_the_exact_count_of_one_trained_network(digits, found):
    rows, _ = found
    assert [row["method"] for row in rows[:2]] == ["dense", "screen"]
    assert len(rows) == 2 * (1 + len(study.NAMES) * len(study.COMPRESSIONS))
    for row in rows:
        assert row["weights"] - row["pruned"] == round(1480 / row["compression"])
        assert row["sparsity"] == pytest.approx(row["pruned"] / 1480)
        assert 0 <= row["top1"] <= row["top5"] <= 1 and 0 <= row["least_density"] <= 1
        assert (row["outcome"] is not None) == (row["method"] in FITS)
    trained = train(network(1), digits, SETTING, epochs=2, lr_min=1e-3, seed=1)
    by_hand = {(row["method"], row["compression"]): row for row in rows if row["seed"] == 1}
    dense = evaluate(trained, digits.x_test, digits.y_test, normalise=digits.normalise)
    assert by_hand["dense", 1]["top1"] == pytest.approx(dense.accuracy) and dense.accuracy > 0.3
    Mask.from_scores(scores.magnitude(trained), sparsity=1 - 370 / 1480).apply_(trained)
    pruned = evaluate(trained, digits.x_test, digits.y_test, normalise=digits.normalise)
    assert by_hand["magnitude", 4]["top1"] == pytest.approx(pruned.accuracy)
    assert by_hand["magnitude", 4]["loss"] == pytest.approx(pruned.loss)


def test_the_study_runs_on_a_network_of_paper_b(digits):
    images = digits.take(train=200, test=100, seed=0)
    larger = replace(images, x_train=images.x_train.repeat(1, 1, 2, 2), x_test=images.x_test.repeat(1, 1, 2, 2))
    options = {"units": Units(None), "key": {}, "seeds": (0,), "names": ("ridge", "fisher", "random")}
    design = Design(epochs=1, compressions=(2, 64))
    rows, compared = before_fine_tuning(lambda seed: lenet(1, 16, 10, seed=seed), larger, SETTING, design, **options)
    assert len(rows) == 1 + 3 * 2 and {row["method"] for row in compared} == {"ridge"}


def test_a_second_study_takes_its_units(digits, found, tmp_path, monkeypatch):
    first = run(digits, Units(tmp_path), checkpoints=tmp_path)
    assert first[0] == [row for row in found[0] if row["seed"] == 0]
    assert first[1] == [row for row in found[1] if row["seed"] == 0]
    assert len(list(tmp_path.iterdir())) == 1 + len(study.NAMES) + len(FITS)
    monkeypatch.setattr("replication.causal.one_shot.start.train", None)  # nothing is trained again
    assert run(digits, Units(tmp_path)) == first
    with pytest.raises(TypeError):
        run(digits, Units(tmp_path), design=replace(DESIGN, epochs=3))
    with pytest.raises(TypeError):
        run(digits, Units(tmp_path), seeds=(1,))
    with pytest.raises(TypeError):
        run(digits, Units(tmp_path), design=replace(DESIGN, record_lr=1e-4))
    names = ("magnitude",)  # does not depend on the recording
    assert len(run(digits, Units(tmp_path), design=replace(DESIGN, record_lr=1e-4), names=names)[0]) == 7


@pytest.mark.parametrize("killed", [1, 2, 3])
def test_a_killed_training_resumes_at_its_last_epoch_bit_for_bit(digits, tmp_path, killed, monkeypatch):
    options = {"epochs": 4, "lr_min": 1e-3, "seed": 0}
    whole = train(network(0), digits, SETTING, **options)
    options |= {"checkpoint": Checkpoint(tmp_path / "folder" / "trained.pt", {"seed": 0})}
    trained, seen = Setting.train, []

    def until(self, *arguments, **given):
        seen.append(given["first"])
        if len(seen) > killed:
            raise KeyboardInterrupt
        return trained(self, *arguments, **given)

    with monkeypatch.context() as patch:
        patch.setattr(Setting, "train", until)
        with pytest.raises(KeyboardInterrupt):
            train(network(0), digits, SETTING, **options)
        seen.clear()
        patch.setattr(Setting, "train", lambda self, *a, **k: (seen.append(k["first"]), trained(self, *a, **k))[1])
        resumed = train(network(0), digits, SETTING, **options)
    assert seen == list(range(killed, 4))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_foreign_or_damaged_checkpoint_is_replaced(digits, tmp_path):
    path, options = tmp_path / "trained.pt", {"epochs": 1, "lr_min": None, "seed": 0}
    whole = train(network(0), digits, SETTING, **options).state_dict()["fc1.weight"]
    train(network(1), digits, SETTING, **options | {"seed": 1}, checkpoint=Checkpoint(path, {"seed": 1}))
    for _ in range(2):
        found = train(network(0), digits, SETTING, **options, checkpoint=Checkpoint(path))
        assert torch.equal(found.fc1.weight, whole)
        path.write_bytes(path.read_bytes()[:-1000])
    assert Checkpoint(path).read() is None
    Checkpoint(path).remove()
    assert not path.exists() and Checkpoint(path).read() is None
    Checkpoint(None).remove()


def test_the_study_leaves_its_network_and_fits_of_a_target_are_made_once(start):
    before = copy.deepcopy(start.model.state_dict())
    assert start.fit("ridge") is start.fit("ridge")
    assert all(torch.equal(value, start.model.state_dict()[name]) for name, value in before.items())
    assert start.records.X.shape == (10, 1480)
    with pytest.raises(ValueError, match="target must be one of .*'shuffled'.*, got 'other'"):
        start.fit("ridge", "other")


def test_targets_have_the_mean_of_the_recorded_loss_changes(start):
    y = start.records.y
    constant, shuffled = start._other(y, "constant"), start._other(y, "shuffled")
    assert constant.unique().item() == pytest.approx(float(y.mean()))
    assert torch.equal(shuffled.sort().values, y.sort().values) and not torch.equal(shuffled, y)


def test_screening_a_constant_target_is_the_mean_squared_gradient(start):
    rows = agreement(lambda target: start.fit("screen", target), start.records.mean_squared_gradient)
    assert [(row["target"], row["reference"]) for row in rows] == [
        ("recorded", "mean_squared_gradient"),
        ("shuffled", "mean_squared_gradient"),
        ("shuffled", "recorded"),
        ("constant", "mean_squared_gradient"),
        ("constant", "recorded"),
    ]
    assert rows[3]["rank_correlation"] == pytest.approx(1, abs=1e-6) and rows[3]["top_overlap"] == 1
    assert rows[4]["rank_correlation"] == rows[0]["rank_correlation"] < 1
    unmoved = int((start.records.X == 0).all(0).sum())
    assert unmoved > 0 and {(row["weights"], row["unmoved"]) for row in rows} == {(1480, unmoved)}
    # Weights that never move have no coefficient in any fit, so that they would raise every correlation.
    moved = ~(start.records.X == 0).all(0)
    other = spearmanr(start.fit("screen").gamma.abs()[moved], start.records.mean_squared_gradient[moved]).statistic
    assert rows[0]["rank_correlation"] == pytest.approx(other)


def test_agreement_is_measured_for_every_fit(found):
    _, compared = found
    assert {(row["seed"], row["method"], row["target"]) for row in compared} == {
        (seed, name, target) for seed in (0, 1) for name in FITS for target in TARGETS
    }
    for row in compared:
        assert -1 <= row["rank_correlation"] <= 1 and 0 <= row["top_overlap"] <= 1


def test_comparison_of_scores():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.rand(2, 20_000, generator=generator, dtype=torch.float64)
    mixed = one + 0.3 * other
    assert compare(one, mixed)["rank_correlation"] == pytest.approx(spearmanr(one, mixed).statistic)
    tops = [set(value.topk(200).indices.tolist()) for value in (one, mixed)]
    assert compare(one, mixed)["top_overlap"] == pytest.approx(len(tops[0] & tops[1]) / 200)
    null = compare(one, other)
    assert abs(null["rank_correlation"]) < 0.03 and null["top_overlap"] < 0.04  # by chance 0 and 0.01
    nothing = {"rank_correlation": None, "top_overlap": None}
    assert compare(one, torch.ones(20_000)) == compare(None, one) == compare(one, None) == nothing


def test_a_fit_without_coefficients_is_a_row_without_accuracy(digits, monkeypatch):
    monkeypatch.setattr(Records, "fit", lambda *_, **__: Fit(None, "diverged", 4, None))
    rows, compared = run(digits, names=("ridge", "fisher"))
    ridge = [row for row in rows if row["method"] == "ridge"]
    assert len(ridge) == 6 and {row["outcome"] for row in ridge} == {"diverged"}
    assert {row["top1"] for row in ridge} == {None} and rows[0].keys() == ridge[0].keys()
    assert {row["rank_correlation"] for row in compared} == {None} and {row["passes"] for row in compared} == {4}
    assert all(row["top1"] is not None for row in rows if row["method"] == "fisher")


def test_top_accuracies(digits):
    model = network(0)
    weights = {name: weight.clone() for name, weight in prunable(model).items()}
    found = top_accuracies(model, digits, batch_size=300)
    outputs = model.eval()(digits.normalise(digits.x_test))
    places = (outputs > outputs.gather(1, digits.y_test[:, None])).sum(1)
    assert found["top1"] == pytest.approx(float((places < 1).double().mean()))
    assert found["top5"] == pytest.approx(float((places < 5).double().mean()))
    expected = evaluate(model, digits.x_test, digits.y_test, normalise=digits.normalise)
    assert found["loss"] == pytest.approx(expected.loss)
    assert all(torch.equal(weights[name], weight) for name, weight in prunable(model).items())


def test_invalid_arguments(digits):
    with pytest.raises(ValueError, match=r"names must be among .*'fisher'.*, got \['obd'\]"):
        run(digits, names=("ridge", "obd"))
    with pytest.raises(ValueError, match="epochs must be at least 1, got 0"):
        Design(epochs=0)
    with pytest.raises(ValueError, match="compressions must be at least 1 each"):
        Design(epochs=1, compressions=(0.5, 2))
