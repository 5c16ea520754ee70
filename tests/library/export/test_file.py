"""Files with the model and its mask; every fault leaves the model as it was."""

import copy
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ccprune import export
from ccprune.mask import Mask, prunable


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5))


def random_mask(model, sparsity=0.6):
    generator = torch.Generator().manual_seed(1)
    found = {name: torch.rand(weight.shape, generator=generator) for name, weight in prunable(model).items()}
    return Mask.from_scores(found, sparsity=sparsity)


def same(a, b):
    return list(a.keep) == list(b.keep) and all(torch.equal(a.keep[name], b.keep[name]) for name in a.keep)


def equal(model, state):
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.fixture
def saved(tmp_path):
    model = network()
    model(torch.randn(4, 1, 4, 4))  # statistics of its own
    mask = random_mask(model)
    return export.save(tmp_path / "model.safetensors", mask.apply_(model), mask), model, mask


def test_model_and_mask_come_back(saved):
    path, model, mask = saved
    other = network(1).requires_grad_(False)
    found = export.load(path, other)
    assert same(found, mask) and found.requested == 0.6 and equal(other, model.state_dict())
    assert not any(parameter.requires_grad for parameter in other.parameters())
    assert found.check(other).loc["all", "violations"] == 0
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]
    # Any reader reads the weights; the mask takes a bit a weight.
    tensors = load_file(path)
    assert torch.equal(tensors["3.weight"], model[3].weight)
    assert tensors["ccprune.mask/3.weight"].shape == (8,) and tensors["ccprune.mask/3.weight"].dtype == torch.uint8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precisions_memory_formats_and_views_are_no_trouble(tmp_path, dtype):
    model = nn.Sequential(nn.Conv2d(2, 3, 3)).to(dtype).to(memory_format=torch.channels_last)
    model.register_buffer("view", model[0].weight.detach()[:1])
    mask = random_mask(model)
    export.save(tmp_path / "m", mask.apply_(model), mask)
    other = nn.Sequential(nn.Conv2d(2, 3, 3)).to(dtype)
    other.register_buffer("view", torch.zeros(1, 2, 3, 3, dtype=dtype))
    assert same(export.load(tmp_path / "m", other), mask) and equal(other, model.state_dict())


def test_wrapped_models_are_saved_and_loaded_by_their_plain_names(tmp_path):
    model = network()
    mask = random_mask(model)
    mask.apply_(model)
    export.save(tmp_path / "m", nn.DataParallel(torch.compile(model, backend="eager")), mask)
    other = network(1)
    export.load(tmp_path / "m", torch.compile(other, backend="eager"))
    assert equal(other, model.state_dict())


def tied(same_tensor=True):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    if same_tensor:
        model[1].weight = model[0].weight
    return model


def test_tied_weights_are_stored_once(tmp_path):
    model = tied()
    mask = random_mask(model)
    export.save(tmp_path / "m", mask.apply_(model), mask)
    with safe_open(tmp_path / "m", framework="pt") as file:
        assert "1.weight" not in file.keys() and json.loads(file.metadata()["tied"]) == {"1.weight": "0.weight"}
    other = tied()
    export.load(tmp_path / "m", other)
    assert other[1].weight is other[0].weight and equal(other, model.state_dict())
    untied = tied(False)
    export.load(tmp_path / "m", untied)
    assert equal(untied, model.state_dict())
    mask = random_mask(untied, 0.0)
    with torch.no_grad():
        untied[1].weight += 1
    export.save(tmp_path / "n", untied, mask)
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match="different values for '0.weight' and '1.weight', the model one tensor"):
        export.load(tmp_path / "n", other)
    assert equal(other, before)


def rewritten(path, tensors=(), metadata=(), drop=()):
    with safe_open(path, framework="pt") as file:
        texts = dict(file.metadata())
    stored = {name: value for name, value in load_file(path).items() if name not in drop}
    save_file(stored | dict(tensors), path, metadata={**texts, **dict(metadata)})


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


BITS = "ccprune.mask/3.weight"
FAULTS = {
    "cut": (cut, "is not a whole safetensors file"),
    "empty": (lambda path: path.write_bytes(b""), "is not a whole safetensors file"),
    "a pickle": (lambda path: torch.save({"a": torch.ones(1)}, path), "is not a whole safetensors file"),
    "another's": (lambda path: save_file({"a": torch.ones(1)}, path), "must have been written by ccprune.export.save"),
    "no bits": (lambda path: rewritten(path, drop=[BITS]), "is damaged"),
    "few bits": (lambda path: rewritten(path, {BITS: torch.zeros(7, dtype=torch.uint8)}), "60 mask bits of '3.weight'"),
    "other bits": (lambda path: rewritten(path, {BITS: torch.zeros(8, dtype=torch.uint8)}), "pruned weights are not"),
    "no mask": (lambda path: rewritten(path, metadata={"mask": "{}"}), "is damaged"),
    "no JSON": (lambda path: rewritten(path, metadata={"mask": "{"}), "is damaged"),
    "other JSON": (lambda path: rewritten(path, metadata={"tied": "[]"}), "is damaged"),
    "missing": (lambda path: rewritten(path, drop=["3.bias"]), r"missing \['3.bias'\], unknown to the model \[\]"),
    "unknown": (lambda path: rewritten(path, {"x": torch.ones(1)}), r"missing \[\], unknown to the model \['x'\]"),
    "shape": (
        lambda path: rewritten(path, {"3.bias": torch.ones(4)}),
        r"has '3.bias' as torch.float32 of shape \(4,\)",
    ),
    "type": (lambda path: rewritten(path, {"3.bias": torch.ones(5).half()}), "has '3.bias' as torch.float16"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_refused_and_the_model_is_as_it_was(saved, fault):
    path, *_ = saved
    harm, message = FAULTS[fault]
    harm(path)
    model = network(1)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=message):
        export.load(path, model)
    assert equal(model, before)


def test_another_model_and_no_file_are_refused(saved, tmp_path):
    path, *_ = saved
    other = nn.Sequential(nn.Linear(2, 2))
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match="must hold what the model has: missing .*'0.weight'|unknown to the model"):
        export.load(path, other)
    assert equal(other, before)
    with pytest.raises(FileNotFoundError, match="path must be a file"):
        export.load(tmp_path / "nothing", other)


class Extra(nn.Linear):
    def get_extra_state(self):
        return {"some": "object"}

    def set_extra_state(self, state):
        pass


def test_save_refuses_and_leaves_the_file_that_was_there(saved):
    path, _, mask = saved
    content = path.read_bytes()
    with pytest.raises(ValueError, match="pruned weights that are not zero: call mask.apply_"):
        export.save(path, network(1), mask)
    extra = Extra(2, 2)
    with pytest.raises(ValueError, match=r"state must be tensors, got others: \['_extra_state'\]"):
        export.save(path, extra, Mask({"weight": torch.ones(2, 2, dtype=torch.bool)}))
    assert path.read_bytes() == content and [file.name for file in path.parent.iterdir()] == [path.name]


def test_every_flipped_bit_is_found(tmp_path):
    model = nn.Linear(6, 5)
    path = export.save(tmp_path / "model", model, Mask.ones_like(model))
    content = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    for place in torch.randint(8, len(content), (120,), generator=generator).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"is damaged|whole safetensors|must have been written|must hold|has '|mask"
        ):
            export.load(path, nn.Linear(6, 5))
