"""2:4 on CUDA. Oracle: the masked dense model's outputs in the same precision."""

import pytest
import torch
from torch import nn

from ccprune import export
from ccprune.mask import Mask, prunable

needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0),
    reason="needs a CUDA device with sparse tensor cores (compute capability 8.0 or newer)",
)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 64), nn.Linear(64, 4))


def two_of_four(model, protect=()):
    return Mask.from_n_m({name: weight.detach().abs() for name, weight in prunable(model).items()}, protect=protect)


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_outputs_are_the_masked_models(dtype):
    model = network().to("cuda", dtype)
    mask = two_of_four(model)
    exported = export.to_semi_structured(model, mask)
    assert exported.layers["form"].tolist() == ["2:4", "2:4", "dense"]
    assert "multiple of" in exported.layers.loc["3.weight", "reason"]
    x = torch.randn(64, 128, device="cuda", dtype=dtype)
    with torch.no_grad():
        found, expected = exported.model(x), mask.apply_(model)(x)
    assert torch.allclose(found, expected, rtol=2e-2, atol=2e-2) and expected.std() > 0.02


@needs_cuda
def test_other_layers_stay_dense_with_their_kind():
    model = nn.Sequential(nn.Conv2d(8, 64, 1), nn.Flatten(), nn.Linear(64, 64)).to("cuda", torch.float16)
    layers = export.to_semi_structured(model, two_of_four(model)).layers
    assert layers["form"].tolist() == ["dense", "2:4"] and "not those of Conv2d" in layers["reason"].iloc[0]


@needs_cuda
def test_tied_layers_stay_tied():
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64)).to("cuda", torch.float16)
    model[1].weight = model[0].weight
    exported = export.to_semi_structured(model, two_of_four(model)).model
    assert exported[0].weight is exported[1].weight


CONV = nn.Sequential(nn.Conv2d(4, 8, 3))


def unstructured(model):
    return Mask.from_scores({name: weight.detach().abs() for name, weight in prunable(model).items()}, sparsity=0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: (network().half(), unstructured(network())), "at most 2 of every 4 inputs .* not so in '0.weight'"),
        (lambda: (network(), two_of_four(network())), "'0.weight' must be on a CUDA device, got cpu"),
        (
            lambda: (network(), two_of_four(network(), protect=["0", "2", "3"])),
            "mask must prune weights of linear layers, got .*'0.weight of Linear'",
        ),
        (lambda: (CONV, two_of_four(CONV)), r"mask must prune weights of linear layers, got \['0.weight of Conv2d'\]"),
        (lambda: (network(), Mask({"w": torch.ones(1, dtype=torch.bool)})), "model has no parameter 'w'"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        export.to_semi_structured(*make())


@needs_cuda
def test_other_precisions_are_refused():
    model = network().cuda()
    with pytest.raises(ValueError, match="'0.weight' must be of one of .* got torch.float32"):
        export.to_semi_structured(model, two_of_four(model))
