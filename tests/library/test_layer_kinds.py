"""Kinds of layers: their weights are scored, masked, counted and described along the right axes.

Oracles: the same layer written with linear layers, and numbers of multiply-adds by hand.
"""

import copy

import pytest
import torch
from torch import nn

import ccprune
from ccprune import flatness
from ccprune.mask import Axes, Mask, prunable, register_kind
from ccprune.mask import _kinds as kinds
from ccprune.measure import operations

CE = nn.functional.cross_entropy
X = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Transposed(nn.Module):
    """A linear layer with the weight (in, out), as GPT-2's Conv1D."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(inputs, outputs, generator=torch.Generator().manual_seed(1)))

    def forward(self, x):
        return x @ self.kernel


class Experts(nn.Module):
    """Experts in one parameter (experts, out, in)."""

    def __init__(self):
        super().__init__()
        self.up = nn.Parameter(torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1)))

    def forward(self, x):
        return torch.einsum("eoi,ni->no", self.up, x)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(kinds, "_KINDS", dict(kinds._KINDS))
    register_kind(Transposed, linear=True, kernel=Axes(output=1, input=0))
    register_kind(f"{__name__}.Experts", up=Axes(output=1, input=2, batch=0))


def network(first: nn.Module, width: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(width, 2))


@pytest.mark.parametrize("name", ["magnitude", "snip", "grasp", "fisher", "synflow", "wanda", "wanda_row"])
def test_a_registered_kind_is_scored_as_the_linear_layer_that_it_is(registered, name):
    layer = Transposed(6, 5)
    linear = nn.Linear(6, 5, bias=False)
    linear.weight = nn.Parameter(layer.kernel.detach().T.clone())
    found = ccprune.score(name, network(layer, 5), x=X, y=Y)
    expected = ccprune.score(name, network(linear, 5), x=X, y=Y)
    torch.testing.assert_close(found["0.kernel"], expected["0.weight"].T, rtol=1e-4, atol=1e-7)


def test_a_registered_kind_is_counted_described_and_measured(registered):
    model, linear = network(Transposed(6, 5), 5), network(nn.Linear(6, 5, bias=False), 5)
    linear[0].weight = nn.Parameter(model[0].kernel.detach().T.clone())
    keep = torch.rand(6, 5, generator=torch.Generator().manual_seed(2)) > 0.5
    keep[:, 2] = keep[3] = False  # output 2 and input 3
    mask = Mask({"0.kernel": keep, "2.weight": torch.ones(2, 5, dtype=torch.bool)})
    layers = ccprune.report(model, mask, X).layers
    assert layers.loc["0.kernel", ["dead_outputs", "dead_inputs"]].tolist() == [1, 1]
    assert layers.loc["0.kernel", ["macs_dense", "macs_kept"]].tolist() == [30, int(keep.sum())]
    found = flatness.trace(model, CE, (X, Y), probes=200, scale="filter")
    expected = flatness.trace(linear, CE, (X, Y), probes=200, scale="filter")
    assert found.estimate == pytest.approx(expected.estimate, abs=5 * (found.stderr + expected.stderr))
    assert found.estimate != expected.estimate  # other signs


def test_experts_in_one_parameter(registered):
    model = network(Experts(), 5)
    assert list(prunable(model)) == ["0.up", "2.weight"]
    keep = torch.ones(3, 5, 6, dtype=torch.bool)
    keep[0, 1] = keep[2, 3] = keep[1, :, 4] = False
    mask = Mask({"0.up": keep})
    layers = ccprune.report(model, mask, X).layers
    assert layers.loc["0.up", ["dead_outputs", "dead_inputs"]].tolist() == [2, 1]
    assert layers.loc["0.up", ["weights", "kept"]].tolist() == [90, int(keep.sum())]
    with pytest.raises(ValueError, match=r"wanda cannot score .*\['0.up of Experts'\]: leave them out with skip"):
        ccprune.score("wanda", model, x=X)


@pytest.mark.parametrize("cell, gates", [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_are_counted_by_the_step(cell, gates):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = cell(6, 5, batch_first=True, bidirectional=True)

        def forward(self, x):
            return self.cell(x)[0]

    model = Net()
    scores = ccprune.score("magnitude", model)
    assert [*scores] == [f"cell.weight_{side}_l0{way}" for way in ("", "_reverse") for side in ("ih", "hh")]
    mask = Mask.from_scores(scores, sparsity=0.5)
    table = operations.count(model, torch.randn(4, 7, 6), mask=mask)
    assert table["macs_dense"].drop(["other", "all"]).tolist() == [7 * gates * 5 * 6, 7 * gates * 5 * 5] * 2
    assert table["macs_kept"].drop(["other", "all"]).tolist() == [7 * count for count in mask.counts.values()]
    assert table.loc["other", "macs_dense"] == 0
    torch.manual_seed(0)
    scores = ccprune.score("grasp", model, x=torch.randn(4, 7, 6), loss=lambda out, _: out.square().mean(), y=X[:4])
    assert all(bool((score != 0).any()) for score in scores.values())


def test_projections_of_attention_are_counted_by_their_inputs():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.attention(x[:, :3], x, value=x, need_weights=False)[0]

    model = Net()
    keep = torch.ones(24, 8, dtype=torch.bool)
    keep[:4] = keep[20:] = False
    table = operations.count(model, torch.randn(2, 5, 8), mask=Mask({"attention.in_proj_weight": keep}))
    assert table.loc["attention.in_proj_weight", ["macs_dense", "macs_kept"]].tolist() == [64 * 13, 32 * 3 + 96 * 5]
    assert table.loc["attention.out_proj.weight", "macs_dense"] == 64 * 3


def test_transposed_convolutions_have_outputs_and_inputs_of_each_group():
    layer = nn.ConvTranspose2d(4, 6, 2, groups=2)
    keep = torch.ones(4, 3, 2, 2, dtype=torch.bool)
    keep[:2, 1] = keep[3] = False  # an output of group 1, an input of group 2
    found = ccprune.report(layer, Mask({"weight": keep}), torch.randn(1, 4, 3, 3)).layers
    assert found.loc["weight", ["dead_outputs", "dead_inputs", "macs_dense"]].tolist() == [1, 1, 48 * 9]
    x = torch.randn(2, 4, 3, 3)
    energy = (x.square().sum((0, 2, 3)).sqrt()[:, None, None, None] * layer.weight.abs()).detach()
    torch.testing.assert_close(ccprune.score("wanda", layer, x=x)["weight"], energy)


@pytest.mark.parametrize("make", [lambda: nn.LSTM(6, 5), lambda: nn.MultiheadAttention(6, 2)])
def test_masks_of_torch_hold_in_recurrent_layers_and_attention(make):
    model = make()
    mask = Mask.from_scores(ccprune.score("magnitude", model), sparsity=0.5)
    mask.to_torch_prune(model)
    x = torch.randn(3, 2, 6)
    for _ in range(2):
        (model(x) if isinstance(model, nn.LSTM) else model(x, x, x))[0].sum().backward()
    found = Mask.from_torch_prune(model)
    assert all(torch.equal(found.keep[name], keep) for name, keep in mask.keep.items())


def test_embeddings_and_other_parameters_are_scored_if_they_are_named():
    model = nn.Sequential(nn.Embedding(4, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    assert list(prunable(model)) == ["2.weight"]
    assert list(prunable(model, only=["0", "2"])) == ["0.weight", "2.weight"]
    x, y = torch.arange(4), torch.arange(4) % 2
    scores = ccprune.score("snip", model, x=x, y=y, only=[model[0], "1.weight"])
    mask = Mask.from_scores(scores, sparsity=0.5)
    assert mask.total == 24 + 6 and mask.kept == 15
    assert ccprune.report(model, mask, x).layers.loc["0.weight", "macs_dense"] == 0


def test_other_kinds_are_refused():
    with pytest.raises(TypeError, match="module must be a type or its full name, got 3"):
        register_kind(3, weight=Axes())
    with pytest.raises(ValueError, match="weights must give the Axes of at least one attribute"):
        register_kind(nn.Tanh)
    with pytest.raises(ValueError, match="weights must be one weight for a linear kind"):
        register_kind(nn.Tanh, linear=True, a=Axes(), b=Axes())


@pytest.mark.parametrize(
    "make", [lambda scores: Mask.from_channels(scores, share=0.5), lambda scores: Mask.from_n_m(scores, n=2, m=4)]
)
def test_channels_and_groups_of_other_axes_are_refused_by_the_model(make):
    model = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 8, 3))
    before = [weight.clone() for weight in model.parameters()]
    mask = make(ccprune.score("magnitude", model))
    for whole in (mask, Mask.from_state_dict(mask.state_dict()), copy.deepcopy(mask)):
        for use in (whole.apply_, whole.enforce, whole.check, whole.to_torch_prune):
            with pytest.raises(ValueError, match="other axes"):
                use(model)
    assert all(torch.equal(weight, old) for weight, old in zip(model.parameters(), before, strict=True))
    make(ccprune.score("magnitude", model, skip=["1"])).apply_(model)
    assert (model[0].weight == 0).any()
