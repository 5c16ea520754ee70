"""Pruning with a correction of the remaining weights.

Oracles: SparseGPT's algorithm 1 written out slowly in NumPy from the paper; for given masks, least squares by
`numpy.linalg.lstsq`; convolutions as linear layers on patches that a kernel with a single 1 cuts out. Null: inputs that
are orthogonal and of one length, for which weights are ranked by magnitude and nothing is corrected.
"""

import copy
import itertools

import numpy as np
import pytest
import torch
from reconstructed import least_squares, values
from torch import nn

import ccprune
from ccprune import Mask, scores
from ccprune.scores import reconstruction
from ccprune.scores.reconstruction import reconstruct, sparsegpt

pytestmark = pytest.mark.usefixtures("one_thread")


def inputs(count, width, *, seed=0, dtype=torch.float64):
    """Correlated inputs (count, width)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, width, generator=generator, dtype=torch.float64)
    return (x @ torch.randn(width, width, generator=generator, dtype=torch.float64)).to(dtype)


def linear(width, outputs, *, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return nn.Linear(width, outputs, dtype=dtype)


def hessian(x, damping):
    h = x.T @ x
    return h + damping * np.diag(h).mean() * np.eye(len(h))


def algorithm_1(weight, h, *, sparsity=None, m=None, n=None, selected_at_once=128):
    """SparseGPT with a block of one column: after each, the inverse Hessian of the remaining columns is made anew."""
    weight = weight.copy()
    keep = np.ones(weight.shape, dtype=bool)
    rows, columns = weight.shape
    # [H_F^-1]_jj of the columns from j on, the paper's equation 3.
    variance = [np.linalg.inv(h[j:, j:])[0, 0] for j in range(columns)]
    for j in range(columns):
        if sparsity is not None and j % selected_at_once == 0:
            end = min(j + selected_at_once, columns)
            count = int(sparsity * rows * end + 0.5) - int(sparsity * rows * j + 0.5)
            saliency = weight[:, j:end] ** 2 / variance[j:end]
            keep[:, j:end] = True
            for place in np.argsort(saliency, axis=None)[:count]:
                keep[:, j:end][np.unravel_index(place, saliency.shape)] = False
        if m is not None and j % m == 0:
            saliency = weight[:, j : j + m] ** 2 / variance[j : j + m]
            for row in range(rows):
                keep[row, j : j + m] = False
                keep[row, j + np.argsort(saliency[row])[m - n :]] = True
        inverse = np.linalg.inv(h[j:, j:])
        for row in range(rows):
            if not keep[row, j]:
                weight[row, j:] -= weight[row, j] * inverse[0] / inverse[0, 0]
                weight[row, j] = 0.0
    return weight, keep


@pytest.mark.parametrize("damping", [0.0, 0.01, 0.5])
def test_with_a_given_mask_it_is_the_least_squares_solution(damping, device):
    layer, x = linear(20, 7), inputs(90, 20)
    keep = torch.rand(7, 20, generator=torch.Generator().manual_seed(1)) > 0.6
    keep[2], keep[3] = False, True  # an empty row and a whole one
    before = values(layer)
    expected = least_squares(before, x.numpy(), keep.numpy(), damping)
    reconstruct(layer.to(device), Mask({"weight": keep}), x.to(device), damping=damping)
    np.testing.assert_allclose(values(layer.cpu()), expected, rtol=1e-8, atol=1e-10)
    assert bool((layer.weight[~keep] == 0).all())
    np.testing.assert_array_equal(values(layer)[3], before[3])


@pytest.mark.parametrize("block", [5, 8, 128])
@pytest.mark.parametrize("sparsity", [0.33, 0.5, 0.9])
def test_weights_are_chosen_in_blocks_as_in_algorithm_1(sparsity, block, monkeypatch):
    monkeypatch.setattr(reconstruction, "_COLUMNS", block)
    layer, x = linear(19, 7), inputs(90, 19)
    expected, keep = algorithm_1(values(layer), hessian(x.numpy(), 0.01), sparsity=sparsity, selected_at_once=block)
    mask = sparsegpt(layer, x, sparsity=sparsity)
    np.testing.assert_array_equal(mask.keep["weight"].numpy(), keep)
    np.testing.assert_allclose(values(layer), expected, rtol=1e-8, atol=1e-10)
    assert mask.total - mask.kept == int(sparsity * 133 + 0.5)
    assert mask.requested == sparsity


@pytest.mark.parametrize("n, m", [(2, 4), (1, 4), (4, 8), (1, 3)])
def test_n_of_m_weights_are_chosen_as_in_algorithm_1(n, m):
    layer, x = linear(24, 5), inputs(60, 24)
    expected, keep = algorithm_1(values(layer), hessian(x.numpy(), 0.01), n=n, m=m)
    mask = sparsegpt(layer, x, n=n, m=m)
    np.testing.assert_array_equal(mask.keep["weight"].numpy(), keep)
    np.testing.assert_allclose(values(layer), expected, rtol=1e-8, atol=1e-10)
    assert bool((mask.keep["weight"].reshape(5, -1, m).sum(2) == n).all()) and mask.structured


def test_blocks_change_nothing_but_the_choice(monkeypatch):
    layer, x = linear(152, 4), inputs(400, 152)
    other = copy.deepcopy(layer)
    by_blocks = sparsegpt(layer, x, n=2, m=4)  # a group of 4 is within a block, of 128 or of 1000
    monkeypatch.setattr(reconstruction, "_COLUMNS", 1000)
    assert torch.equal(by_blocks.keep["weight"], sparsegpt(other, x, n=2, m=4).keep["weight"])
    torch.testing.assert_close(layer.weight, other.weight)


def test_the_error_of_sparsegpt_lies_between_that_of_least_squares_and_that_of_no_correction():
    layer, x = linear(20, 30), inputs(90, 20)
    dense, before = copy.deepcopy(layer), values(layer)
    mask = sparsegpt(layer, x, sparsity=0.5, damping=0.0)

    def errors(weight):
        return (((weight - before) @ x.numpy().T) ** 2).sum(1)

    best = errors(values(reconstruct(dense, mask, x, damping=0.0)))
    assert (best <= errors(values(layer)) * (1 + 1e-9)).all()
    assert 1.05 * best.sum() < errors(values(layer)).sum() < 0.7 * errors(before * mask.keep["weight"].numpy()).sum()


def test_the_saliency_is_half_the_smallest_error_of_pruning_one_weight():
    layer, x = linear(6, 3), inputs(40, 6)
    found = ccprune.score("obs", layer, x=x)["weight"].numpy()
    np.testing.assert_array_equal(found, scores.obs(layer, x)["weight"].numpy())
    exact = scores.obs(layer, x, damping=0.0)["weight"].numpy()
    for row, column in itertools.product(range(3), range(6)):
        keep = np.ones((3, 6), dtype=bool)
        keep[row, column] = False
        change = least_squares(values(layer), x.numpy(), keep, 0.0) - values(layer)
        assert exact[row, column] == pytest.approx(((change @ x.numpy().T) ** 2).sum() / 2)


OPTIONS = [
    (nn.Conv2d, {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
    (nn.Conv2d, {"kernel_size": 3, "dilation": (1, 2), "groups": 2}),
    (nn.Conv2d, {"kernel_size": (2, 3), "padding": "same"}),
    (nn.Conv2d, {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}),
    (nn.Conv2d, {"kernel_size": 3, "groups": 4}),
    (nn.Conv1d, {"kernel_size": 4, "stride": 3, "padding": 2}),
    (nn.Conv3d, {"kernel_size": (1, 2, 2), "padding": (0, 1, 0)}),
]


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")  # asymmetric padding, tested here
@pytest.mark.parametrize("kind, options", OPTIONS, ids=str)
@pytest.mark.parametrize("at_once", [1, 2**24])
def test_of_a_convolution_it_is_that_of_the_linear_layer_on_patches(kind, options, at_once, monkeypatch):
    monkeypatch.setattr("ccprune.scores._hessians._ELEMENTS", at_once)
    torch.manual_seed(1)
    layer = kind(4, 8, dtype=torch.float64, **options)
    axes = layer.weight.ndim - 2
    x = torch.randn(6, 4, *(9, 7, 4)[:axes], dtype=torch.float64)
    keep = torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(2)) > 0.5
    before, groups = layer.weight.detach().clone(), layer.groups
    saliency = scores.obs(layer, x)["weight"]
    reconstruct(layer, Mask({"weight": keep}), x)
    probe = kind(4, 8, dtype=torch.float64, bias=False, **options)
    places = list(itertools.product(*map(range, layer.weight.shape[2:]), range(4 // groups)))  # position, then channel
    for group, rows in enumerate(torch.arange(8).chunk(groups)):
        columns = []
        for *place, channel in places:
            with torch.no_grad():
                probe.weight.zero_()
                probe.weight[(rows[0], channel, *place)] = 1.0
                columns.append(probe(x)[:, rows[0]].flatten().numpy())
        design = np.stack(columns, 1)
        pick = [(slice(rows[0], rows[-1] + 1), channel, *place) for *place, channel in places]
        weight, kept = (np.stack([part[index].numpy() for index in pick], 1) for part in (before, keep))
        expected = least_squares(weight, design, kept, 0.01)
        found = np.stack([layer.weight.detach()[index].numpy() for index in pick], 1)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9, err_msg=f"group {group}")
        exact = weight**2 / (2 * np.diag(np.linalg.inv(hessian(design, 0.01))))
        np.testing.assert_allclose(np.stack([saliency[index].numpy() for index in pick], 1), exact, rtol=1e-6)


def test_groups_of_a_convolution_share_an_exact_count_and_channels_are_groups_of_n_m():
    torch.manual_seed(0)
    layer, x = nn.Conv2d(8, 6, 3, groups=2), torch.randn(5, 8, 6, 6)
    mask = sparsegpt(copy.deepcopy(layer), x, sparsity=0.37)
    assert mask.total - mask.kept == int(0.37 * mask.total + 0.5)
    keep = sparsegpt(layer, x, n=1, m=4).keep["weight"]
    assert bool((keep.sum(1) == 1).all())  # of the 4 channels of each group at each position
    narrow, x = nn.Conv2d(3, 6, 2), torch.randn(5, 3, 6, 6)
    found = sparsegpt(narrow, x, n=2, m=4).keep["weight"]  # groups span positions, as in Mask.from_n_m
    by_size = Mask.from_n_m({"weight": torch.arange(72.0).reshape(6, 3, 2, 2)}).keep["weight"]
    assert all(bool((one.movedim(1, -1).reshape(-1, 4).sum(1) == 2).all()) for one in (found, by_size))


def test_layers_follow_with_the_inputs_that_pruned_layers_give():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 10), nn.ReLU(), nn.Linear(10, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x, dense = inputs(60, 8), copy.deepcopy(model)
    mask = Mask.from_scores(scores.magnitude(model), sparsity=0.6)
    reconstruct(model, mask, [(x[:40], None), (x[40:], None)])
    hidden = x.numpy()
    for index in (0, 2, 4):
        expected = least_squares(values(dense[index]), hidden, mask.keep[f"{index}.weight"].numpy(), 0.01)
        np.testing.assert_allclose(values(model[index]), expected, rtol=1e-7, atol=1e-9)
        np.testing.assert_array_equal(model[index].bias.detach(), dense[index].bias.detach())
        with torch.no_grad():
            hidden = model[: index + 2](x).numpy()


def test_a_transposed_linear_layer_is_that_linear_layer():
    conv1d = pytest.importorskip("transformers.pytorch_utils").Conv1D
    plain, x = linear(12, 5), inputs(40, 12)
    layer = conv1d(5, 12).double()
    with torch.no_grad():
        layer.weight.copy_(plain.weight.T)
    mask = sparsegpt(layer, x, sparsity=0.5)
    expected = sparsegpt(plain, x, sparsity=0.5)
    assert torch.equal(mask.keep["weight"], expected.keep["weight"].T)
    torch.testing.assert_close(layer.weight.T, plain.weight, check_stride=False)


def orthogonal(count, width):
    torch.manual_seed(3)
    return 3.0 * torch.linalg.qr(torch.randn(count, width, dtype=torch.float64))[0]


@pytest.mark.parametrize("sparsity", [0.25, 0.6, 1.0])
def test_null_for_orthogonal_inputs_it_is_magnitude_and_nothing_is_corrected(sparsity):
    layer, x = linear(10, 7), orthogonal(30, 10)
    before = layer.weight.detach().clone()
    expected = Mask.from_scores(scores.magnitude(layer), sparsity=sparsity)
    assert torch.equal(
        Mask.from_scores(scores.obs(layer, x), sparsity=sparsity).keep["weight"], expected.keep["weight"]
    )
    mask = sparsegpt(layer, x, sparsity=sparsity)
    assert torch.equal(mask.keep["weight"], expected.keep["weight"])
    torch.testing.assert_close(layer.weight.detach(), before * mask.keep["weight"], rtol=1e-9, atol=1e-12)


def test_null_without_pruned_weights_everything_stays_bit_for_bit():
    model, x = nn.Sequential(linear(6, 5, dtype=torch.float32), nn.ReLU(), nn.Linear(5, 2)), torch.randn(20, 6)
    with torch.no_grad():
        model[0].weight[0, 0] = -0.0
    before = {name: value.clone() for name, value in model.state_dict().items()}
    keep = Mask.ones_like(model).keep | {"2.weight": torch.eye(2, 5).bool()}
    for call in (sparsegpt, lambda model, x, **_: reconstruct(model, Mask.ones_like(model), x)):
        call(model, x, sparsity=0.0)
        for name, value in model.state_dict().items():
            assert torch.equal(value.view(torch.int32), before[name].view(torch.int32)), name
    reconstruct(model, Mask(keep), x)
    assert torch.equal(model[0].weight.view(torch.int32), before["0.weight"].view(torch.int32))
    assert not torch.equal(model[2].weight, before["2.weight"])


def test_dead_inputs_are_chosen_first_and_take_no_part():
    layer, x = linear(9, 4), inputs(50, 9)
    x[:, [2, 5]] = 0.0
    alive = [0, 1, 3, 4, 6, 7, 8]
    assert bool((scores.obs(layer, x)["weight"][:, [2, 5]] == 0).all())
    keep = torch.rand(4, 9, generator=torch.Generator().manual_seed(1)) > 0.5
    keep[:, 2], keep[:, 5] = False, True
    before = values(layer)
    first = sparsegpt(copy.deepcopy(layer), x, sparsity=8 / 36)
    assert not bool(first.keep["weight"][:, [2, 5]].any()) and bool(first.keep["weight"][:, alive].all())
    reconstruct(layer, Mask({"weight": keep}), x)
    expected = least_squares(before[:, alive], x.numpy()[:, alive], keep.numpy()[:, alive], 0.01)
    np.testing.assert_allclose(values(layer)[:, alive], expected, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(values(layer)[:, 5], before[:, 5])
    nothing = linear(9, 4)
    reconstruct(nothing, Mask({"weight": keep}), torch.zeros(3, 9, dtype=torch.float64), damping=0.0)
    np.testing.assert_array_equal(values(nothing), before * keep.numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_keep_their_type_and_are_near_those_of_float64(dtype, device):
    layer, x = linear(16, 5, dtype=dtype), inputs(80, 16, dtype=dtype)
    exact = copy.deepcopy(layer).double()
    mask = Mask.from_scores(scores.magnitude(exact), sparsity=0.5)
    reconstruct(exact, mask, x.double())
    parameter = layer.to(device).weight
    reconstruct(layer, mask, x.to(device))
    assert layer.weight is parameter and parameter.dtype == dtype and parameter.device.type == device
    torch.testing.assert_close(parameter.cpu().double(), exact.weight, rtol=2e-2, atol=2e-2)
    assert mask.check(layer).loc["all", "violations"] == 0


def test_all_uses_of_a_weight_count():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = linear(5, 5), linear(5, 5)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.two(self.one(x))

    model, x = Twice(), inputs(30, 5)
    with torch.no_grad():
        seen = torch.cat([x, model.one(x)]).numpy()
    keep = torch.rand(5, 5, generator=torch.Generator().manual_seed(1)) > 0.5
    expected = least_squares(values(model.one), seen, keep.numpy(), 0.01)
    reconstruct(model, Mask({"one.weight": keep}), x)
    np.testing.assert_allclose(values(model.one), expected, rtol=1e-8, atol=1e-10)
    assert model.two.weight is model.one.weight
