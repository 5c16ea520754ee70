"""Masks and their controls: counts, places, and what is trained under them."""

import copy

import pytest
import torch

from ccprune import scores
from ccprune.mask import Mask, jaccard_kept, prunable
from replication.causal import rewinding
from replication.causal.setting import Setting
from replication.data.images import batches
from replication.ledger.units import Units
from replication.networks.models import mlp

SETTING = Setting(batch_size=100, label_smoothing=0.0)


def network(seed):
    return mlp((64, 20, 10), seed=seed)


def test_controls_have_the_masks_count(digits):
    saved = network(0)
    mask = Mask.from_scores(scores.random(saved, seed=5), sparsity=0.6)
    found = rewinding.controls(saved, mask.sparsity, seed=1)
    assert found.pop("dense").sparsity == 0
    assert set(found) == {"magnitude", "magnitude_layer", "lamp", "random"}
    for name, control in found.items():
        assert abs(control.kept - mask.kept) <= (1 if name == "magnitude_layer" else 0), name
        assert jaccard_kept(control, mask) < 0.9, name


def test_rows_train_each_mask_from_the_saved_weights(digits):
    saved, _ = rewinding.train_until_converged(network(0), digits, SETTING, None, epochs=2, seed=0)
    before = saved.state_dict()["fc1.weight"].clone()
    mask = Mask.from_scores(scores.magnitude(saved), sparsity=0.5)
    names, options = ("causal", "again", "reinitialised"), {"before": 2, "epochs": 3, "seed": 0}
    rows = [rewinding.row(name, saved, network, digits, SETTING, mask, **options) for name in names]
    assert torch.equal(before, saved.state_dict()["fc1.weight"])
    assert tuple(row["method"] for row in rows) == names
    assert [row["epochs"] for row in rows] == [3, 3, 5]
    assert rows[0] | {"method": ""} == rows[1] | {"method": ""}
    assert rows[2]["test_loss"] != rows[0]["test_loss"]
    assert all(row["sparsity"] == mask.sparsity for row in rows)
    by_hand, took = rewinding.train_until_converged(saved, digits, SETTING, mask, epochs=3, seed=0, first=2)
    assert took == 3 and mask.check(by_hand)["violations"]["all"] == 0
    model = by_hand.eval()
    right = (model(digits.normalise(digits.x_test)).argmax(1) == digits.y_test).double().mean()
    assert rows[0]["test_accuracy"] == pytest.approx(float(right))


def test_training_ends_when_the_loss_stands_still(digits):
    still = Setting(batch_size=1000, label_smoothing=0.0)
    nothing = Mask({name: torch.zeros_like(w, dtype=torch.bool) for name, w in scores.magnitude(network(0)).items()})
    model = network(0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("weight"))  # biases stay, so that under this mask nothing can change
    _, took = rewinding.train_until_converged(model, digits, still, nothing, epochs=200, seed=0)
    assert took == 6  # the first loss, then five that are no better


def test_at_lambda_is_the_papers_rule_with_its_ends(digits):
    saved = network(0)
    options = {"iterations": 2, "epochs": 1, "seed": 0}
    assert [m.sparsity for m in rewinding.masks_at_lambda(saved, digits, SETTING, 1.0, **options)] == [1.0, 1.0]
    assert all(m.sparsity < 0.5 for m in rewinding.masks_at_lambda(saved, digits, SETTING, 0.0, **options))


def test_iterative_magnitude_prunes_the_same_share_of_the_trained_networks(digits):
    saved = rewinding.train_until_converged(network(0), digits, SETTING, None, epochs=1, seed=0)[0]
    masks = list(rewinding.iterative_magnitude(saved, digits, SETTING, 0.9, iterations=3, epochs=2, seed=0))
    left = [1.0, *(1 - mask.sparsity for mask in masks)]
    shares = [after / before for before, after in zip(left, left[1:], strict=False)]
    assert shares == pytest.approx([0.1 ** (1 / 3)] * 3, abs=2e-3) and masks[-1].sparsity == pytest.approx(
        0.9, abs=4e-4
    )
    # The first round by hand: two epochs of plain SGD at 1e-3 from the saved weights, then the smallest weights go.
    model = copy.deepcopy(saved)
    SETTING.train(model, digits, epochs=2, optimizer=torch.optim.SGD(model.parameters(), lr=1e-3), seed=0)
    expected = Mask.from_scores(scores.magnitude(model), sparsity=masks[0].sparsity)
    assert jaccard_kept(expected, masks[0]) == 1


def test_squared_updates_take_the_counts_given_and_never_look_at_the_loss(digits):
    saved = rewinding.train_until_converged(network(0), digits, SETTING, None, epochs=1, seed=0)[0]
    given = [0.3, 0.3, 0.8]
    masks = list(rewinding.masks_by_squared_updates(saved, digits, SETTING, given, epochs=1, seed=0))
    assert [mask.sparsity for mask in masks] == pytest.approx(given, abs=4e-4)
    squares = {name: torch.zeros_like(weight) for name, weight in scores.magnitude(saved).items()}
    model = copy.deepcopy(saved)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    steps = list(batches(digits, batch_size=100, seed=7919, epoch=0))
    for x, y in steps[:-1]:  # consecutive pairing has no record of the last step
        before = {name: weight.detach().clone() for name, weight in prunable(model).items()}
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        for name, weight in prunable(model).items():
            squares[name] += (weight.detach() - before[name]) ** 2
    assert jaccard_kept(Mask.from_scores(squares, sparsity=masks[0].sparsity), masks[0]) > 0.99


def test_a_second_experiment_takes_its_units(digits, tmp_path, monkeypatch):
    options = {"key": {"dataset": "digits"}, "iterations": 2, "epochs": 1, "after": 1, "seed": 0}
    arguments = (network, digits, SETTING, 1e-9)
    plain = rewinding.experiment(*arguments, units=Units(None), **options)
    stored = Units(tmp_path)
    assert rewinding.experiment(*arguments, units=stored, **options) == plain
    sparsities, rows = plain
    assert [row["method"] for row in rows] == list(rewinding.MASKS) and len(sparsities) == 2
    total = sum(weight.numel() for weight in prunable(network(0)).values())
    for row in rows:
        wanted = 0.0 if row["method"] == "dense" else sparsities[-1]
        assert abs(row["sparsity"] - wanted) * total <= (1.5 if row["method"] == "magnitude_layer" else 1e-6)
    assert len({row["test_loss"] for row in rows}) == len(rows)
    assert len(list(tmp_path.iterdir())) == len(rows) + 1
    monkeypatch.setattr(rewinding, "train_until_converged", None)  # nothing is trained again
    assert rewinding.experiment(*arguments, units=stored, **options) == plain
    with pytest.raises(TypeError):
        rewinding.experiment(*arguments, units=stored, **options | {"after": 2})
