"""Channels removed. Oracle: the masked dense model's outputs, on new inputs too; and removal by hand."""

import sys

import pytest
import torch
from torch import nn

from ccprune import export
from ccprune.export import _constants, _structured
from ccprune.mask import Mask, prunable
from ccprune.mask._traced import trace
from ccprune.measure import operations as flops

tp = pytest.importorskip("torch_pruning", reason="needs torch-pruning")


def channels(model, share=0.5, protect=()):
    generator = torch.Generator().manual_seed(2)
    weights = prunable(model, frozen=True)
    found = {name: torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}
    return Mask.from_channels(found, share=share, protect=protect)


def settled(model, shape):
    """With batch-norm statistics and biases as after training, not those of initialisation."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += torch.randn(parameter.shape, generator=generator) / 2
        for _ in range(3):
            model.train()(torch.randn(8, *shape, generator=generator))
    return model.eval()


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)
        self.inner, self.back, self.side = nn.Conv2d(8, 6, 1), nn.Conv2d(6, 8, 1), nn.Conv2d(8, 4, 1, bias=False)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = x + self.back(self.inner(x).tanh())
        return self.head(torch.cat([x, self.side(x)], 1).mean((2, 3)))


NETWORKS = {
    "linear": (
        lambda: nn.Sequential(
            nn.Linear(6, 9), nn.Sigmoid(), nn.Linear(9, 5, bias=False), nn.GELU(), nn.Linear(5, 3),
        ),
        (6,),
        ["4"],
    ),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 2), nn.Tanh(),
            nn.Flatten(), nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3),
        ),
        (1, 8, 8),
        ["9"],
    ),
    "no bias to fold into": (
        lambda: nn.Sequential(nn.Conv1d(2, 6, 3), nn.Sigmoid(), nn.Flatten(), nn.Linear(36, 3, bias=False)),
        (2, 8),
        ["3"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_the_masked_models_and_the_channels_are_gone(name):
    make, shape, protect = NETWORKS[name]
    torch.manual_seed(0)
    model = settled(make(), shape)
    mask = channels(model, protect=protect)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    exported = export.to_structured(
        model.train(), mask, torch.randn(4, *shape, generator=torch.Generator().manual_seed(4))
    )
    assert torch.equal(torch.get_rng_state(), state) and model.training and not exported.model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    x = torch.randn(50, *shape, generator=torch.Generator().manual_seed(5))
    expected = mask.apply_(model.eval())(x)
    assert torch.allclose(exported.model(x), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-2
    table = exported.layers
    assert (table["removed"] == table["empty"]).all() and (table["reason"] == "").all()
    for key, weight in prunable(exported.model).items():
        assert len(weight) == table.loc[key, "channels"] - table.loc[key, "removed"]
    assert table["removed"].sum() > 0
    work = flops.count(exported.model, x[:1]).loc["all", "macs_dense"]
    assert work < 0.6 * flops.count(model, x[:1]).loc["all", "macs_dense"]


def test_biases_carry_what_the_removed_units_gave_out():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1))
    keep = {
        "0.weight": torch.tensor([[True, True], [False, False], [True, True]]),
        "2.weight": torch.ones(1, 3, dtype=torch.bool),
    }
    found = export.to_structured(model, Mask(keep), torch.randn(3, 2)).model
    with torch.no_grad():
        assert torch.equal(found[0].weight, model[0].weight[[0, 2]]) and torch.equal(
            found[0].bias, model[0].bias[[0, 2]]
        )
        folded = model[2].bias + model[2].weight[:, 1] * torch.sigmoid(model[0].bias[1])
        assert torch.allclose(found[2].bias, folded) and torch.equal(found[2].weight, model[2].weight[:, [0, 2]])


def test_residual_sums_lose_a_channel_only_where_all_their_terms_are_empty():
    model = settled(Residual(), (1, 6, 6))
    mask = channels(model, protect=["head"])
    for name in ("stem", "back"):
        mask.keep[f"{name}.weight"][0] = False
        mask.keep[f"{name}.weight"][1] = name == "stem"
    x = torch.randn(4, 1, 6, 6)
    exported = export.to_structured(model, mask, x)
    both = ~(mask.keep["stem.weight"].flatten(1).any(1) | mask.keep["back.weight"].flatten(1).any(1))
    table = exported.layers
    assert table.loc["stem.weight", "removed"] == table.loc["back.weight", "removed"] == int(both.sum()) >= 1
    assert "coupled" in table.loc["stem.weight", "reason"]
    assert table.loc["side.weight", "removed"] == table.loc["side.weight", "empty"] > 0
    x = torch.randn(20, 1, 6, 6)
    assert torch.allclose(exported.model(x), mask.apply_(model)(x), rtol=1e-5, atol=1e-5)


def test_units_that_nothing_reads_go_too():
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    keep = {"2.weight": torch.ones(2, 5, dtype=torch.bool)}
    keep["2.weight"][:, [1, 3]] = False
    exported = export.to_structured(model, Mask(keep), torch.randn(3, 4))
    assert exported.layers.loc["0.weight", ["empty", "removed"]].tolist() == [0, 2]
    x = torch.randn(9, 4)
    assert torch.allclose(exported.model(x), Mask(keep).apply_(model)(x), atol=1e-6)


def padded(bias):
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1))
    with torch.no_grad():
        model[0].bias[:] = torch.tensor([bias, 1.0, 1.0, 1.0])
    keep = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()}
    keep["0.weight"][0] = False
    return model, Mask(keep)


def empty_output():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3))
    return model, channels(model)


def mixing():
    model = nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    return model, channels(model, protect=["2"], share=0.25)


def collapsed():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
    return model, channels(model, share=4 / 6, protect=["2"])


def tied():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    model[2].weight = model[0].weight
    return model, channels(model, protect=["4"], share=0.2)


def twice():
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(4, 2))
    return model, channels(model, protect=["4"], share=0.2)


def grouped():
    model = nn.Sequential(nn.Conv1d(2, 4, 1), nn.ReLU(), nn.Conv1d(4, 4, 1, groups=2))
    return model, channels(model, protect=["2"], share=0.25)


class Shown(nn.Module):
    """Hidden units that are part of the output as well."""

    def __init__(self):
        super().__init__()
        self.hidden, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        hidden = self.hidden(x)
        return torch.cat([hidden, self.head(hidden)], 1)


class Gated(nn.Module):
    """An empty unit's bias times an input is no constant, though it is one number on one example."""

    def __init__(self):
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.hidden(x) * x)


def of(kind):
    model = kind()
    return model, channels(model, protect=["head"], share=1 / 3)


LEFT = {
    "no constant at the padded edge": (lambda: padded(1.0), (1, 5, 5), "0.weight", 1, 0, "padding with zeros"),
    "zero is the same at the edge": (lambda: padded(-1.0), (1, 5, 5), "0.weight", 1, 1, ""),
    "output": (empty_output, (3,), "2.weight", 2, 0, "reaches the model's output"),
    "hidden and output": (lambda: of(Shown), (3,), "hidden.weight", 2, 0, "reaches the model's output"),
    "not constant": (lambda: of(Gated), (4,), "hidden.weight", 2, 0, "not the same constant"),
    "layer norm": (mixing, (3,), "0.weight", 3, 0, "passes LN"),
    "empty layer": (collapsed, (3,), "0.weight", 4, 3, "one channel stays"),
    "tied": (tied, (4,), "0.weight", 1, 0, "shares its weights"),
    "used twice": (twice, (4,), "0.weight", 1, 0, "not called once"),
    "groups": (grouped, (2, 5), "0.weight", 2, 0, "grouped"),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_removed_stays_with_a_reason(name):
    torch.manual_seed(1)
    make, shape, parameter, empty, removed, reason = LEFT[name]
    model, mask = make()
    exported = export.to_structured(model, mask, torch.randn(1, *shape))
    row = exported.layers.loc[parameter]
    assert (row["empty"], row["removed"]) == (empty, removed) and reason in row["reason"]
    assert bool(row["reason"]) == bool(reason)
    x = torch.randn(9, *shape)
    assert torch.allclose(exported.model(x), mask.apply_(model)(x), rtol=1e-5, atol=1e-5)


def test_a_constant_may_differ_by_rounding_and_no_more():
    one = torch.ones(3)
    inputs = _constants.Inputs(one, one + torch.tensor([0.0, 1e-7, 1e-5]))
    assert inputs.constant.tolist() == [True, True, False]


def test_an_unstructured_mask_removes_nothing():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    found = {name: weight.detach().abs() for name, weight in prunable(model).items()}
    exported = export.to_structured(model, Mask.from_scores(found, sparsity=0.2, min_per_layer=8), torch.randn(2, 6))
    assert exported.layers["removed"].sum() == 0


def test_frozen_weights_stay_frozen_and_a_compiled_model_is_taken_apart():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    model[0].requires_grad_(False)
    mask = channels(model, protect=["2"])
    exported = export.to_structured(torch.compile(model, backend="eager"), mask, torch.randn(3, 4))
    assert [p.requires_grad for p in exported.model.parameters()] == [False, False, True, True]
    assert exported.layers.loc["0.weight", "removed"] == 4


class Mixes(nn.Module):
    """Softmax over channels: torch-pruning takes it for elementwise."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.second(self.first(x).softmax(1))


class Cut(nn.Module):
    def forward(self, x):
        return x.detach().numpy()


def test_channels_that_an_operation_mixes_stay():
    keep = torch.ones(2, 6, dtype=torch.bool)
    keep[:, 2] = False  # no layer reads the channel, but the softmax does
    model = Mixes()
    exported = export.to_structured(model, Mask({"second.weight": keep}), torch.randn(3, 3))
    assert exported.layers["removed"].tolist() == [0, 0]
    x = torch.randn(9, 3)
    assert torch.equal(exported.model(x), Mask({"second.weight": keep}).apply_(model)(x))


def test_errors():
    model, keep = Mixes(), torch.ones(2, 6, dtype=torch.bool)
    with pytest.raises(ValueError, match="model has no parameter 'w'"):
        export.to_structured(model, Mask({"w": keep}), torch.randn(3, 3))
    with pytest.raises(TypeError, match="model must return Tensors, .* got ndarray"):
        export.to_structured(
            nn.Sequential(nn.Linear(3, 6), Cut()),
            Mask({"0.weight": torch.ones(6, 3, dtype=torch.bool)}),
            torch.randn(3, 3),
        )


def test_another_output_is_an_error(monkeypatch):
    def trusting(network, x):
        graph, groups = trace(network, x)
        return graph, [(items, True) for items, _ in groups]

    keep = torch.ones(2, 6, dtype=torch.bool)
    keep[:, 2] = False
    monkeypatch.setattr(_structured, "trace", trusting)
    with pytest.raises(ValueError, match="outputs change with the channels removed"):
        export.to_structured(Mixes(), Mask({"second.weight": keep}), torch.randn(3, 3))


class Kinds(nn.Module):
    """Layers that cannot be made smaller, a mapping as input and a tuple as output."""

    def __init__(self):
        super().__init__()
        self.words, self.cell = nn.Embedding(9, 8), nn.LSTM(8, 6, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
        self.up, self.out = nn.ConvTranspose1d(6, 4, 2), nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, *, ids, scale):
        hidden = self.up(self.encoder(self.cell(self.words(ids))[0]).mT).mT
        return self.out(hidden) * scale, hidden


def test_other_kinds_of_layers_stay_and_are_named():
    torch.manual_seed(0)
    model, x = Kinds().eval(), {"ids": torch.arange(8).reshape(2, 4), "scale": torch.ones(1)}
    scores = {name: torch.rand(weight.shape) for name, weight in prunable(model, only=[model, "words"]).items()}
    mask = Mask(Mask.from_channels(scores, share=0.5, protect=["out.2", "up"]).keep)
    mask.keep["up.weight"][:, :2] = False
    exported = export.to_structured(model, mask, x)
    table, expected = exported.layers, mask.apply_(model)(**x)
    assert set(table.index) == set(mask.keep) and table.removed[table.removed > 0].to_dict() == {
        "encoder.linear1.weight": 7,
        "out.0.weight": 4,
    }
    for name, empty, kind in (
        ("words.weight", 5, "Embedding"),
        ("cell.weight_ih_l0", 13, "LSTM"),
        ("encoder.self_attn.in_proj_weight", 10, "MultiheadAttention"),
        ("up.weight", 2, "ConvTranspose1d"),
    ):
        reason = f"channels of {kind} cannot be removed"
        assert table.loc[name, ["empty", "removed", "reason"]].tolist() == [empty, 0, reason]
    for one, two in zip(exported.model(**x), expected, strict=True):
        torch.testing.assert_close(one, two)


def test_without_torch_pruning_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(ImportError, match="pip install torch-pruning"):
        export.to_structured(nn.Linear(2, 2), Mask({"weight": torch.ones(2, 2, dtype=torch.bool)}), torch.randn(1, 2))
