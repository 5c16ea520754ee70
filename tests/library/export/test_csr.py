"""CSR where it wins. Oracle: the masked dense model's outputs; what wins is decided by clocks that the test sets."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ccprune import export
from ccprune.export import _csr
from ccprune.mask import Mask, prunable
from ccprune.measure.latency import SparseLinear, Timing, sparse


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 10), nn.Linear(10, 4)
    )


def random_mask(model, sparsity=0.8, protect=()):
    generator = torch.Generator().manual_seed(1)
    found = {name: torch.rand(weight.shape, generator=generator) for name, weight in prunable(model).items()}
    return Mask.from_scores(found, sparsity=sparsity, protect=protect)


@pytest.fixture
def clock(monkeypatch):
    """Times of dense and sparse layers by their number of outputs: quartiles around a median."""

    def setting(times):
        asked = []

        def inference(layer, x, *, repeats):
            sparse = isinstance(layer, SparseLinear)
            outputs = layer.shape[0] if sparse else layer.out_features
            asked.append((sparse, tuple(x.shape), repeats))
            low, median, high = times[outputs][sparse]
            return Timing((low, low, median, high, high))

        def inferences(layers, x, *, repeats):
            return {name: inference(layer, x, repeats=repeats) for name, layer in layers.items()}

        monkeypatch.setattr(_csr, "inferences", inferences)
        return asked

    return setting


FAST, SLOW, CLOSE = ((2, 3, 4), (0.1, 0.2, 0.3)), ((1, 1, 1), (2, 2, 2)), ((2, 3, 4), (1, 2.5, 3.5))


def test_layers_become_sparse_where_they_clearly_win(clock):
    model = network()
    mask = random_mask(model, protect=["0"])
    asked = clock({10: FAST, 4: SLOW})
    x = torch.randn(5, 1, 8)
    before = copy.deepcopy(model.state_dict())
    exported = export.to_csr(model, mask, x, repeats=7)
    assert exported.layers["form"].tolist() == ["dense", "csr", "csr", "dense"]
    assert exported.layers["reason"].tolist() == [
        "torch has no sparse form of Conv1d",
        "",
        "",
        "not faster here",
    ]
    assert exported.layers.loc["2.weight", ["dense_seconds", "sparse_seconds"]].tolist() == [3, 0.2]
    assert np.isnan(exported.layers.loc["0.weight", "dense_seconds"])
    assert [type(layer) for layer in exported.model if not isinstance(layer, (nn.Flatten, nn.ReLU))] == [
        nn.Conv1d, SparseLinear, SparseLinear, nn.Linear,
    ]  # fmt: skip
    assert asked == [(sparse, (5, n), 7) for n in (12, 10, 10) for sparse in (False, True)]
    x = torch.randn(9, 1, 8)
    assert torch.allclose(exported.model(x), mask.apply_(copy.deepcopy(model))(x), atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and model.training


@pytest.mark.parametrize("times", [SLOW, CLOSE])
def test_all_stays_dense_where_nothing_clearly_wins(clock, times):
    model = network()
    clock({10: times, 4: times})
    exported = export.to_csr(model, random_mask(model), torch.randn(2, 1, 8))
    assert set(exported.layers["form"]) == {"dense"}
    assert not any(isinstance(module, SparseLinear) for module in exported.model.modules())
    assert random_mask(model).check(exported.model).loc["all", "violations"] == 0


def test_tied_layers_and_those_used_twice_are_decided_together(clock):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight, model[2] = model[0].weight, model[0]
    asked = clock({4: FAST})
    mask = random_mask(model, 0.5)
    exported = export.to_csr(model, mask, torch.randn(3, 4))
    assert len(asked) == 6 and exported.layers.loc["0.weight", "dense_seconds"] == 9
    assert exported.model[0] is exported.model[2] and exported.model[1].values is exported.model[0].values
    x = torch.randn(3, 4)
    assert torch.allclose(exported.model(x), mask.apply_(model)(x), atol=1e-5)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.other = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x):
        return self.used(x)


class Reading(nn.Module):
    """Reads its layer's dtype, as T5 does, beside a layer of torch that computes with the weights of its layers."""

    def __init__(self):
        super().__init__()
        self.encoder, self.last = nn.TransformerEncoderLayer(4, 2, 10, batch_first=True), nn.Linear(4, 4)

    def forward(self, x):
        return {"y": self.last(self.encoder(x).to(self.last.weight.dtype))}


def test_weights_that_are_used_without_a_call_of_their_layer_stay(clock):
    model, x = Reading().eval(), torch.randn(2, 3, 4)
    clock({10: FAST, 4: FAST})
    mask = random_mask(model, 0.5)
    exported = export.to_csr(model, mask, {"x": x})
    assert exported.layers["form"].tolist() == ["dense"] * 4 + ["csr"]
    assert exported.layers.loc["encoder.self_attn.in_proj_weight", "reason"].endswith("form of MultiheadAttention")
    assert "without a call" in exported.layers.loc["encoder.linear1.weight", "reason"]
    with pytest.raises(ValueError, match=r"not in nn.TransformerEncoderLayer.*\['encoder.linear1.weight'\]"):
        sparse(model, Mask({"encoder.linear1.weight": mask.keep["encoder.linear1.weight"]}))
    with torch.no_grad():
        torch.testing.assert_close(exported.model(x), mask.apply_(model)(x))


def test_real_clocks_and_the_other_reasons():
    model = Unused()
    keep = {"used.weight": torch.ones(2, 3, dtype=torch.bool), "other.weight": torch.zeros(2, 3, dtype=torch.bool)}
    exported = export.to_csr(model, Mask(keep), torch.randn(2, 3), repeats=2)
    assert exported.layers["reason"].tolist() == ["nothing pruned", "not called on the example"]
    half = export.to_csr(model.half(), Mask({"used.weight": keep["other.weight"]}), torch.randn(2, 3).half(), repeats=2)
    assert "no CSR products in torch.float16" in half.layers["reason"].item()
    real = export.to_csr(network(), random_mask(network()), torch.randn(2, 1, 8), repeats=3).layers
    assert (real["dense_seconds"][1:] > 0).all() and (real["sparse_seconds"][1:] > 0).all()


def test_errors():
    with pytest.raises(ValueError, match="model has no parameter 'w'"):
        export.to_csr(network(), Mask({"w": torch.ones(1, dtype=torch.bool)}), torch.randn(2, 1, 8))
    with pytest.raises(ValueError, match="example must be on the CPU, got meta"):
        export.to_csr(network(), random_mask(network()), torch.randn(2, 1, 8, device="meta"))
    with pytest.raises(ValueError, match="repeats must be an integer of at least 1"):
        export.to_csr(network(), random_mask(network()), torch.randn(2, 1, 8), repeats=0)
