"""Oracles: the formula by hand for linear layers; a convolution as the linear layer on patches cut out by a loop.
Null: an input that is always zero.
"""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import ccprune
from ccprune import scores


def test_of_linear_layers_it_is_the_formula(device):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).to(device)
    x = torch.randn(2, 7, 4, device=device)  # a sequence: positions are samples
    hidden = torch.relu(model[0](x)).detach()
    found = scores.wanda(model, x)
    for name, layer, inputs in (("0.weight", model[0], x), ("2.weight", model[2], hidden)):
        norms = inputs.cpu().double().reshape(-1, inputs.shape[-1]).norm(dim=0)
        expected = layer.weight.detach().cpu().abs().numpy() * norms.numpy()
        np.testing.assert_allclose(found[name].cpu().numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "groups": 2},
        {"padding": "same"},
        {"padding": 1, "padding_mode": "reflect"},
    ],
    ids=str,
)
def test_of_a_convolution_it_is_the_formula_on_patches(options):
    torch.manual_seed(1)
    layer = nn.Conv2d(4, 6, (3, 3), dtype=torch.float64, **options)
    x = torch.randn(3, 4, 7, 6, dtype=torch.float64)
    found = scores.wanda(layer, x)["weight"]
    # What weight (o, i, r, s) is multiplied with, found by a kernel that has a 1 there and nothing else.
    expected = torch.zeros_like(found)
    probe = nn.Conv2d(4, 6, (3, 3), dtype=torch.float64, bias=False, **options)
    for index in itertools.product(*map(range, layer.weight.shape)):
        with torch.no_grad():
            probe.weight.zero_()
            probe.weight[index] = 1.0
            seen = probe(x)[:, index[0]]
        expected[index] = layer.weight[index].detach().abs() * seen.norm()
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-10)


def test_of_one_dimensional_convolution_by_hand():
    layer = nn.Conv1d(1, 1, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[-2.0, 3.0]]]))
    found = scores.wanda(layer, torch.tensor([[[1.0, 2.0, 2.0]], [[0.0, 4.0, 0.0]]]))["weight"]
    # Under the first place of the kernel pass 1, 2, 0, 4, under the second 2, 2, 4, 0.
    assert found.flatten().tolist() == pytest.approx([2 * 21**0.5, 3 * 24**0.5])


class Shared(nn.Module):
    """One layer called twice, and a second one that has the same weight."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(input=self.one(self.one(x)))


def test_inputs_of_all_uses_of_a_weight_count():
    torch.manual_seed(2)
    model, x = Shared(), torch.randn(5, 3)
    with torch.no_grad():
        first = model.one(x)
        inputs = torch.cat([x, first, model.one(first)])
    expected = model.one.weight.detach().abs() * inputs.norm(dim=0)
    np.testing.assert_allclose(scores.wanda(model, x)["one.weight"].numpy(), expected.numpy(), rtol=1e-5)


def test_within_rows_it_prunes_the_same_share_of_each():
    from ccprune.mask import Mask

    torch.manual_seed(3)
    model, x = nn.Linear(10, 4), torch.randn(6, 10)
    with torch.no_grad():
        model.weight[0] *= 100
    found = scores.wanda(model, x)
    rows = Mask.from_scores(scores.ranks(found, within="row"), sparsity=0.5).keep["weight"].sum(1)
    assert rows.tolist() == [5, 5, 5, 5]
    assert Mask.from_scores(found, sparsity=0.5).keep["weight"].sum(1).tolist() != rows.tolist()


def test_null_a_dead_input_scores_zero_whatever_its_weight():
    torch.manual_seed(4)
    model, x = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2)), torch.randn(4, 2, 4, 4)
    x[:, 1] = 0.0
    with torch.no_grad():
        model[0].weight[:, 1] = 1e3
    found = scores.wanda(model, x)
    assert bool((found["0.weight"][:, 1] == 0).all()) and bool((found["0.weight"][:, 0] > 0).all())


def test_a_layer_that_is_not_called_is_refused_by_name_and_no_hook_stays():
    attention = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    with pytest.raises(ValueError, match=r"wanda cannot .*, got \['self_attn.in_proj_weight of MultiheadAttention'\]"):
        scores.wanda(attention, torch.randn(2, 3, 4))
    with pytest.raises(ValueError, match=r"model's \['self_attn.out_proj.weight'\] were not used by calling"):
        ccprune.score("wanda", attention, x=torch.randn(2, 3, 4), skip=["self_attn.in_proj_weight"])
    found = ccprune.score("wanda", attention, x=torch.randn(2, 3, 4), skip=[attention.self_attn])
    assert list(found) == ["linear1.weight", "linear2.weight"]
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in attention.modules())
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(RuntimeError):
        scores.wanda(model, torch.randn(2, 4))
    assert not model[0]._forward_pre_hooks
    with pytest.raises(ValueError, match="x must hold at least one sample"):
        scores.wanda(model, torch.randn(0, 3))
    with torch.no_grad():
        model[0].weight[1, 2] = torch.inf
    with pytest.raises(ValueError, match=r"model's '0.weight' must have finite scores"):
        scores.wanda(model, torch.ones(2, 3))
