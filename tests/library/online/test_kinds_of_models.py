"""Frozen, chosen, tied and compiled weights, several optimisers."""

import pytest
import small_models
import torch
from online_training import FAST, OPTIMIZERS, batch, equal, loss_of, network, train, values
from torch import nn

from ccprune import training as minibatch
from ccprune.mask import Mask, prunable
from ccprune.online import OnlinePruner
from ccprune.scores import magnitude


def test_frozen_and_protected_weights_are_left_as_they_are():
    model = small_models.mlp((6, 10, 8, 3), seed=0)
    model.fc2.weight.requires_grad_(False)
    frozen = model.fc2.weight.detach().clone()
    optimizer = OPTIMIZERS["sgd"]([p for p in model.parameters() if p.requires_grad])
    options = {"sparsity": 0.25, "scope": "global", **FAST}
    with OnlinePruner(model, optimizer, protect=["fc3"], **options) as pruner:
        train(model, optimizer, range(30), pruner)
        assert pruner.mask.counts == {"fc1.weight": 39, "fc3.weight": 24}  # 21 of 84 go, none of the frozen
        assert torch.equal(model.fc2.weight, frozen) and pruner.exchanges > 2
    model.fc2.weight.requires_grad_(True)
    with pytest.raises(ValueError, match="optimizer must hold the model's prunable weights, it lacks"):
        OnlinePruner(model, optimizer, **options)


def test_chosen_weights_alone_are_recorded_and_pruned_and_another_optimiser_trains_the_others():
    model = network()
    optimizer, other = (OPTIMIZERS["sgd"](layer.parameters()) for layer in (model.fc1, model.fc2))
    with pytest.raises(ValueError, match=r"optimizer must hold .* lacks \['fc2.weight'\]"):
        OnlinePruner(model, optimizer, sparsity=0.5)
    with pytest.raises(ValueError, match="skip must name modules or parameters of the model"):
        OnlinePruner(model, optimizer, sparsity=0.5, skip=["fc3"])
    dense = model.fc2.weight.clone()
    for choice in ({"only": ["fc1"]}, {"skip": [model.fc2]}):
        with OnlinePruner(model, optimizer, sparsity=0.5, **FAST | choice) as pruner:
            train(model, optimizer, range(20), pruner, after_step=lambda _: other.step())
            assert list(pruner.mask.keep) == list(pruner.scores) == ["fc1.weight"] and pruner.mask.kept == 30
        assert int(model.fc1.weight.count_nonzero()) <= 30 and int(model.fc2.weight.count_nonzero()) == 30
    assert not torch.equal(model.fc2.weight, dense)


def test_a_weight_that_is_frozen_later_keeps_its_mask_from_then_on():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, **FAST) as pruner:
        train(model, optimizer, range(14), pruner)
        model.fc1.weight.requires_grad_(False)
        before = pruner.mask
        train(model, optimizer, range(14, 30), pruner)
        assert torch.equal(pruner.mask.keep["fc1.weight"], before.keep["fc1.weight"])
        assert not torch.equal(pruner.mask.keep["fc2.weight"], before.keep["fc2.weight"])


def test_from_a_mask_it_goes_on_to_a_higher_sparsity():
    model = network()
    optimizer = OPTIMIZERS["adam"](model.parameters())
    mask = Mask.from_scores(magnitude(model), sparsity=0.4)
    masks = []
    with OnlinePruner(model, optimizer, mask=mask, sparsity=0.8, scope="global", **FAST) as pruner:
        train(model, optimizer, range(20), pruner, lambda step: masks.append(pruner.mask))
    assert [found.kept for found in masks] == 3 * [54] + 4 * [29] + 4 * [19] + 9 * [18]
    assert not any(bool((masks[11].keep[name] & ~keep).any()) for name, keep in mask.keep.items())
    assert any(bool((masks[-1].keep[name] & ~masks[11].keep[name]).any()) for name in mask.keep)


@pytest.mark.parametrize("pairing", ["consecutive", "same_batch"])
def test_a_stream_that_comes_in_pieces_is_one_stream(pairing):
    found = []
    for pieces in ([range(30)], [range(7), range(7, 12), range(12, 12), range(12, 30)]):
        model = network()
        optimizer = OPTIMIZERS["adam"](model.parameters())
        with OnlinePruner(model, optimizer, sparsity=0.5, pairing=pairing, **FAST) as pruner:
            for piece in pieces:
                train(model, optimizer, piece, pruner)
        found.append(values(model) | {f"kept {name}": keep for name, keep in pruner.mask.keep.items()})
    assert equal(*found)


def test_it_stands_where_a_recorder_is_asked_for():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, pairing="same_batch", **FAST) as pruner:
        minibatch.fit(
            model, lambda epoch: [batch(step) for step in range(10)], epochs=2, optimizer=optimizer, recorder=pruner
        )
    assert pruner.steps == 20 and pruner.mask.kept == 45 and pruner.exchanges == 2


class Tied(nn.Module):
    """The first weight is used twice, under two names."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.last(self.second(self.first(x).relu()).relu())


@pytest.mark.parametrize("wrap", [Tied, lambda: torch.compile(network(), backend="eager")])
def test_tied_weights_and_compiled_models(wrap):
    torch.manual_seed(0)
    model = wrap()
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    with OnlinePruner(model, optimizer, sparsity=0.5, **FAST) as pruner:
        train(model, optimizer, range(24), pruner)
        assert pruner.mask.total == sum(weight.numel() for weight in prunable(model).values())
        assert pruner.mask.sparsity == 0.5 and pruner.exchanges == 3
        assert pruner.mask.check(model).loc["all", "violations"] == 0


def test_each_of_several_optimisers_has_a_pruner_of_its_own():
    model = network()
    weights = prunable(model)
    steppers = {name: OPTIMIZERS[kind]([weights[name]]) for name, kind in zip(weights, ("sgd", "adam"), strict=True)}
    with pytest.raises(ValueError, match="optimizer must hold the model's prunable weights, it lacks"):
        OnlinePruner(model, next(iter(steppers.values())), sparsity=0.5, **FAST)
    pruners = [OnlinePruner(model, one, sparsity=0.5, only=[name], **FAST) for name, one in steppers.items()]
    for step in range(40):
        loss = loss_of(model, *batch(step))
        model.zero_grad()
        loss.backward()
        for pruner, one in zip(pruners, steppers.values(), strict=True):
            pruner.before_step(loss)
            one.step()
    for pruner in pruners:
        assert pruner.mask.sparsity == pytest.approx(0.5, abs=0.5 / pruner.mask.total)
        assert not pruner.mask.check(model)["violations"].any() and pruner.exchanges > 1
