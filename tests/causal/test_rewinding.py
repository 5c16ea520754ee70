"""Masks and their controls: counts, places, and what is trained under them."""

import pytest
import torch

from ccprune import scores
from ccprune.causal import rewinding
from ccprune.causal.setting import Setting
from ccprune.mask import Mask, jaccard
from ccprune.models import mlp

SETTING = Setting(batch_size=100, label_smoothing=0.0)


def network(seed):
    return mlp((64, 20, 10), seed=seed)


def test_controls_have_the_masks_count(digits):
    saved = network(0)
    mask = Mask.from_scores(scores.random(saved, seed=5), sparsity=0.6)
    found = rewinding.controls(saved, mask, seed=1)
    assert found.pop("dense").sparsity == 0
    assert set(found) == {"magnitude", "magnitude_layer", "lamp", "random", "shuffled"}
    for name, control in found.items():
        assert abs(control.kept - mask.kept) <= (1 if name == "magnitude_layer" else 0), name
        assert jaccard(control, mask) < 0.9, name
    assert found["shuffled"].counts == mask.counts


def test_rows_train_each_mask_from_the_saved_weights(digits):
    saved, _ = rewinding.trained(network(0), digits, SETTING, None, epochs=2, seed=0)
    before = saved.state_dict()["fc1.weight"].clone()
    mask = Mask.from_scores(scores.magnitude(saved), sparsity=0.5)
    masks = {"causal": mask, "again": mask, "reinitialised": mask}
    rows = list(rewinding.rows(saved, network, digits, SETTING, masks, before=2, epochs=3, seed=0))
    assert torch.equal(before, saved.state_dict()["fc1.weight"])
    assert [row["method"] for row in rows] == list(masks)
    assert [row["epochs"] for row in rows] == [3, 3, 5]
    assert rows[0] | {"method": ""} == rows[1] | {"method": ""}
    assert rows[2]["test_loss"] != rows[0]["test_loss"]
    assert all(row["sparsity"] == mask.sparsity for row in rows)
    by_hand, took = rewinding.trained(saved, digits, SETTING, mask, epochs=3, seed=0, first=2)
    assert took == 3 and mask.report(by_hand)["violations"]["all"] == 0
    model = by_hand.eval()
    right = (model(digits.normalise(digits.x_test)).argmax(1) == digits.y_test).double().mean()
    assert rows[0]["test_accuracy"] == pytest.approx(float(right))


def test_training_ends_when_the_loss_stands_still(digits):
    still = Setting(batch_size=1000, label_smoothing=0.0)
    nothing = Mask({name: torch.zeros_like(w, dtype=torch.bool) for name, w in scores.magnitude(network(0)).items()})
    model = network(0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("weight"))  # biases stay, so that under this mask nothing can change
    _, took = rewinding.trained(model, digits, still, nothing, epochs=200, seed=0)
    assert took == 6  # the first loss, then five that are no better


def test_at_lambda_is_the_papers_rule_with_its_ends(digits):
    saved = network(0)
    options = {"iterations": 2, "epochs": 1, "seed": 0}
    assert [m.sparsity for m in rewinding.at_lambda(saved, digits, SETTING, 1.0, **options)] == [1.0, 1.0]
    assert all(m.sparsity < 0.5 for m in rewinding.at_lambda(saved, digits, SETTING, 0.0, **options))
