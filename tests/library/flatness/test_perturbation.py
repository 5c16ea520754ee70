"""Oracles: the quadratic of a linear model with squared error in closed form, a trust-region problem solved by its
secular equation, and losses of models whose weights were moved by hand. Null: no radius, no increase.
"""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import nn

from ccprune.flatness import sharpness, slice_1d, slice_2d
from ccprune.mask import Mask, prunable


class Watched(nn.Linear):
    """Remembers every weight it was called with."""

    def __init__(self, *args):
        super().__init__(*args, dtype=torch.float64)
        self.seen = []

    def forward(self, x):
        self.seen.append(self.weight.detach().clone())
        return super().forward(x)


def watched():
    torch.manual_seed(0)
    model = Watched(5, 4)
    model.weight.data[2] = 0.0
    keep = torch.rand(4, 5) < 0.7
    keep[1] = False
    keep[3] = torch.tensor([True, False, True, True, False])
    return model, nn.CrossEntropyLoss(), (torch.randn(8, 5).double(), torch.arange(8) % 4), Mask({"weight": keep})


@pytest.mark.parametrize("mode", ["random", "worst"])
@pytest.mark.parametrize("masked", [False, True])
def test_each_filter_moves_by_its_share_and_pruned_weights_not_at_all(mode, masked):
    model, loss, data, mask = watched()
    keep = mask.keep["weight"] if masked else torch.ones(4, 5, dtype=torch.bool)
    mask.apply_(model) if masked else None
    weight = model.weight.detach().clone()
    found = sharpness(model, loss, data, radius=0.3, mode=mode, draws=6, steps=6, mask=mask if masked else None)
    steps = [seen - weight for seen in model.seen if not torch.equal(seen, weight)]
    assert len(steps) >= 6
    for step in steps:
        assert (step[~keep] == 0).all()
        torch.testing.assert_close(step.norm(dim=1), 0.3 * weight.norm(dim=1), rtol=1e-12, atol=1e-15)
    assert (steps[0][2] == 0).all() and (not masked or (steps[0][1] == 0).all())
    assert found.weights == int(keep.sum()) and found.samples == 8 and found.radius == 0.3


def test_draws_are_paired_between_masks_and_scales():
    """The same Gaussian numbers: what remains of a filter's step points the same way."""
    model, loss, data, mask = watched()
    weight = model.weight.detach().clone()
    sharpness(model, loss, data, radius=0.3, draws=2, seed=7)
    free = model.seen[-1] - weight
    model.seen.clear()
    sharpness(model, loss, data, radius=0.1, draws=3, seed=7, mask=mask)
    masked = model.seen[-2] - weight
    for row, keep in enumerate(mask.keep["weight"]):
        if weight[row].any() and keep.any():
            assert float(torch.cosine_similarity(free[row][keep], masked[row][keep], 0)) == pytest.approx(1)
    model.seen.clear()
    sharpness(model, loss, data, radius=0.1, draws=3, seed=8, mask=mask)
    assert not torch.equal(model.seen[-1] - weight, masked)


def test_random_increase_of_a_quadratic_is_half_its_mean_curvature(linear, device):
    """At the minimum, uniformly on a sphere of radius r |w| in d dimensions: r^2 |w|^2 trace(H) / (2 d)."""
    case = linear(at_minimum=True).to(device)
    model, _, (x, _) = case
    hessian = 2 / 40 * x.T @ x
    expected = 0.5 * (0.2 * model.weight.detach().norm()).square() * hessian.trace() / 6
    found = sharpness(*case, radius=0.2, draws=400)
    assert abs(found.increase - float(expected)) < 4 * found.stderr < 0.3 * found.increase
    assert found.increase == pytest.approx(float(found.values.mean())) and (found.values > 0).all()
    assert found.stderr == pytest.approx(np.std(found.values.numpy(), ddof=1) / 20)
    assert found.loss == pytest.approx(float(case.loss_at(case.flat_weights())))


def trust_region(hessian, slope, radius):
    """max d'Hd/2 + g'd over |d| <= radius, for positive H: (m I - H) d = g with m above H's largest eigenvalue."""
    values, vectors = np.linalg.eigh(hessian)
    g = vectors.T @ slope
    if np.abs(g).max() < 1e-12:
        return 0.5 * values[-1] * radius**2
    m = brentq(lambda m: np.linalg.norm(g / (m - values)) - radius, values[-1] * (1 + 1e-12) + 1e-12, 1e6, xtol=1e-14)
    d = g / (m - values)
    return 0.5 * d @ (values * d) + g @ d


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("at_minimum", [False, True])
def test_worst_case_of_a_quadratic_solves_the_trust_region_problem(linear, at_minimum, masked, device):
    case = linear(at_minimum=at_minimum)
    keep = torch.tensor([[True, False, True, True, True, False]]) if masked else torch.ones(1, 6, dtype=torch.bool)
    mask = Mask({"weight": keep}) if masked else None
    x, y = (part.numpy() for part in case.data)
    weight = case.model.weight.detach().numpy()[0]
    kept = keep[0].numpy()
    slope = (2 / 40 * x.T @ (x @ weight - y[:, 0]))[kept]
    best = trust_region(2 / 40 * x[:, kept].T @ x[:, kept], slope, 0.5 * np.linalg.norm(weight[kept]))
    case = case.to(device)
    found = sharpness(*case, radius=0.5, mode="worst", steps=200, mask=mask)
    assert found.increase == pytest.approx(best, rel=1e-6)
    assert (found.values[1:] >= found.values[:-1] - 1e-12).all()  # convex: no step loses
    few = sharpness(*case, radius=0.5, mode="worst", steps=2, mask=mask)
    assert 0 < few.increase <= best * (1 + 1e-9) and few.values.tolist() == found.values[:2].tolist()
    assert few.increase > sharpness(*case, radius=0.5, mask=mask).values.max() or few.increase > 0.5 * best
    assert found.stderr is None and found.mode == "worst"


def test_worst_case_leaves_a_minimum_where_the_gradient_is_exactly_zero():
    """Small integers, so that the fit is exact and only the random start can move away."""
    x = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[4.0, 3.0]])
    found = sharpness(model, nn.MSELoss(), (x, torch.tensor([[12.0], [3.0]])), radius=0.1, mode="worst")
    assert found.loss == 0
    assert found.increase == pytest.approx(0.5**2 * 9 / 2, rel=1e-5)  # half of radius^2 times the largest eigenvalue


def test_worst_case_never_falls_below_no_perturbation(linear):
    """At a maximum every step is downhill."""
    model, loss, data = linear(at_minimum=True)
    found = sharpness(model, lambda output, target: -loss(output, target), data, radius=0.1, mode="worst")
    assert (found.values < 0).all() and found.increase == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["random", "worst"])
def test_null_no_radius_no_increase(network, mode, dtype):
    found = sharpness(*network.to(dtype), radius=0.0, mode=mode)
    assert found.increase == 0 and (found.values == 0).all() and found.stderr in (0.0, None)


@pytest.mark.parametrize("mode", ["random", "worst"])
def test_null_a_constant_loss_never_rises(linear, mode):
    model, _, data = linear()
    assert sharpness(model, lambda output, target: torch.tensor(2.0), data, radius=0.5, mode=mode).increase == 0


@pytest.mark.parametrize("mode", ["random", "worst"])
def test_sharpness_is_blind_to_a_rescaling_between_relu_layers(relu_mlp, mode):
    other = copy.deepcopy(relu_mlp.model)
    with torch.no_grad():
        other[0].weight.mul_(8)
        other[0].bias.mul_(8)
        other[2].weight.div_(8)
    one = sharpness(*relu_mlp, radius=0.2, mode=mode)
    two = sharpness(other, relu_mlp.loss, relu_mlp.data, radius=0.2, mode=mode)
    torch.testing.assert_close(two.values, one.values, rtol=1e-8, atol=1e-12)


def test_batches_are_weighted_by_their_size(network):
    n = len(network.data[0])
    batches = network.batches(3, n - 3)
    for options in ({"mode": "random"}, {"mode": "worst", "steps": 3}):
        whole = sharpness(*network, radius=0.1, **options)
        split = sharpness(network.model, network.loss, batches, radius=0.1, **options)
        torch.testing.assert_close(split.values, whole.values, rtol=1e-9, atol=1e-12)
        assert split.samples == n


def moved_by_hand(case, *terms):
    model = copy.deepcopy(case.model)
    with torch.no_grad():
        for factor, direction in terms:
            for name, weight in prunable(model).items():
                weight += factor * direction[name]
        return float(case.loss(model(case.data[0]), case.data[1]))


def directions(case, seed, count):
    """Gaussian, each filter as long as the model's: written out row by row."""
    generator, found = torch.Generator().manual_seed(seed), []
    for _ in range(count):
        direction = {}
        for name, weight in prunable(case.model).items():
            step = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            for row, filter_ in zip(step, weight, strict=True):
                row *= filter_.detach().norm() / row.norm()
            direction[name] = step
        found.append(direction)
    return found


def test_slices_are_the_losses_of_models_moved_by_hand(network, device):
    first, second = directions(network, 3, 2)
    case = network.to(device)
    line = slice_1d(*case, radius=0.3, points=5, seed=3)
    plane = slice_2d(*case, radius=0.3, points=5, seed=3)
    assert line.coordinates.tolist() == plane.coordinates.tolist() == [-0.3, -0.15, 0, 0.15, 0.3]
    by_hand = [[moved_by_hand(network, (a, first), (b, second)) for b in line.coordinates] for a in line.coordinates]
    torch.testing.assert_close(plane.losses, torch.tensor(by_hand, dtype=torch.float64))
    torch.testing.assert_close(line.losses, plane.losses[:, 2], rtol=1e-12, atol=0)
    assert float(line.losses[2]) == pytest.approx(sharpness(*case, radius=0.3).loss, rel=1e-12)
    assert line.samples == len(network.data[0])


def test_slices_along_given_directions_on_the_remaining_weights(mlp):
    mask = mlp.some_mask()
    first, second = directions(mlp, 1, 2)
    on_mask = [{name: step * mask.keep[name] for name, step in direction.items()} for direction in (first, second)]
    line = slice_1d(*mlp, radius=2.0, points=3, direction=first, mask=mask)
    plane = slice_2d(*mlp, radius=2.0, points=3, directions=(first, second), mask=mask)
    assert line.losses.tolist() == pytest.approx([moved_by_hand(mlp, (a, on_mask[0])) for a in (-2, 0, 2)])
    assert float(plane.losses[0, 2]) == pytest.approx(moved_by_hand(mlp, (-2, on_mask[0]), (2, on_mask[1])))


def test_slices_of_a_quadratic_are_parabolas_with_the_curvature_of_their_direction(linear):
    case = linear()
    (direction,) = directions(case, 0, 1)
    found = slice_1d(*case, radius=1.0, points=7)
    step, x = direction["weight"][0], case.data[0]
    fit = np.polynomial.Polynomial.fit(found.coordinates.numpy(), found.losses.numpy(), 4).convert().coef
    assert fit[2] == pytest.approx(float(step @ (2 / 40 * x.T @ x) @ step) / 2, rel=1e-9)
    assert np.abs(fit[3:]).max() < 1e-10


def test_null_a_slice_of_a_constant_loss_is_flat(linear):
    model, _, data = linear()
    assert (slice_2d(model, lambda output, target: torch.tensor(0.5), data, radius=1.0).losses == 0.5).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda c: sharpness(*c, radius=-0.1), "radius must be finite and at least 0, got -0.1"),
        (lambda c: sharpness(*c, radius=float("nan")), "radius must be finite and at least 0, got nan"),
        (lambda c: sharpness(*c, radius=0.1, mode="best"), "mode must be one of .* got 'best'"),
        (lambda c: sharpness(*c, radius=0.1, draws=1), "draws must be an integer of at least 2, got 1"),
        (lambda c: sharpness(*c, radius=0.1, mode="worst", steps=0), "steps must be an integer of at least 1, got 0"),
        (lambda c: sharpness(*c, radius=1e200), "loss must be finite, got inf on 40 samples: try a smaller radius"),
        (lambda c: slice_1d(*c, radius=0.0), "radius must be finite and above 0, got 0.0"),
        (lambda c: slice_1d(*c, radius=0.1, points=4), "points must be odd, .* got 4"),
        (lambda c: slice_2d(*c, radius=0.1, points=1), "points must be an integer of at least 3, got 1"),
        (
            lambda c: slice_1d(*c, radius=0.1, direction={}),
            r"direction must have the model's prunable weights; they differ in",
        ),
        (lambda c: slice_2d(*c, radius=0.1, directions=({},)), "directions must be 2, got 1"),
    ],
)
def test_errors_name_the_argument(linear, call, message):
    with pytest.raises(ValueError, match=message):
        call(linear())
