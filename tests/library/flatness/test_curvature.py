"""Oracles: X'X for a linear model; the full Hessian by reverse-over-reverse differentiation and numpy's eigenvalues.

Null: a loss that does not depend on the weights, or only linearly, has no curvature.
"""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from ccprune.flatness import slice_1d, top_eigenvalues, trace
from ccprune.mask import Mask, prunable

TIGHT = {"tol": 1e-9, "max_products": 10_000}


def expected_block(case, mask, scale):
    block = case.full_hessian()
    if scale == "filter":
        norms = case.filter_norms(mask)
        block = norms[:, None] * block * norms
    if mask is not None:
        keep = torch.cat([part.flatten() for part in mask.keep.values()])
        block = block[keep][:, keep]
    return block


@pytest.mark.parametrize("outputs", [1, 3])
def test_linear_model_has_the_eigenvalues_of_its_inputs(linear, outputs, device):
    case = linear(outputs).to(device)
    x = case.data[0]
    gram = np.linalg.eigvalsh((2 / (40 * outputs) * x.T @ x).cpu().numpy())[::-1]
    found = top_eigenvalues(*case, k=4, **TIGHT)
    np.testing.assert_allclose(found.values.cpu().numpy(), np.repeat(gram, outputs)[:4], rtol=1e-10)
    assert found.values.device.type == device and found.converged.all() and (found.residuals < 1e-8).all()
    assert (found.weights, found.samples) == (6 * outputs, 40)


@pytest.mark.parametrize("scale", ["none", "filter"])
@pytest.mark.parametrize("masked", [False, True])
def test_values_vectors_and_residuals_equal_the_full_hessian(network, masked, scale, device):
    mask = network.some_mask() if masked else None
    block = expected_block(network, mask, scale)
    found = top_eigenvalues(*network.to(device), k=4, mask=mask, scale=scale, **TIGHT)
    truth = np.linalg.eigvalsh(block.numpy())[::-1]
    np.testing.assert_allclose(found.values.cpu().numpy(), truth[:4], rtol=1e-8)
    assert found.weights == len(block)
    for value, residual, vector in zip(found.values.cpu(), found.residuals.cpu(), found.vectors, strict=True):
        assert list(vector) == list(prunable(network.model))
        if mask is not None:
            assert all((part.cpu()[~mask.keep[name]] == 0).all() for name, part in vector.items())
        flat = torch.cat([part.cpu().flatten() for part in vector.values()])
        assert float(flat.norm()) == pytest.approx(1)
        if mask is not None:
            flat = flat[torch.cat([part.flatten() for part in mask.keep.values()])]
        assert float((block @ flat - value * flat).norm() / abs(value)) == pytest.approx(float(residual), abs=1e-8)


def test_all_eigenvalues_can_be_asked_for_and_not_one_more(mlp):
    mask = mlp.some_mask()
    truth = np.linalg.eigvalsh(expected_block(mlp, mask, "none").numpy())[::-1]
    found = top_eigenvalues(*mlp, k=mask.kept, mask=mask, **TIGHT)
    np.testing.assert_allclose(found.values.numpy(), truth, atol=1e-10)
    assert found.products == mask.kept
    with pytest.raises(ValueError, match=f"k must be at most the number of remaining weights .{mask.kept}., got"):
        top_eigenvalues(*mlp, k=mask.kept + 1, mask=mask, max_products=1000)


def test_pruned_weights_do_not_add_zeros_above_negative_eigenvalues(linear):
    model, loss, data = linear()
    mask = Mask({"weight": torch.tensor([[True, True, False, False, True, False]])})
    found = top_eigenvalues(model, lambda output, target: -loss(output, target), data, k=3, mask=mask, **TIGHT)
    x = data[0][:, [0, 1, 4]]
    np.testing.assert_allclose(found.values.numpy(), np.linalg.eigvalsh(-(x.T @ x / 20).numpy())[::-1], rtol=1e-9)
    assert (found.values < 0).all()


@pytest.mark.parametrize("masked, scale", [(False, "none"), (True, "filter")])
def test_trace_and_its_standard_error_equal_the_full_hessian(network, masked, scale, device):
    mask = network.some_mask() if masked else None
    block = expected_block(network, mask, scale)
    found = trace(*network.to(device), probes=400, mask=mask, scale=scale, seed=3)
    assert abs(found.estimate - float(block.trace())) < 4 * found.stderr
    # Of random signs v, v'Hv has variance 2 * (sum of squares off the diagonal).
    variance = 2 * float((block - torch.diag(block.diag())).square().sum())
    assert found.stderr == pytest.approx(math.sqrt(variance / 400), rel=0.15)
    assert (found.probes, found.weights, found.samples) == (400, len(block), len(network.data[0]))


def test_trace_of_a_diagonal_hessian_is_exact(linear):
    case = linear()
    q = torch.linalg.qr(case.data[0]).Q
    found = trace(case.model, case.loss, (q, case.data[1]), probes=2)
    assert found.estimate == pytest.approx(2 / 40 * 6, rel=1e-12) and found.stderr < 1e-15


def test_probes_of_a_seed_do_not_depend_on_their_number_or_the_mask(mlp):
    few, more, other = (trace(*mlp, probes=n, seed=s) for n, s in ((2, 0), (3, 0), (2, 1)))
    third = 3 * more.estimate - 2 * few.estimate
    # Three probes with this mean and standard error, two of which have that mean and standard error.
    first, second = few.estimate + few.stderr, few.estimate - few.stderr
    assert np.std([first, second, third], ddof=1) / 3**0.5 == pytest.approx(more.stderr, rel=1e-6)
    assert other.estimate != few.estimate
    everything = Mask({name: torch.ones_like(w, dtype=torch.bool) for name, w in prunable(mlp.model).items()})
    assert trace(*mlp, probes=2, mask=everything) == few


@pytest.mark.parametrize("measure", [trace, top_eigenvalues])
def test_same_seed_same_result(mlp, measure):
    one, again = (measure(*mlp, seed=4) for _ in range(2))
    if measure is trace:
        assert one == again
    else:
        assert torch.equal(one.values, again.values) and torch.equal(one.residuals, again.residuals)
        assert float(one.values) == pytest.approx(float(measure(*mlp, seed=5).values), rel=1e-5)
        assert float(one.residuals) != float(measure(*mlp, seed=5).residuals)


def test_batches_are_weighted_by_their_size(conv):
    model, loss, data = conv
    whole, eigen = trace(model, loss, data, probes=2), top_eigenvalues(model, loss, data)
    for batches in (conv.batches(1, 19), [list(data)]):
        split = trace(model, loss, iter(batches), probes=2)
        assert (split.estimate, split.stderr) == pytest.approx((whole.estimate, whole.stderr), rel=1e-9)
        found = top_eigenvalues(model, loss, batches)
        torch.testing.assert_close(found.values, eigen.values, rtol=1e-9, atol=0)
        assert split.samples == found.samples == 20


def test_single_precision_is_measured_in_single_precision(network):
    truth = torch.linalg.eigvalsh(network.full_hessian()).flip(0)[:3]
    single = network.to(torch.float32)
    found = top_eigenvalues(*single, k=3)
    torch.testing.assert_close(found.values, truth, rtol=1e-4, atol=0)
    assert found.converged.all() and found.vectors[0]["0.weight"].dtype == torch.float32
    estimate = trace(*single).estimate
    assert estimate == pytest.approx(trace(*network).estimate, rel=1e-4)


def rescaled(case, factor):
    """The same function: ReLU(c z) = c ReLU(z), so the first layer times c and the next by 1/c."""
    model = copy.deepcopy(case.model)
    with torch.no_grad():
        model[0].weight.mul_(factor)
        model[0].bias.mul_(factor)
        model[2].weight.div_(factor)
    return model


@pytest.mark.parametrize("masked", [False, True])
def test_filter_scale_is_blind_to_a_rescaling_between_relu_layers(relu_mlp, masked):
    model, loss, data = relu_mlp
    other = rescaled(relu_mlp, 8.0)
    torch.testing.assert_close(other(data[0]), model(data[0]))
    options = {"mask": relu_mlp.some_mask(0.2) if masked else None}
    for measure in (
        lambda m, scale: float(top_eigenvalues(m, loss, data, scale=scale, **options).values),
        lambda m, scale: trace(m, loss, data, scale=scale, probes=4, **options).estimate,
    ):
        assert measure(other, "filter") == pytest.approx(measure(model, "filter"), rel=1e-8)
        assert not 0.5 < measure(other, "none") / measure(model, "none") < 2


@pytest.mark.parametrize("scale", ["none", "filter"])
@pytest.mark.parametrize(
    "flat",
    [
        lambda output, target: torch.zeros((), dtype=output.dtype),
        lambda output, target: (output * 0).sum(),
        lambda output, target: output.mean(),
    ],
    ids=["constant", "times zero", "linear"],
)
def test_null_no_curvature_is_zero(linear, flat, scale):
    model, _, data = linear(2)
    found = top_eigenvalues(model, flat, data, k=3, scale=scale)
    assert found.values.tolist() == found.residuals.tolist() == [0, 0, 0] and found.converged.all()
    result = trace(model, flat, data, scale=scale)
    assert result.estimate == result.stderr == 0


def test_null_filters_of_zero_have_no_relative_curvature(mlp):
    with torch.no_grad():
        for weight in prunable(mlp.model).values():
            weight.zero_()
    assert top_eigenvalues(*mlp, k=2, scale="filter").values.tolist() == [0, 0]
    assert top_eigenvalues(*mlp, k=2).values.max() > 0


def test_a_search_cut_short_says_so(conv):
    found = top_eigenvalues(*conv, k=2, tol=1e-6, max_products=5)
    assert found.products == 4 and not found.converged.all()
    assert torch.equal(found.converged, found.residuals <= 1e-6)


def test_an_embedding_and_the_output_layer_may_share_one_weight():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.inputs, self.outputs = nn.Embedding(4, 3), nn.Linear(3, 4)
            self.outputs.weight = self.inputs.weight

        def forward(self, x):
            return self.outputs(self.inputs(x).tanh())

    torch.manual_seed(0)
    model, x = Tied().double(), torch.arange(20) % 4
    y, bias = (x * 7 // 3) % 4, model.outputs.bias.detach()

    def loss_at(flat):
        weight = flat.reshape(4, 3)
        return nn.functional.cross_entropy(weight[x].tanh() @ weight.T + bias, y)

    flat = model.inputs.weight.detach().flatten()
    full = torch.autograd.functional.hessian(loss_at, flat)
    found = top_eigenvalues(model, nn.CrossEntropyLoss(), (x, y), k=2, **TIGHT)
    torch.testing.assert_close(found.values, torch.linalg.eigvalsh(full).flip(0)[:2])
    step = {"outputs.weight": torch.ones(4, 3)}
    line = slice_1d(model, nn.CrossEntropyLoss(), (x, y), radius=0.5, points=3, direction=step)
    assert line.losses.tolist() == pytest.approx([float(loss_at(flat + a)) for a in (-0.5, 0, 0.5)])


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"k": 0}, ValueError, "k must be an integer of at least 1, got 0"),
        ({"k": 3, "max_products": 2}, ValueError, "max_products must be an integer of at least 3, got 2"),
        ({"tol": 0.0}, ValueError, "tol must lie between 0 and 1, got 0.0"),
        ({"scale": "weight"}, ValueError, r"scale must be one of .* got 'weight'"),
        ({"probes": 1}, ValueError, "probes must be an integer of at least 2, got 1"),
    ],
)
def test_errors_of_arguments(linear, changes, error, message):
    with pytest.raises(error, match=message):
        (trace if "probes" in changes else top_eigenvalues)(*linear(), **changes)


def test_an_infinite_hessian_is_an_error(linear):
    model, _, (x, y) = linear()
    with pytest.raises(ValueError, match="loss must have a finite Hessian"), torch.no_grad():
        model.weight.zero_()
        top_eigenvalues(model, lambda output, target: output.abs().pow(1.5).mean(), (x, y))
