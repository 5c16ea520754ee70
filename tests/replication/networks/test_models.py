"""Oracles: small networks written out with NumPy and the ensemble's own outputs, which are computed by other code;

for paper B's, numbers of weights worked out by hand, and forward passes written out with torch's functions.
"""

import copy
import math
import pickle

import numpy as np
import pytest
import small_models
import torch
from torch import nn
from torch.nn import functional

from ccprune.mask import prunable
from replication.networks import models
from replication.networks.ensemble import initialise
from replication.networks.models import from_ensemble, sigmoid_mlp
from replication.networks.training import outputs


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_outputs_equal_the_ensembles_and_the_formula():
    ensemble = initialise((4, 6, 3), 3, seed=0, scale=0.8)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((10, 4)))
    for index in range(3):
        model = from_ensemble(ensemble, index)
        found = model(x).detach()
        torch.testing.assert_close(found, outputs(ensemble, x)[index], rtol=1e-13, atol=0)
        w1, b1, w2, b2 = (getattr(ensemble, part)[index].numpy() for part in ("w1", "b1", "w2", "b2"))
        expected = sigmoid(sigmoid(x.numpy() @ w1.T + b1) @ w2.T + b2)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13)


def test_weights_are_counted_as_in_the_ensemble_and_owned_by_the_model():
    ensemble = initialise((4, 6, 3), 2, seed=0)
    before = ensemble.weights
    model = from_ensemble(ensemble, 1)
    weights = prunable(model)
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == {"0.weight": (6, 4), "2.weight": (3, 6)}
    assert torch.equal(torch.cat([weight.detach().flatten() for weight in weights.values()]), before[1])
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(ensemble.weights, before)


def test_sigmoid_mlp_is_the_first_network_of_its_seed():
    model = sigmoid_mlp(4, 6, 3, scale=0.5, seed=7)
    same = from_ensemble(initialise((4, 6, 3), 1, seed=7, scale=0.5), 0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    other = sigmoid_mlp(4, 6, 3, scale=0.5, seed=8)
    assert not torch.equal(other[0].weight, model[0].weight)
    assert all(parameter.dtype == torch.float64 and parameter.requires_grad for parameter in model.parameters())


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"index must lie in 0..1, got 2"):
        from_ensemble(initialise((2, 2, 1), 2, seed=0), 2)
    with pytest.raises(ValueError, match="sizes must be at least 1"):
        sigmoid_mlp(2, 0, 1)


# Paper B's networks

NETWORKS = {
    "mlp": (lambda seed: models.mlp((784, 30, 20, 10), seed=seed), (1, 28, 28)),
    "lenet": (lambda seed: models.lenet(1, 28, 10, seed=seed), (1, 28, 28)),
    "lenet of colours": (lambda seed: models.lenet(3, 32, 10, seed=seed), (3, 32, 32)),
    "alexnet32": (lambda seed: models.alexnet32(3, 32, 10, seed=seed), (3, 32, 32)),
    "resnet18": (lambda seed: models.resnet18(3, 10, seed=seed), (3, 32, 32)),
    "resnet20": (lambda seed: models.resnet20(3, 10, seed=seed), (3, 32, 32)),
}


def network(name, seed=0):
    return NETWORKS[name][0](seed)


def inputs(name, n=4):
    return torch.randn(n, *NETWORKS[name][1], generator=torch.Generator().manual_seed(1))


def stages(widths, blocks):
    """Weights of 3 x 3 convolutions in all stages, and of the 1 x 1 ones where a stage begins with stride 2."""
    square = sum((2 * blocks - 1) * 9 * width**2 for width in widths) + 9 * widths[0] ** 2
    across = sum(a * b for a, b in zip(widths, widths[1:], strict=False))
    return square + 9 * across, across


# By hand: (weights of layers, biases and batch norm's scales and shifts).
RESNET18, SHORTCUTS18 = stages((64, 128, 256, 512), 2)
RESNET20, SHORTCUTS20 = stages((16, 32, 64), 3)
COUNTS = {
    "mlp": (784 * 30 + 30 * 20 + 20 * 10, 30 + 20 + 10),
    "lenet": (25 * 20 + 25 * 20 * 50 + 4 * 4 * 50 * 500 + 500 * 10, 20 + 50 + 500 + 10),
    "lenet of colours": (25 * 3 * 20 + 25 * 20 * 50 + 5 * 5 * 50 * 500 + 500 * 10, 20 + 50 + 500 + 10),
    "alexnet32": (
        9 * (3 * 64 + 192 * 384 + 384 * 256 + 256 * 256) + 4 * 64 * 192 + 2 * 2 * 256 * 4096 + 4096 * 4096 + 4096 * 10,
        64 + 192 + 384 + 256 + 256 + 4096 + 4096 + 10,
    ),
    "resnet18": (
        9 * 3 * 64 + RESNET18 + SHORTCUTS18 + 512 * 10,
        64 + 4 * (64 + 128 + 256 + 512) + (128 + 256 + 512) + 10,
    ),
    # Two of batch norm for each of 19 convolutions' and 2 shortcuts' channels.
    "resnet20": (
        9 * 3 * 16 + RESNET20 + SHORTCUTS20 + 64 * 10,
        2 * (16 + 6 * (16 + 32 + 64) + (32 + 64)) + 10,
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_numbers_of_weights_are_those_worked_out_by_hand(name):
    model = network(name)
    weights = sum(weight.numel() for weight in prunable(model).values())
    assert (weights, sum(parameter.numel() for parameter in model.parameters()) - weights) == COUNTS[name]


def test_numbers_of_weights_that_are_published():
    assert COUNTS["lenet"][0] == 430_500  # as the protocol's notes have it
    assert round(sum(COUNTS["resnet20"]) / 1e6, 2) == 0.27  # He et al., 2016, table 6
    assert (COUNTS["lenet of colours"][0], COUNTS["alexnet32"][0]) == (656_500, 23_201_472)  # the docstrings'
    assert (COUNTS["resnet18"][0], COUNTS["resnet20"][0]) == (11_164_352, 270_896)


@pytest.mark.parametrize(
    ("make", "shape", "classes"),
    [
        (lambda: models.mlp((12, 5), seed=0), (12,), 5),
        (lambda: models.lenet(1, 16, 7, seed=0), (1, 16, 16), 7),
        (lambda: models.lenet(3, 64, 200, seed=0), (3, 64, 64), 200),
        (lambda: models.alexnet32(1, 11, 7, seed=0), (1, 11, 11), 7),
        (lambda: models.alexnet32(1, 28, 10, seed=0), (1, 28, 28), 10),
        (lambda: models.resnet18(1, 7, seed=0), (1, 28, 28), 7),
        (lambda: models.resnet20(3, 200, seed=0), (3, 64, 64), 200),
    ],
)
def test_outputs_are_logits_for_any_size_of_images(make, shape, classes):
    found = make().eval()(torch.randn(2, *shape, generator=torch.Generator().manual_seed(0)))
    assert found.shape == (2, classes) and found.dtype == torch.float32
    assert torch.isfinite(found).all() and (found < 0).any() and (found > 0).any()


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_follow_from_the_seed_and_leave_the_global_generator_alone(name):
    state = torch.get_rng_state()
    model, again, other = network(name), network(name), network(name, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
        assert value.device.type == "cpu"
    for key, weight in prunable(model).items():
        assert not torch.equal(prunable(other)[key], weight), key


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_normal_with_variance_2_over_fan_out_and_biases_zero(name):
    model = network(name)
    for key, weight in prunable(model).items():
        assert weight.requires_grad
        outputs, area = weight.shape[0], math.prod(weight.shape[2:])
        scaled = weight.detach() / math.sqrt(2 / (outputs * area))
        error = math.sqrt(2 / weight.numel())  # of a variance, by that many values
        assert abs(scaled.var().item() - 1) < 4.5 * error, key
        assert abs(scaled.mean().item()) < 4.5 / math.sqrt(weight.numel()), key
        assert scaled.abs().max() > 2.2 or weight.numel() < 200, key  # uniform values end at 1.7
    for key, parameter in model.named_parameters():
        if key.endswith("bias"):
            assert not parameter.any(), key
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.running_var == 1).all() and not module.running_mean.any()
            assert module.num_batches_tracked == 0


def with_gradient(model, forward, x):
    model.zero_grad()
    out = forward(x)
    functional.cross_entropy(out, torch.arange(len(x)) % 10).backward()
    return out.detach(), [parameter.grad.clone() for parameter in model.parameters()]


def test_lenet_is_the_papers_although_it_pools_first():
    """Written out with ReLU before pooling, as the paper has it: the same outputs and gradients, bit for bit."""
    model, x = network("lenet"), inputs("lenet", n=16)

    def paper(x):
        for conv in (model.conv1, model.conv2):
            x = functional.max_pool2d(functional.relu(functional.conv2d(x, conv.weight, conv.bias)), 2)
        return model.fc2(functional.relu(model.fc1(x.reshape(len(x), -1))))

    ours, theirs = with_gradient(model, model, x), with_gradient(model, paper, x)
    assert torch.equal(ours[0], theirs[0])
    assert all(torch.equal(a, b) for a, b in zip(ours[1], theirs[1], strict=True))


def test_alexnet32_is_its_layers_one_after_the_other_and_drops_only_in_training():
    model, x = network("alexnet32").eval(), inputs("alexnet32")

    def written_out(x):
        strides = ((2, 1), (1, 1), (1, 1), (1, 1), (1, 1))
        for i, (stride, padding) in enumerate(strides, start=1):
            conv = getattr(model, f"conv{i}")
            x = functional.relu(functional.conv2d(x, conv.weight, conv.bias, stride, padding))
            x = functional.max_pool2d(x, 2) if i in (1, 2, 5) else x
        x = x.flatten(1)
        for fc in (model.fc1, model.fc2):
            x = functional.relu(fc(x))
        return model.fc3(x)

    torch.testing.assert_close(model(x), written_out(x), rtol=1e-5, atol=1e-5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.equal(model.train()(x), model(x))
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize("name", ["resnet18", "resnet20"])
def test_resnets_equal_their_blocks_written_out(name):
    model, x = network(name).eval(), inputs(name)
    weights = {key: value for key, value in model.state_dict().items() if "num_batches" not in key}

    def layer(x, conv, norm, stride=1):
        weight = weights[f"{conv}.weight"]
        x = functional.conv2d(x, weight, weights.get(f"{conv}.bias"), stride, padding=weight.shape[-1] // 2)
        if f"{norm}.running_mean" in weights:
            mean, var, scale, shift = (
                weights[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
            )
            x = functional.batch_norm(x, mean, var, scale, shift)
        return x

    h = functional.relu(layer(x, "conv", "norm"))
    stages, blocks = (4, 2) if name == "resnet18" else (3, 3)
    for stage in range(1, stages + 1):
        for block in range(1, blocks + 1):
            at, stride = f"stage{stage}block{block}", 2 if block == 1 < stage else 1
            inner = functional.relu(layer(h, f"{at}.conv1", f"{at}.norm1", stride))
            inner = layer(inner, f"{at}.conv2", f"{at}.norm2")
            if stride == 2:
                short = f"{at}.shortcut.0" if name == "resnet20" else f"{at}.shortcut"
                h = layer(h, short, f"{at}.shortcut.1", 2)
            h = functional.relu(inner + h)
    assert h.shape[2:] == ((4, 4) if name == "resnet18" else (8, 8))
    expected = functional.linear(h.mean((2, 3)), weights["fc.weight"], weights["fc.bias"])
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-4)


def test_resnet18_without_batch_norm_starts_finite_and_learns():
    """The paper's initialisation makes its logits large: over seeds the loss starts at 7 to 24, not at log 10 = 2.3.

    One step of the paper's SGD at 1e-3 lowers it; one of its Adam at 5e-4 first raises it.
    """
    model, x, y = network("resnet18"), inputs("resnet18", n=16), torch.arange(16) % 10
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = functional.cross_entropy(model(x), y)
    before.backward()
    assert all(torch.isfinite(parameter.grad).all() and parameter.grad.any() for parameter in model.parameters())
    optimizer.step()
    with torch.no_grad():
        after = functional.cross_entropy(model(x), y).item()
    assert 5 < before.item() < 30
    assert after < 0.95 * before.item()


@pytest.mark.parametrize("name", ["lenet", "resnet20"])
def test_networks_survive_deepcopy_and_pickle(name):
    model, x = network(name).eval(), inputs(name)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x), model(x))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: models.mlp((5,), seed=0), ValueError, r"sizes must have at least 2 entries.* got \[5\]"),
        (lambda: models.mlp((5, 0, 2), seed=0), ValueError, "sizes must be at least 1, got 0"),
        (lambda: models.lenet(0, 28, 10, seed=0), ValueError, "in_channels must be at least 1, got 0"),
        (lambda: models.lenet(1, 15, 10, seed=0), ValueError, "size must be at least 16, got 15"),
        (lambda: models.lenet(1, (28, 28), 10, seed=0), TypeError, r"size must be an integer, got \(28, 28\)"),
        (lambda: models.alexnet32(3, 10, 10, seed=0), ValueError, "size must be at least 11, got 10"),
        (lambda: models.resnet18(3, 0, seed=0), ValueError, "classes must be at least 1, got 0"),
        (lambda: models.resnet20(3, 10.0, seed=0), TypeError, "classes must be an integer, got 10.0"),
    ],
)
def test_sizes_that_make_no_network_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("sizes", [(6, 5, 3), (6, 10, 8, 3)])
def test_the_small_models_of_the_librarys_tests_are_the_same_networks(sizes):
    pairs = [(models.mlp(sizes, seed=4), small_models.mlp(sizes, seed=4))]
    pairs.append((models.lenet(1, 16, 3, seed=4), small_models.lenet(1, 16, 3, seed=4)))
    for ours, theirs in pairs:
        assert str(ours) == str(theirs)
        assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
