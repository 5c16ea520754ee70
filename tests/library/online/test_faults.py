"""Steps that are omitted or not finite, and what is refused."""

import math

import pytest
import torch
import torch.distributed as dist
from online_training import FAST, OPTIMIZERS, batch, equal, loss_of, network, train, values
from torch import nn

from ccprune.mask import Mask
from ccprune.online import OnlinePruner
from ccprune.scores import magnitude


def test_a_step_that_a_scaler_leaves_out_changes_no_mask():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, may_skip=True, **FAST) as pruner:
        train(model, optimizer, range(3), pruner)
        for _ in range(2):  # losses without steps
            pruner.before_step(loss_of(model, *batch(3)))
        assert pruner.steps == 3 and pruner.mask.kept == 90
        train(model, optimizer, range(3, 20), pruner)
        assert pruner.mask.kept == 45


def test_weights_that_were_loaded_anew_are_no_record():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, statistic="squared_updates", **FAST) as pruner:
        train(model, optimizer, range(3), pruner)
        scores = pruner.scores
        with torch.no_grad():
            model.fc1.weight.add_(100.0)
        pruner.restart()
        pruner.before_step(loss_of(model, *batch(3)))
        optimizer.step()
    assert equal(pruner.scores, scores)


@pytest.mark.parametrize("pairing", ["consecutive", "same_batch"])
def test_a_loss_that_is_not_finite_is_an_error_and_changes_nothing(pairing):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, pairing=pairing, **FAST) as pruner:
        train(model, optimizer, range(7), pruner)
        weights, mask, scores = values(model), pruner.mask, pruner.scores
        pruner.before_step(torch.tensor(math.nan))
        with pytest.raises(ValueError, match="loss of step 8 is nan"):
            optimizer.step()
        assert equal(values(model), weights) and pruner.mask is mask and equal(pruner.scores, scores)
        train(model, optimizer, range(7, 20), pruner)
        assert pruner.mask.kept == 45


def test_a_gradient_that_is_not_finite_is_an_error_and_the_mask_stays():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, **FAST) as pruner:
        train(model, optimizer, range(15), pruner)
        mask = pruner.mask
        pruner.before_step(loss_of(model, *batch(15)))
        model.fc2.weight.grad[0, 0] = math.nan
        with pytest.raises(ValueError, match=r"growth\['fc2.weight'\] must be finite"):
            optimizer.step()
        assert pruner.mask is mask and pruner.exchanges == 0
        assert all(bool(score.isfinite().all()) for score in pruner.scores.values())


def test_closed_once_or_twice_it_does_nothing_any_more():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    pruner = OnlinePruner(model, optimizer, sparsity=0.5, **FAST)
    train(model, optimizer, range(20), pruner)
    mask = pruner.mask
    pruner.close()
    pruner.close()
    train(model, optimizer, range(20, 22))
    assert pruner.mask is mask and pruner.steps == 20
    assert mask.check(model).loc["all", "violations"] > 0, "no longer enforced"
    with pytest.raises(RuntimeError, match="the recorder is closed"):
        pruner.before_step(torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="the pruner is closed"):
        pruner.load_state_dict(pruner.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "sparsity must be given where mask is not"),
        ({"sparsity": 1.5}, r"sparsity must lie in \[0, 1\], got 1.5"),
        (
            {"sparsity": 0.9, "protect": ["fc1"]},
            "sparsity 0.9 cannot be reached with protect=.* largest reachable is 0.33",
        ),
        ({"sparsity": 0.5, "protect": ["fc3"]}, "protect must name parameters .*, got 'fc3'"),
        ({"sparsity": 0.5, "fraction": 0.0}, r"fraction must lie in \(0, 1\], got 0.0"),
        ({"sparsity": 0.5, "fraction": 1.5}, r"fraction must lie in \(0, 1\], got 1.5"),
        ({"sparsity": 0.5, "every": 1}, "every must be an integer of at least 2, got 1"),
        ({"sparsity": 0.5, "half_life": 0.0}, "half_life must be positive and finite, got 0.0"),
        ({"sparsity": 0.5, "statistic": "fisher"}, "statistic must be one of .*, got 'fisher'"),
        ({"sparsity": 0.5, "grow": "hessian"}, r"grow must be one of \('gradient', 'random'\), got 'hessian'"),
        ({"sparsity": 0.5, "scope": "row"}, "scope must be one of .*, got 'row'"),
        ({"sparsity": 0.5, "min_per_layer": -1}, "min_per_layer must be an integer of at least 0, got -1"),
        ({"sparsity": 0.5, "pairing": "both"}, "pairing must be one of .*, got 'both'"),
        (
            {"mask": Mask({"fc1.weight": torch.ones(10, 6).bool()})},
            r"mask must have the parts \['fc1.weight', 'fc2.weight'\]",
        ),
        (
            {"mask": Mask({"fc1.weight": torch.ones(2).bool(), "fc2.weight": torch.ones(2).bool()})},
            r"mask\['fc1.weight'\]",
        ),
    ],
)
def test_arguments_are_checked_and_the_model_is_left_as_it_was(options, message):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    before = values(model)
    with pytest.raises(ValueError, match=message):
        OnlinePruner(model, optimizer, **options)
    assert equal(values(model), before)
    train(model, optimizer, range(1))  # no hook was left behind


def test_a_mask_with_fewer_weights_than_are_asked_for_is_refused():
    model = network()
    mask = Mask.from_scores(magnitude(model), sparsity=0.9)
    with pytest.raises(ValueError, match="sparsity 0.5 would bring pruned weights back: previous has already 0.9"):
        OnlinePruner(model, OPTIMIZERS["sgd"](model.parameters()), sparsity=0.5, mask=mask)


def test_what_it_cannot_do_it_says(monkeypatch):
    model = network()
    with pytest.raises(TypeError, match="optimizer must keep its state by weight, got LBFGS"):
        OnlinePruner(model, torch.optim.LBFGS(model.parameters()), sparsity=0.5)
    norm = nn.LayerNorm(3)
    with pytest.raises(ValueError, match="model has no prunable weights"):
        OnlinePruner(norm, OPTIMIZERS["sgd"](norm.parameters()), sparsity=0.5)
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with pytest.raises(
        RuntimeError, match="model must be under DistributedDataParallel in several processes, got Sequential"
    ):
        OnlinePruner(model, OPTIMIZERS["sgd"](model.parameters()), sparsity=0.5)
