"""Names and masks where torch wraps the model or has masks of its own."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from ccprune.mask import Mask, prunable, unwrap


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(48, 5))


def random_mask(model, sparsity=0.6):
    generator = torch.Generator().manual_seed(1)
    found = {name: torch.rand(weight.shape, generator=generator) for name, weight in prunable(model).items()}
    return Mask.from_scores(found, sparsity=sparsity)


def same(a, b):
    return list(a.keep) == list(b.keep) and all(torch.equal(a.keep[name], b.keep[name]) for name in a.keep)


@pytest.fixture
def process_group(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


WRAPPERS = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "DataParallel": nn.DataParallel,
    "both": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
    "DistributedDataParallel": nn.parallel.DistributedDataParallel,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrapped_models_have_the_plain_names(wrapper, request):
    if wrapper == "DistributedDataParallel":
        request.getfixturevalue("process_group")
    model = network()
    wrapped = WRAPPERS[wrapper](model)
    assert list(prunable(wrapped)) == ["0.weight", "2.weight"] and unwrap(wrapped) is model
    mask = random_mask(model)
    assert same(mask, random_mask(wrapped))
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1, momentum=0.9)
    with mask.enforce(wrapped, optimizer):
        for _ in range(2):
            wrapped(torch.ones(2, 1, 6, 6)).square().sum().backward()
            optimizer.step()
    assert mask.check(wrapped).loc["all", "violations"] == mask.check(model).loc["all", "violations"] == 0
    assert int((model[2].weight == 0).sum()) == mask.keep["2.weight"].numel() - mask.counts["2.weight"]


def test_a_wrapper_inside_is_left_out_and_a_module_called_module_is_not():
    inner = nn.Sequential(torch.compile(nn.Linear(3, 3), backend="eager"), nn.Linear(3, 2))
    assert list(prunable(inner)) == ["0.weight", "1.weight"]
    model = nn.ModuleDict({"module": nn.Linear(2, 2)})
    assert list(prunable(model)) == ["module.weight"] and unwrap(model) is model
    assert list(prunable(nn.DataParallel(model))) == ["module.weight"]


@pytest.mark.parametrize("half", [False, True])
def test_round_trip_through_torchs_masks(half):
    model = network().half() if half else network()
    mask = random_mask(model)
    x = torch.randn(2, 1, 6, 6, dtype=model[0].weight.dtype)
    expected = mask.apply_(copy.deepcopy(model))(x)
    assert mask.to_torch_prune(model) is model
    assert torch.equal(model(x), expected) and prune.is_pruned(model)
    assert same(Mask.from_torch_prune(model), mask) and same(Mask.from_torch_prune(nn.DataParallel(model)), mask)
    with pytest.raises(ValueError, match="'0.weight'; 0.weight_orig is: torch.nn.utils.prune.remove first"):
        mask.apply_(model)
    with pytest.raises(ValueError, match="'0.weight' is not a parameter .* Mask.from_torch_prune"):
        prunable(model)
    for layer in (model[0], model[2]):
        prune.remove(layer, "weight")
    assert mask.check(model).loc["all", "violations"] == 0


def test_masks_that_torch_made_are_read():
    model = network()
    prune.l1_unstructured(model[2], "weight", amount=40)
    mask = Mask.from_torch_prune(model)
    assert mask.counts == {"0.weight": 27, "2.weight": 200}
    lowest = Mask.from_scores({"w": model[2].weight_orig.detach().abs()}, sparsity=40 / 240)
    assert torch.equal(mask.keep["2.weight"], lowest.keep["w"])


def tied():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


def test_tied_layers_share_torchs_mask():
    model = tied()
    mask = random_mask(model)
    expected = mask.apply_(copy.deepcopy(model))(torch.eye(4))
    mask.to_torch_prune(model)
    assert model[0].weight_orig is model[2].weight_orig and torch.equal(model(torch.eye(4)), expected)
    assert same(Mask.from_torch_prune(model), mask)
    model[2].weight_mask[0, 0] = 1 - model[2].weight_mask[0, 0]
    with pytest.raises(ValueError, match="'0.weight' and '2.weight' share a weight but have different masks"):
        Mask.from_torch_prune(model)


def test_a_module_used_twice_has_one_mask():
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    mask = random_mask(model)
    assert list(mask.keep) == ["0.weight"]
    mask.to_torch_prune(model)
    assert same(Mask.from_torch_prune(model), mask)


def test_what_torch_prune_cannot_do_is_refused_and_changes_nothing():
    model = network()
    mask = random_mask(model)
    with torch.no_grad():
        model[2].weight[~mask.keep["2.weight"]] = float("nan")
    before = list(model.state_dict())
    with pytest.raises(ValueError, match="'2.weight' has pruned weights that are not finite"):
        mask.to_torch_prune(model)
    with pytest.raises(ValueError, match="model has no parameter '7.weight'"):
        Mask({"7.weight": torch.ones(2, dtype=torch.bool)}).to_torch_prune(model)
    assert list(model.state_dict()) == before
    with pytest.raises(ValueError, match="no mask of torch.nn.utils.prune"):
        Mask.from_torch_prune(model)
    prune.l1_unstructured(model[2], "bias", amount=1)
    with pytest.raises(ValueError, match=r"weights that can be pruned only, got \['2.bias_mask'\]"):
        Mask.from_torch_prune(model)


def test_weights_that_are_no_parameters_are_refused():
    with pytest.raises(ValueError, match="'weight' is not a parameter .*remove_parametrizations"):
        prunable(parametrizations.weight_norm(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="'0.weight' has no values yet"):
        prunable(nn.Sequential(nn.LazyLinear(3)))


class Attention(nn.Module):
    """Uses the weight of its layer without a call of the layer, as the attention of some vision transformers does."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x):
        query, key, value = nn.functional.linear(x, self.qkv.weight, self.qkv.bias).chunk(3, -1)
        return nn.functional.scaled_dot_product_attention(query, key, value)


def test_torchs_masks_hold_where_a_layer_is_not_called():
    torch.manual_seed(0)
    layer, other, x = nn.MultiheadAttention(8, 2, batch_first=True), Attention(), torch.randn(2, 3, 8)
    model = nn.ModuleDict({"attention": layer, "other": other})
    mask, twin = random_mask(model), copy.deepcopy(model)
    mask.to_torch_prune(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with mask.enforce(twin, torch.optim.SGD(twin.parameters(), 0.1)):
        for _ in range(3):
            for one in (model, twin):
                one["other"](one["attention"](x, x, x)[0]).square().sum().backward()
            optimizer.step()
            for parameter in twin.parameters():
                with torch.no_grad():
                    parameter.sub_(0.1 * parameter.grad)
                parameter.grad = None
            mask.apply_(twin)
            optimizer.zero_grad()
    assert same(Mask.from_torch_prune(model), mask)
    expected = twin["other"](twin["attention"](x, x, x)[0])
    torch.testing.assert_close(model["other"](model["attention"](x, x, x)[0]), expected)
    for module in (layer.out_proj, other.qkv):
        prune.remove(module, "weight")
    torch.testing.assert_close(model["other"](model["attention"](x, x, x)[0]), expected)
