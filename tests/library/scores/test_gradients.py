"""Oracles: least squares, whose gradient g = X'(Xw - y)/n and Hessian X'X/n are written out; finite differences and the
full Hessian of a small network elsewhere. Null: dead inputs, and labels that say nothing.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from ccprune import scores
from ccprune.mask import prunable


def half_squares(outputs, y):
    return 0.5 * (outputs - y).square().sum(-1).mean()


def arrays(model, x, y):
    x, y, w = x.cpu().numpy(), y.cpu().numpy(), model.weight.detach().cpu().numpy()[0]
    residual = x @ w - y[:, 0]
    return x, w, residual, x.T @ residual / len(x), x.T @ x / len(x)


def test_snip_of_least_squares_is_its_formula(regression):
    _, w, _, g, _ = arrays(*regression)
    found = scores.snip(*regression, loss=half_squares)["weight"]
    np.testing.assert_allclose(found.cpu().numpy()[0], np.abs(g * w), rtol=1e-12, atol=1e-15)
    assert found.device == regression[0].weight.device


def test_grasp_of_least_squares_is_its_formula_and_what_pruning_does_to_the_gradient(regression):
    model, x, y = regression
    _, w, _, g, H = arrays(*regression)
    found = scores.grasp(*regression, loss=half_squares)["weight"].cpu().numpy()[0]
    np.testing.assert_allclose(found, w * (H @ g), rtol=1e-12, atol=1e-15)
    # Larger = keep: to first order, shrinking weight k by a share e changes the squared gradient norm by -2 e score.
    for k, score in enumerate(found):
        shrunk = w.copy()
        shrunk[k] *= 1 - 1e-6
        change = np.sum((g + H @ (shrunk - w)) ** 2) - np.sum(g**2)
        assert change == pytest.approx(-2e-6 * score, rel=1e-4, abs=1e-14)
    assert (found > 0).any() and (found < 0).any()


def test_obd_of_least_squares_is_its_formula(regression):
    model, x, y = regression
    x, w, residual, _, _ = arrays(*regression)
    fisher = ((residual[:, None] * x) ** 2).mean(0)
    found = scores.fisher(*regression, loss=half_squares, chunk=7)["weight"].cpu().numpy()[0]
    np.testing.assert_allclose(found, fisher, rtol=1e-12, atol=1e-15)
    found = scores.obd(*regression, loss=half_squares)["weight"].cpu().numpy()[0]
    np.testing.assert_allclose(found, w**2 * fisher / 2, rtol=1e-12, atol=1e-15)


def test_obd_predicts_the_loss_of_pruning_at_a_minimum_of_a_likelihood():
    """The closed form the paper argues from: at the minimum, with inputs that do not interact, L rises by h w^2 / 2."""
    generator = torch.Generator().manual_seed(1)
    n = 4096
    x = torch.linalg.qr(torch.randn(n, 4, generator=generator, dtype=torch.float64))[0] * n**0.5
    noise = torch.randn(n, 1, generator=generator, dtype=torch.float64)  # unit variance: the loss is -log p
    y = x @ torch.tensor([[1.0], [-0.5], [0.25], [2.0]], dtype=torch.float64) + noise
    model = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_((x.T @ y / n).T)
    found = scores.obd(model, x, y, loss=half_squares)["weight"][0]
    for k in range(4):
        pruned = copy.deepcopy(model)
        with torch.no_grad():
            pruned.weight[0, k] = 0.0
            rise = half_squares(pruned(x), y) - half_squares(model(x), y)
        assert float(found[k]) == pytest.approx(float(rise), rel=0.1)


def small_network():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv1d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(6, 3)).double()
    generator = torch.Generator().manual_seed(4)
    return model, torch.randn(9, 1, 4, generator=generator, dtype=torch.float64), torch.arange(9) % 3


def as_vector_function(model, x, y):
    weights = prunable(model)
    sizes = [weight.numel() for weight in weights.values()]

    def value(vector):
        parts = vector.split(sizes)
        named = {name: part.view(w.shape) for (name, w), part in zip(weights.items(), parts, strict=True)}
        return nn.functional.cross_entropy(functional_call(model, named, (x,)), y)

    return value, torch.cat([weight.detach().flatten() for weight in weights.values()])


def flat(found):
    return torch.cat([value.flatten() for value in found.values()]).numpy()


def test_snip_of_a_network_is_the_slope_of_the_loss_as_a_weight_is_taken_away():
    value, vector = as_vector_function(*small_network())
    expected = []
    for k in range(len(vector)):
        step = torch.zeros_like(vector)
        step[k] = 1e-6 * vector[k]
        expected.append(abs(float((value(vector + step) - value(vector - step)).detach())) / 2e-6)
    np.testing.assert_allclose(flat(scores.snip(*small_network())), expected, rtol=1e-6, atol=1e-10)


def test_grasp_of_a_network_is_its_full_hessian_times_its_gradient():
    value, vector = as_vector_function(*small_network())
    gradient = torch.autograd.functional.jacobian(value, vector)
    hessian = torch.autograd.functional.hessian(value, vector)
    expected = (vector * (hessian @ gradient)).numpy()
    np.testing.assert_allclose(flat(scores.grasp(*small_network())), expected, rtol=1e-9, atol=1e-14)


def test_null_a_dead_input_scores_zero_and_a_zero_weight_too(regression):
    for score in (scores.snip, scores.grasp, scores.obd):
        found = score(*regression, loss=half_squares)["weight"][0]
        assert found[2] == 0 and found[4] == 0  # the weight of the dead input is 2, the zero weight's input is alive
        assert bool((found[[0, 1, 3, 5]] != 0).all())


def test_null_at_the_minimum_the_first_order_sees_nothing():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    y = torch.randn(30, 1, generator=generator, dtype=torch.float64)
    model = nn.Linear(5, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(x, y).solution.T)
    for score in (scores.snip, scores.grasp):
        assert float(score(model, x, y, loss=half_squares)["weight"].abs().max()) < 1e-14
    assert bool((scores.obd(model, x, y, loss=half_squares)["weight"] > 1e-6).all())


def test_null_with_permuted_labels_needed_inputs_score_as_needless_ones():
    """Least squares at small weights: |g_k| is a covariance of input and label, which permuting takes away."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2000, 40, generator=generator, dtype=torch.float64)
    y = x[:, :20].sum(1, keepdim=True) + torch.randn(2000, 1, generator=generator, dtype=torch.float64)
    model = nn.Linear(40, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.fill_(1e-3)
    permuted = y[torch.randperm(2000, generator=generator)]
    true, null = (scores.snip(model, x, labels, loss=half_squares)["weight"][0] for labels in (y, permuted))
    assert true[:20].min() > 3 * true[20:].max()
    assert 0.5 < float(null[:20].mean() / null[20:].mean()) < 2


def test_a_loss_linear_in_the_weights_has_no_curvature_and_grasp_says_so():
    model = nn.Linear(3, 1, dtype=torch.float64)
    x, y = torch.ones(4, 3, dtype=torch.float64), torch.zeros(4)
    found = scores.grasp(model, x, y, loss=lambda outputs, _: outputs.mean())
    assert torch.equal(found["weight"], torch.zeros_like(found["weight"]))


def test_errors_name_what_is_wrong():
    model, x, y = small_network()
    for score in (scores.snip, scores.grasp, scores.fisher, scores.obd):
        with pytest.raises(ValueError, match="x and y must have the same length, at least 1, got 9 and 8"):
            score(model, x, y[:-1])
        with pytest.raises(ValueError, match="x and y must have the same length"):
            score(model, x[:0], y[:0])
        with pytest.raises(ValueError, match=r"model's '0.weight' must have finite scores"):
            score(model, torch.full_like(x, torch.nan), y)
    with pytest.raises(ValueError, match=r"loss must give one number, got shape \(9,\)"):
        scores.snip(model, x, y, loss=nn.CrossEntropyLoss(reduction="none"))
