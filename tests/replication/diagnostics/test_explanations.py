"""Oracles: the closed form for linear models, Shapley's definition over all orders of the features, shap's own
ExactExplainer, and, for the deep method, exact values of small networks. Null: a feature that is not used has none.
"""

import copy
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from replication.diagnostics._shap import shap, with_split_softmax
from replication.diagnostics.explanations import LOCAL_ACCURACY, background_sample, importance, shap_values

pytestmark = pytest.mark.usefixtures("one_thread")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(*sizes, last=None, spread=1.5, seed=0):
    layers = []
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layer = nn.utils.skip_init(nn.Linear, inputs, outputs, dtype=torch.float64)
        layer.weight.data = spread * normal(outputs, inputs, seed=seed + i) / inputs**0.5
        layer.bias.data = 0.3 * normal(outputs, seed=seed + i + 50)
        layers += [layer, nn.Sigmoid()]
    return nn.Sequential(*layers[:-1], last or nn.Softmax(-1))


class Whole(nn.Module):
    """The same network, but its first layer cannot be seen."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)


def by_definition(model, background, x):
    """Mean gain of each feature over all orders in which the features can join, sample by sample."""
    features = x.shape[1]
    orders = list(permutations(range(features)))
    found = torch.zeros(len(x), features, model(x[:1]).shape[1], dtype=torch.float64)
    for i, sample in enumerate(x):
        for order in orders:
            rows = background.clone()
            before = model(rows).mean(0)
            for feature in order:
                rows[:, feature] = sample[feature]
                after = model(rows).mean(0)
                found[i, feature] += (after - before) / len(orders)
                before = after
    return found.detach()


@pytest.mark.parametrize("method", ["exact", "deep"])
def test_a_linear_model_has_its_weights_times_the_distance_from_the_mean(method, device):
    model = nn.Sequential(nn.Linear(6, 3)).double().to(device)
    background, x = normal(20, 6).to(device), normal(5, 6, seed=1).to(device)
    expected = (x - background.mean(0))[..., None] * model[0].weight.detach().T
    found = shap_values(model, background, x, method=method)
    assert found.device == x.device and found.dtype == x.dtype
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_exact_is_the_mean_gain_over_all_orders():
    model = network(5, 4, 3)
    background, x = normal(7, 5), normal(3, 5, seed=1)
    torch.testing.assert_close(shap_values(model, background, x), by_definition(model, background, x))


def test_exact_equals_shap_with_nine_features():
    """KernelExplainer enumerates all coalitions of so few; its ExactExplainer gives the same, but compiles for long."""
    model = network(9, 6, 1, last=nn.Sigmoid())
    background, x = normal(30, 9), normal(4, 9, seed=1)
    explainer = shap.KernelExplainer(
        lambda rows: model(torch.from_numpy(rows))[:, 0].detach().numpy(), background.numpy()
    )
    expected = torch.from_numpy(explainer.shap_values(x.numpy(), nsamples=2**10, l1_reg=0, silent=True))
    torch.testing.assert_close(shap_values(model, background, x)[..., 0], expected, rtol=1e-9, atol=1e-12)


def test_a_first_linear_layer_taken_apart_does_not_change_the_values():
    model, background, x = network(6, 4, 2), normal(7, 6), normal(3, 6, seed=1)
    whole = shap_values(Whole(model), background, x)
    torch.testing.assert_close(shap_values(model, background, x), whole, rtol=1e-12, atol=1e-15)


def test_parts_that_fit_the_model_at_once_do_not_change_the_values(monkeypatch):
    model, background, x = network(6, 4, 2), normal(7, 6), normal(3, 6, seed=1)
    whole = shap_values(model, background, x)
    monkeypatch.setattr("replication.diagnostics.explanations._ROWS", 30)
    torch.testing.assert_close(shap_values(model, background, x), whole, rtol=1e-12, atol=1e-15)


def test_methods_agree_on_samples_with_more_than_one_axis():
    model = nn.Sequential(nn.Flatten(), *network(6, 4, 2))
    background, x = normal(8, 2, 3), normal(4, 2, 3, seed=1)
    flat = shap_values(model, background.flatten(1), x.flatten(1), method="exact")
    assert torch.equal(shap_values(model, background, x, method="exact"), flat) and flat.shape == (4, 6, 2)
    deep = shap_values(model, background, x, method="deep")
    assert deep.shape == (4, 6, 2)
    assert torch.equal(deep, shap_values(model, background.flatten(1), x.flatten(1), method="deep"))


def test_deep_sums_up_to_the_output_of_a_digit_network(device):
    model = network(784, 50, 30, 10, spread=3.0).float().to(device)
    background, x = normal(20, 784).float().to(device), normal(3, 784, seed=1).float().to(device)
    found = shap_values(model, background, x)  # "auto": 784 are too many for the exact method
    assert found.shape == (3, 784, 10)
    with torch.no_grad():
        expected = model(x) - model(background).mean(0)
    assert expected.abs().max() > 0.1
    assert (found.sum(1) - expected).abs().max() < 1e-5 < LOCAL_ACCURACY


def test_deep_is_near_the_exact_values_only_with_the_softmax_taken_apart():
    """shap's own values of these probabilities, the softmax as it is, sum up as they should and reach 28."""
    model = network(6, 12, 10, spread=4.0, seed=14)
    background, x = normal(20, 6), normal(15, 6, seed=1)
    exact, ours = (shap_values(model, background, x, method=method) for method in ("exact", "deep"))
    theirs = shap.DeepExplainer(copy.deepcopy(model), background).shap_values(x, check_additivity=False)
    assert np.abs(theirs.sum(1) - ours.sum(1).numpy()).max() < 1e-4 and exact.abs().max() < 0.5 < 20 < theirs.max()
    for found, low, high in ((ours.numpy(), 0.9, 1.0), (theirs, -1.0, 0.5)):
        assert low < np.corrcoef(found.flatten(), exact.flatten())[0, 1] < high
    assert (ours - exact).abs().max() < 0.2


@pytest.mark.parametrize("outputs", [2, 3, 10])
def test_the_softmax_taken_apart_is_the_softmax(outputs):
    model = nn.Sequential(nn.Identity(), nn.Softmax(-1))
    twin = with_split_softmax(model, outputs)
    z = 20 * normal(50, outputs)
    torch.testing.assert_close(twin(z), model(z), rtol=1e-7, atol=1e-8)  # torch's softplus is linear from 20 on
    assert isinstance(model[1], nn.Softmax) and not any(isinstance(part, nn.Softmax) for part in twin.modules())
    one = nn.Sequential(nn.Linear(2, 1), nn.Softmax(-1))
    assert isinstance(with_split_softmax(one, 1)[1], nn.Softmax)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["exact", "deep"])
def test_null_features_that_are_not_used_have_no_importance(method, dtype):
    """Not even a rounding error: it would rank what is not there."""
    model = network(9, 6, 1, last=nn.Sigmoid()).to(dtype)
    model[0].weight.data[:, [1, 4]] = 0.0
    background, x = normal(37, 9).to(dtype), normal(6, 9, seed=1).to(dtype)
    for seen in (model, Whole(model)):
        values = shap_values(seen, background, x, method=method)
        assert values.dtype == dtype
        found = importance(values)
        assert found[[1, 4]].tolist() == [0.0, 0.0] and found[[0, 2, 3, 5, 6, 7, 8]].min() > 1e-3


@pytest.mark.parametrize("method", ["exact", "deep"])
def test_null_no_feature_of_a_constant_network_has_importance(method):
    model = network(9, 6, 3)
    model[0].weight.data[[0, 3]] = 0.0
    model[2].weight.data[:, [1, 2, 4, 5]] = 0.0
    assert importance(shap_values(model, normal(37, 9), normal(6, 9, seed=1), method=method)).tolist() == [0.0] * 9


@pytest.mark.parametrize("method", ["exact", "deep"])
def test_the_model_and_all_random_numbers_are_left_as_they_were(method):
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.ReLU(), nn.Linear(5, 2)).double()
    model[2].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = copy.deepcopy(model.state_dict())
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    with torch.no_grad():
        first = shap_values(model, normal(8, 4), normal(5, 4, seed=1), method=method)
    assert torch.equal(shap_values(model, normal(8, 4), normal(5, 4, seed=1), method=method), first)
    assert torch.equal(torch.random.get_rng_state(), states[0]) and (np.random.get_state()[1] == states[1]).all()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training and model[1].training and not model[2].training
    assert torch.equal(model[0].weight.grad, torch.ones(5, 4).double()) and model[4].weight.grad is None
    assert not any(vars(module).keys() & {"x", "y"} or module._forward_hooks for module in model.modules())
    assert not any(name in module._parameters for module in model.modules() for name in "xy")


def test_importance_is_the_mean_size_summed_over_outputs():
    values = torch.tensor([[[1.0, -2.0], [0.0, 0.5]], [[-3.0, 0.0], [0.0, -0.5]]])
    assert importance(values).tolist() == [3.0, 0.5]


def test_the_background_is_a_fixed_sample_of_different_rows():
    x = torch.arange(300.0).reshape(150, 2)
    found = background_sample(x, rows=100, seed=3)
    assert found.shape == (100, 2) and torch.equal(found[:, 0].sort().values, found[:, 0])
    assert len(found[:, 0].unique()) == 100 and set(found[:, 0].tolist()) <= set(x[:, 0].tolist())
    assert torch.equal(found, background_sample(x, rows=100, seed=3))
    assert not torch.equal(found, background_sample(x, rows=100, seed=4))
    assert torch.equal(background_sample(x, rows=200), x)


class Functional(nn.Module):
    """A nonlinearity that the explainer cannot see."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2).double()

    def forward(self, x):
        return (4 * self.layer(x)).square()


X, MODEL = normal(5, 4), network(4, 3, 2)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: shap_values(MODEL, X, X, method="kernel"), "method must be one of .* got 'kernel'"),
        (lambda: shap_values(MODEL, X[:, :3], X), r"x and background must be samples .* got \(5, 4\) and \(5, 3\)"),
        (lambda: shap_values(MODEL, X[:0], X), r"x and background .* got \(5, 4\) and \(0, 4\)"),
        (lambda: shap_values(MODEL, normal(2, 13), normal(2, 13), method="exact"), "at most 12 features, got 13"),
        (lambda: shap_values(nn.Flatten(0), X, X), r"model must give outputs \(n, o\), got \(320,\) for 80 samples"),
        (lambda: shap_values(network(4, 3, 2), X * float("nan"), X), "model must give finite outputs"),
        (lambda: shap_values(Functional(), X, X, method="deep"), "modules that shap's DeepExplainer supports"),
        (lambda: importance(X), r"values must have shape \(n, features, outputs\), got \(5, 4\)"),
        (lambda: background_sample(X, rows=0), "rows must be an integer of at least 1, got 0"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_samples_must_be_floating_point():
    with pytest.raises(TypeError, match="x must be floating point, got torch.int64"):
        shap_values(MODEL, X, X.long())


def test_modules_that_work_in_place_have_the_values_of_those_that_do_not():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 8), nn.ReLU(inplace=True), nn.Linear(8, 2))
    plain = copy.deepcopy(model)
    plain[1].inplace = False
    background, x = torch.randn(20, 20), torch.randn(5, 20)
    assert torch.equal(shap_values(model, background, x), shap_values(plain, background, x))
    assert model[1].inplace
