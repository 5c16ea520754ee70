"""Layers and arguments that a correction cannot serve."""

import copy

import numpy as np
import pytest
import torch
from reconstructed import least_squares, values
from torch import nn

import ccprune
from ccprune import Mask, scores
from ccprune.scores.reconstruction import reconstruct, sparsegpt

pytestmark = pytest.mark.usefixtures("one_thread")


class Standardised(nn.Linear):
    """A layer that does not multiply by its weight but by a function of it."""

    def forward(self, x):
        return nn.functional.linear(x, self.weight - self.weight.mean(1, keepdim=True), self.bias)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.embedding(x))


class Uncalled(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.head = nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, x):
        return self.used(x)


REFUSED = {
    "a recurrent layer": (lambda: nn.LSTM(4, 3), "weight_hh_l0 of LSTM', 'weight_ih_l0 of LSTM"),
    "a transposed convolution": (lambda: nn.Sequential(nn.ConvTranspose1d(4, 2, 3)), "0.weight of ConvTranspose1d"),
    "attention": (lambda: nn.TransformerEncoderLayer(4, 2, 8), "self_attn.in_proj_weight of MultiheadAttention"),
    "a tied embedding": (Tied, "head.weight of Embedding"),
    "a layer that is not called": (Uncalled, r"\['head.weight'\] were not used by calling their layers"),
    "a layer with another product": (lambda: Standardised(4, 3), "the layer of 'weight' must multiply its inputs"),
    "inputs that are not finite": (lambda: nn.Linear(4, 3), "'weight' and the inputs of its layer must be finite"),
    "weights that are not finite": (lambda: nn.Linear(4, 3), "'weight' and the inputs of its layer must be finite"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_layers_that_cannot_be_served_are_named_and_the_model_is_as_before(kind):
    make, message = REFUSED[kind]
    torch.manual_seed(0)
    model, x = make(), torch.randn(6, 4, 4)
    if kind == "a tied embedding":
        x = x.abs().long()
    if kind == "inputs that are not finite":
        x[0, 0, 0] = torch.inf
    if kind == "weights that are not finite":
        torch.nn.init.constant_(model.weight[0], torch.inf)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mask = Mask.from_scores(scores.magnitude(model), sparsity=0.5)
    for call in (
        lambda: reconstruct(model, mask, x),
        lambda: sparsegpt(model, x, sparsity=0.5),
        lambda: ccprune.score("obs", model, x=x),
    ):
        with pytest.raises(ValueError, match=message):
            call()
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(module.training and not module._forward_pre_hooks for module in model.modules())


def test_an_error_in_a_later_layer_leaves_the_earlier_ones_as_before():
    model, x = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 2)), torch.tensor([[2.0, 0.0, 1.0]])
    with torch.no_grad():  # the second layer's inputs are 2, 2, 0
        model[0].weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    before = [layer.weight.detach().clone() for layer in model]
    mask = Mask({"0.weight": torch.eye(3).roll(1, 0).bool(), "1.weight": torch.ones(2, 3).bool()})
    mask.keep["1.weight"][:, 2] = False
    with pytest.raises(ValueError, match="damping must be larger: inputs of the layer of '1.weight' are linearly dep"):
        reconstruct(model, mask, x, damping=0.0)
    assert all(torch.equal(layer.weight, weight) for layer, weight in zip(model, before, strict=True))
    reconstruct(model, mask, x)
    assert not torch.equal(model[0].weight, before[0])


def test_weights_that_are_skipped_are_pruned_without_a_correction():
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    x, dense = torch.randn(9, 5, 8), copy.deepcopy(model)
    mask = Mask.from_scores(scores.magnitude(model), sparsity=0.5)
    reconstruct(model, mask, x, skip=["self_attn"])
    for name in ("in_proj_weight", "out_proj.weight"):
        keep = mask.keep[f"self_attn.{name}"]
        assert torch.equal(model.get_parameter(f"self_attn.{name}"), dense.get_parameter(f"self_attn.{name}") * keep)
    # The first corrected layer has the inputs that the pruned attention gives.
    attended = copy.deepcopy(dense)
    mask.apply_(attended)
    seen = []
    with torch.no_grad():
        attended.eval().linear1.register_forward_pre_hook(lambda _, args: seen.append(args[0].double().flatten(0, 1)))
        torch.backends.mha.set_fastpath_enabled(False)
        attended(x)
        torch.backends.mha.set_fastpath_enabled(True)
    expected = least_squares(values(dense.linear1), seen[0].numpy(), mask.keep["linear1.weight"].numpy(), 0.01)
    np.testing.assert_allclose(values(model.linear1), expected, rtol=1e-4, atol=1e-5)
    assert mask.check(model).loc["all", "violations"] == 0


def test_frozen_weights_and_a_choice_of_weights():
    model, x = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)), torch.randn(30, 4)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        sparsegpt(model, x, sparsity=0.5)
    before = model[1].weight.clone()
    assert [*sparsegpt(model, x, sparsity=0.5, frozen=True, skip=["1"]).keep] == ["0.weight"]
    assert torch.equal(model[1].weight, before) and not model[0].weight.requires_grad
    assert [*sparsegpt(model, x, sparsity=0.5, frozen=True, only=["1"]).keep] == ["1.weight"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "either sparsity or n and m must be given"),
        ({"sparsity": 0.5, "n": 2, "m": 4}, "either sparsity or n and m must be given"),
        ({"n": 2}, "either sparsity or n and m must be given"),
        ({"sparsity": 50}, "sparsity must lie in"),
        ({"n": 5, "m": 4}, "m must be an integer of at least 5"),
        ({"n": 2, "m": 3}, r"m must divide the inputs of every layer, not so m=3 of \['weight'\]"),
        ({"sparsity": 0.5, "damping": -1.0}, "damping must be a number of at least 0, got -1.0"),
        ({"sparsity": 0.5, "damping": float("nan")}, "damping must be a number of at least 0"),
    ],
)
def test_invalid_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        sparsegpt(nn.Linear(4, 3), torch.randn(9, 4), **options)


def test_masks_of_other_axes_are_refused():
    layer = pytest.importorskip("transformers.pytorch_utils").Conv1D(4, 8)
    with pytest.raises(ValueError, match="other axes"):
        sparsegpt(layer, torch.randn(9, 8), n=2, m=4)
    mask = Mask.from_n_m({"weight": layer.weight.detach().abs()})
    with pytest.raises(ValueError, match="other axes"):
        reconstruct(layer, mask, torch.randn(9, 8))
