"""Attention heads and coupled channels. Oracles: sums by hand, attention head by head, channels that are removed."""

import math
import warnings

import pytest
import torch
from real_models import MODELS
from same_model import assert_same
from torch import nn

import ccprune
from ccprune import export
from ccprune.mask import LayerFloorWarning, Mask, attention_heads, coupled_channels

HEADS = {
    "ViT": {"blocks.0.attn": 2},
    "ViT of torch": {"encoder.layers.0.self_attn": 2},
    "Swin": {"layers.1.blocks.0.attn": 2},
    "GPT-2": {"transformer.h.0.attn": 2},
    "BERT": {"bert.encoder.layer.0.attention": 2},
    "T5": {"encoder.block.0.layer.0.SelfAttention": 2, "decoder.block.0.layer.1.EncDecAttention": 2},
    "CoaT": {"serial_blocks1.0.factoratt_crpe": 8},
}


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.inner, self.block = nn.Conv2d(6, 4, 1), nn.Conv2d(4, 6, 3, padding=1)
        self.depth, self.head = nn.Conv2d(6, 6, 3, groups=6), nn.Linear(6 * 4, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        x = x + self.block(torch.relu(self.inner(x)))
        return self.head(torch.relu(self.depth(x)).flatten(1))


class Attention(nn.Module):
    """Queries, keys and values in one layer, and heads either inside each of them or around them."""

    def __init__(self, interleaved=False):
        super().__init__()
        self.qkv, self.proj, self.interleaved = nn.Linear(12, 36), nn.Linear(12, 12), interleaved

    def forward(self, x):
        n, t, _ = x.shape
        qkv = self.qkv(x).reshape(n, t, 3, 3, 4)  # what, head, width; or head, what, width
        q, k, v = (qkv.select(3 if self.interleaved else 2, i).transpose(1, 2) for i in range(3))
        mixed = (q @ k.mT / 2).softmax(-1) @ v
        return self.proj(mixed.transpose(1, 2).reshape(n, t, 12))


class Mixing(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]


def magnitudes(model, **options):
    return ccprune.score("magnitude", model, **options)


def randomised(model):
    """A model whose norms, biases and statistics are no ones and zeros, which would hide what passes them."""
    torch.manual_seed(1)
    for value in [*model.parameters(), *model.buffers()]:
        if value.is_floating_point() and value.ndim == 1:
            value.data.copy_(0.5 + torch.rand(value.shape))
    return model.eval()


def test_a_residual_sum_its_depthwise_layer_and_all_that_use_them_are_one_group():
    pytest.importorskip("torch_pruning")
    torch.manual_seed(0)
    model, x = randomised(Residual()), torch.randn(2, 3, 4, 4)
    groups = coupled_channels(model, x)
    weights = {name: weight.detach().double().abs() for name, weight in model.named_parameters()}
    stem, inner, block, depth, head = (weights[f"{n}.weight"] for n in ("stem", "inner", "block", "depth", "head"))
    outer = [
        float(stem[i].sum() + block[i].sum() + depth[i].sum() + inner[:, i].sum() + head.reshape(5, 6, 4)[:, i].sum())
        for i in range(6)
    ]
    narrow = [float(inner[i].sum() + block[:, i].sum()) for i in range(4)]
    by_size = {group.units: name for name, group in groups.items()}
    assert sorted(by_size) == [4, 6] and len(groups) == 2
    mask = Mask.from_channels(magnitudes(model), share=0.5, groups=groups)
    gone = sorted(range(6), key=outer.__getitem__)[:3]
    thin = sorted(range(4), key=narrow.__getitem__)[:2]
    keep = {name: torch.ones(weights[name].shape, dtype=torch.bool) for name in mask.keep}
    for i in gone:
        keep["stem.weight"][i] = keep["block.weight"][i] = keep["depth.weight"][i] = False
        keep["inner.weight"][:, i] = keep["head.weight"].view(5, 6, 4)[:, i] = False
    for i in thin:
        keep["inner.weight"][i] = keep["block.weight"][:, i] = False
    assert all(torch.equal(mask.keep[name], kept) for name, kept in keep.items())
    protected = Mask.from_channels(magnitudes(model), share=0.2, groups=groups, protect=[by_size[4]])
    assert bool(protected.keep["inner.weight"].any(1).all())  # both channels are those of the other group
    later = Mask.from_channels(magnitudes(model), share=0.75, groups=groups, previous=mask)
    assert not any(bool((kept & ~mask.keep[name]).any()) for name, kept in later.keep.items())
    assert int(later.keep["inner.weight"].any(1).sum()) == 1
    # What is pruned has no influence: its biases and norms change nothing.
    mask.apply_(model)
    before = model(x)
    with torch.no_grad():
        for value in (model.stem.bias, model.norm.weight, model.norm.bias, model.block.bias, model.depth.bias):
            value[gone] += 1
        model.inner.bias[thin] += 1
    torch.testing.assert_close(model(x), before)


@pytest.mark.parametrize("share", [1 / 3, 2 / 3])
def test_attention_without_heads_is_that_of_the_others(share):
    torch.manual_seed(0)
    model, x = Mixing(12, 3, batch_first=True).eval(), torch.randn(2, 5, 12)
    torch.nn.init.normal_(model.in_proj_bias)
    heads = attention_heads(model, x, {"": 3})
    scores = magnitudes(model)
    total = [
        sum(float(scores["in_proj_weight"][12 * j + 4 * h : 12 * j + 4 * h + 4].sum()) for j in range(3))
        + float(scores["out_proj.weight"][:, 4 * h : 4 * h + 4].sum())
        for h in range(3)
    ]
    kept = sorted(range(3), key=total.__getitem__)[round(3 * share) :]
    Mask.from_channels(scores, share=share, groups=heads).apply_(model)
    expected = model.out_proj.bias.expand(2, 5, 12)
    for h in kept:
        rows = [slice(12 * j + 4 * h, 12 * j + 4 * h + 4) for j in range(3)]
        q, k, v = (x @ model.in_proj_weight[row].T + model.in_proj_bias[row] for row in rows)
        expected = expected + (q @ k.mT / 2).softmax(-1) @ v @ model.out_proj.weight[:, 4 * h : 4 * h + 4].T
    torch.testing.assert_close(model(x), expected)


def test_heads_with_another_layout_are_refused():
    x = torch.randn(2, 5, 12)
    assert attention_heads(nn.Sequential(Attention()), x, {"0": 3})["0"].units == 3
    for model, count in ((Attention(interleaved=True), 3), (Attention(), 2)):
        with pytest.raises(ValueError, match=r"heads must name modules of that many heads .* got \['0'\]"):
            attention_heads(nn.Sequential(model), x, {"0": count})


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HEADS)
def test_pruned_heads_of_real_models_have_no_influence(name):
    torch.manual_seed(0)
    model, x, _ = MODELS[name]()
    found = []
    assert_same(model.train(), lambda model: found.append(attention_heads(model, x, HEADS[name])))
    mask = Mask.from_channels(magnitudes(model), share=0.5, groups=found[0])
    rows = [part.parameter for group in found[0].values() for part in group.outputs]
    assert all(mask.counts[row] * 2 == mask.keep[row].numel() for row in rows)
    (last,) = {part.parameter for part in [*found[0].values()][0].inputs}
    assert mask.counts[last] * 2 == mask.keep[last].numel()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ResNet", "MobileNet v2"])
def test_coupled_channels_of_real_models_are_removed_whole(name):
    pytest.importorskip("torch_pruning")
    torch.manual_seed(0)
    model, x, _ = MODELS[name]()
    found = []
    assert_same(model.train(), lambda model: found.append(coupled_channels(model, x)))
    mask = Mask.from_channels(magnitudes(model), share=0.5, groups=found[0])
    table = export.to_structured(randomised(model), mask, x).layers
    assert (table["removed"] == table["empty"]).all() and table.removed.sum() > len(found[0])
    for group in found[0].values():
        for part in group.outputs:
            assert table.removed[part.parameter] == math.floor(group.units / 2 + 0.5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name, unknown", [("GPT-2", "c_attn.weight of Conv1D"), ("Mixtral", "proj of MixtralExperts")])
def test_models_with_layers_that_cannot_be_traced_are_refused(name, unknown):
    pytest.importorskip("torch_pruning")
    model, x, _ = MODELS[name]()
    with pytest.raises(ValueError, match=f"only layers that torch-pruning supports, got .*{unknown}"):
        coupled_channels(model, x)
    mask = Mask.from_channels(magnitudes(model, only=["lm_head"]), share=0.5)
    with pytest.raises(ValueError, match=f"torch-pruning supports, got .*{unknown}"):
        export.to_structured(model, mask, x)


def test_norms_over_channels_attention_and_outputs_are_in_no_group():
    pytest.importorskip("torch_pruning")
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert list(coupled_channels(nn.Sequential(layer, nn.Linear(8, 3)), torch.randn(2, 4, 8))) == ["0.linear1.weight"]
    assert coupled_channels(nn.Sequential(nn.Linear(4, 6), nn.ReLU()), torch.randn(2, 4)) == {}
    mixed = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(16, 2))
    assert list(coupled_channels(mixed, torch.randn(2, 3, 2, 2))) == ["2.weight"]


def test_floors_and_errors():
    pytest.importorskip("torch_pruning")
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    groups, scores = coupled_channels(model, torch.randn(3, 4)), magnitudes(model)
    with pytest.raises(ValueError, match="min_per_layer=2: the largest reachable is 0.66"):
        Mask.from_channels(scores, share=0.9, groups=groups, min_per_layer=2)
    deep = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        deep[4].weight *= 1e6
    with pytest.warns(LayerFloorWarning, match=r"min_per_layer=2, .*: \['0.weight'\]"):
        mask = Mask.from_channels(
            magnitudes(deep),
            share=0.5,
            groups=coupled_channels(deep, torch.randn(3, 4)),
            allocation="global",
            norm="l2",
            min_per_layer=2,
        )
    assert int(mask.keep["0.weight"].any(1).sum()) == 2 and int(mask.keep["2.weight"].any(1).sum()) == 4
    with pytest.raises(ValueError, match=r"missing \['2.weight'\]"):
        Mask.from_channels({"0.weight": scores["0.weight"]}, share=0.5, groups=groups)
    with pytest.raises(ValueError, match="scores must name all parameters of groups"):
        Mask.from_channels(scores, share=0.5, groups={})
    for heads, message in (
        ({"9": 2}, "heads must name modules with input and output projections, got '9'"),
        ({"": 4}, r"heads\[''\] must divide the size 6"),
        ({"": 0}, "must be an integer of at least 1"),
    ):
        with pytest.raises(ValueError, match=message), warnings.catch_warnings():
            attention_heads(model, torch.randn(3, 4), heads)
