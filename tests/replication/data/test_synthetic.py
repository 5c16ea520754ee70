"""Oracles: the truth is checked by removing weights, and the quadratic against numpy's least squares and autograd."""

import copy

import numpy as np
import pytest
import torch

from ccprune.mask import Mask, prunable
from replication.causal.phase_shift.change_point import change_point
from replication.data.synthetic import KINDS, STARTS, Problem, idle_quadratic, teacher_network

CASES = {
    "dead": lambda **options: idle_quadratic(30, 12, kind="dead", spread=10.0, samples=128, **options),
    "noise_only": lambda **options: idle_quadratic(30, 12, kind="noise_only", spread=10.0, samples=128, **options),
    "near": lambda **options: teacher_network(6, 8, 3, 2, start="near", **options),
    "scratch": lambda **options: teacher_network(6, 8, 3, 2, start="scratch", **options),
}


def loss_of(problem: Problem, model: torch.nn.Module, rows=slice(None)) -> float:
    return float(problem.loss(model(problem.x[rows]), problem.y[rows]).detach())


def without(model: torch.nn.Module, remove: dict) -> torch.nn.Module:
    model = copy.deepcopy(model)
    with torch.no_grad():
        for name, where in remove.items():
            prunable(model)[name][where] = 0.0
    return model


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_idle_weights_cost_nothing_and_every_other_one_does(name, seed, device):
    problem = CASES[name](seed=seed, device=device)
    best = loss_of(problem, problem.optimum)
    assert best > 0
    assert loss_of(problem, without(problem.optimum, problem.idle)) == pytest.approx(best, rel=1e-12)
    needed = [(key, tuple(index)) for key, idle in problem.idle.items() for index in (~idle).nonzero().tolist()]
    for key, index in needed:
        assert loss_of(problem, without(problem.optimum, {key: index})) > best * (1 + 1e-3), (key, index)
    total = sum(weight.numel() for weight in prunable(problem.model).values())
    assert problem.idle_fraction == pytest.approx(1 - len(needed) / total)
    assert problem.idle_fraction == pytest.approx(0.4 if name in KINDS else 3 / 8)


@pytest.mark.parametrize("name", CASES)
def test_masks_name_the_prunable_weights_of_both_networks(name, device):
    problem = CASES[name](device=device)
    for model in (problem.model, problem.optimum):
        weights = prunable(model)
        assert list(weights) == list(problem.idle)
        for key, weight in weights.items():
            assert problem.idle[key].shape == weight.shape and problem.idle[key].dtype == torch.bool
            assert weight.device.type == problem.idle[key].device.type == problem.x.device.type == device
            assert weight.dtype == problem.x.dtype == problem.y.dtype == torch.float64
        Mask({key: ~idle for key, idle in problem.idle.items()}).apply_(copy.deepcopy(model))
    assert not any(
        torch.equal(a, b) for a, b in zip(problem.model.parameters(), problem.optimum.parameters(), strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_quadratic_is_the_stated_loss(kind):
    spread, noise, size = 20.0, 0.7, 40
    problem = idle_quadratic(size, 15, kind=kind, spread=spread, noise=noise, samples=200, seed=3)
    x, y, idle = problem.x.numpy(), problem.y.numpy()[:, 0], problem.idle["weight"][0].numpy()
    best = problem.optimum.weight.detach()[0].numpy()
    np.testing.assert_allclose(np.linalg.lstsq(x, y, rcond=None)[0], best, atol=1e-10)  # shortest: 0 at dead inputs
    assert np.all(best[idle] == 0) and np.all(np.abs(best[~idle]) == 1)
    hessian = torch.autograd.functional.hessian(
        lambda weight: problem.loss(problem.x @ weight[:, None], problem.y), torch.zeros(size, dtype=torch.float64)
    ).numpy()
    curvature = np.diag(hessian)
    np.testing.assert_allclose(hessian, np.diag(curvature), atol=1e-12)
    live = curvature[~idle] if kind == "dead" else curvature
    assert live.min() >= 1 / spread - 1e-12 and live.max() <= 1 + 1e-12 and live.max() / live.min() > spread / 3
    if kind == "dead":
        assert np.all(curvature[idle] == 0)
    weight = np.random.default_rng(0).standard_normal(size)
    with torch.no_grad():
        problem.model.weight.copy_(torch.from_numpy(weight)[None])
    assert loss_of(problem, problem.model) == pytest.approx(0.5 * curvature @ (weight - best) ** 2 + 0.5 * noise**2)


def test_without_spread_all_needed_weights_cost_the_same():
    problem = idle_quadratic(20, 8, kind="noise_only", samples=64)
    np.testing.assert_allclose((problem.x**2).mean(0).numpy(), 1.0)


def test_dead_weights_have_no_gradient_and_noise_only_ones_have_one_in_every_batch():
    for kind in KINDS:
        problem = CASES[kind]()
        problem.loss(problem.optimum(problem.x), problem.y).backward()
        assert problem.optimum.weight.grad.abs().max() < 1e-12  # on all the data both are at rest
        for rows in torch.arange(len(problem.x)).split(32):
            problem.model.zero_grad()
            problem.loss(problem.model(problem.x[rows]), problem.y[rows]).backward()
            idle = problem.model.weight.grad[problem.idle["weight"]]
            assert bool((idle == 0).all()) if kind == "dead" else bool((idle.abs() > 1e-6).all())


@pytest.mark.parametrize("start", STARTS)
def test_teacher_labels_the_data_and_the_student_starts_where_it_should(start):
    problem = teacher_network(10, 12, 4, 3, start=start, noise=0.2, samples=4000, seed=1)
    assert problem.r_squared(problem.optimum) == pytest.approx(1 / (1 + 0.2**2), abs=0.005)
    first, last = problem.optimum[0].weight, problem.optimum[2].weight
    idle_units = (last == 0).all(0)
    assert int(idle_units.sum()) == 4 and torch.equal(problem.idle["2.weight"], idle_units.expand(3, -1))
    assert torch.equal(problem.idle["0.weight"], idle_units[:, None].expand(-1, 10))
    assert bool((first[idle_units] != 0).all())  # an idle unit still has incoming weights
    needed = torch.cat([w[~problem.idle[k]] for k, w in prunable(problem.optimum).items()])
    begun = torch.cat([w[~problem.idle[k]] for k, w in prunable(problem.model).items()])
    correlation = float(torch.corrcoef(torch.stack([needed, begun]).detach())[0, 1])
    assert correlation > 0.85 if start == "near" else abs(correlation) < 0.3
    assert problem.r_squared(problem.model) < (0.97 if start == "near" else 0.5)


def test_without_noise_the_teacher_has_no_loss():
    problem = teacher_network(5, 6, 2, 2, start="near", noise=0.0, samples=50)
    assert loss_of(problem, problem.optimum) == 0 and problem.r_squared(problem.optimum) == 1
    silent = without(problem.optimum, {"2.weight": slice(None)})
    assert problem.r_squared(silent) == 0


@pytest.mark.parametrize("name", CASES)
def test_a_few_steps_of_sgd_lower_the_loss(name):
    problem = CASES[name]()
    before, optimizer = loss_of(problem, problem.model), torch.optim.SGD(problem.model.parameters(), lr=0.1)
    for rows in [*torch.arange(len(problem.x)).split(32)] * 5:
        optimizer.zero_grad()
        problem.loss(problem.model(problem.x[rows]), problem.y[rows]).backward()
        optimizer.step()
    assert loss_of(problem, problem.model) < before


@pytest.mark.parametrize("kind", KINDS)
def test_accuracy_drops_where_the_idle_part_ends_if_the_ranking_is_right_and_from_the_start_if_it_is_random(kind):
    points = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    rankings = {"right": [], "random": []}
    for seed in range(4):
        problem = idle_quadratic(100, 40, kind=kind, samples=128, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.rand((1, 100), generator=generator)
        for ranking, score in (("right", (~problem.idle["weight"]) + noise), ("random", noise)):
            masks = [Mask.from_scores({"weight": score}, sparsity=float(point)) for point in points]
            rankings[ranking].append([problem.r_squared(mask.apply_(copy.deepcopy(problem.optimum))) for mask in masks])
    right, random = (change_point(points, curves, resamples=99) for curves in rankings.values())
    assert right.critical_sparsity == pytest.approx(problem.idle_fraction, abs=1e-6) and right.abrupt
    assert not random.abrupt


@pytest.mark.parametrize("name", CASES)
def test_randomness_comes_from_the_seed_alone(name, device):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = CASES[name](seed=1, device=device), CASES[name](seed=1), CASES[name](seed=2)
    assert torch.equal(torch.rand(3), expected)  # the global generator was left alone
    assert torch.equal(one.x.cpu(), same.x) and torch.equal(one.y.cpu(), same.y) and not torch.equal(same.x, other.x)
    for a, b in zip(one.model.parameters(), same.model.parameters(), strict=True):
        assert torch.equal(a.cpu(), b)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: idle_quadratic(0, 0, kind="dead"), "size must be an integer of at least 1, got 0"),
        (lambda: idle_quadratic(10, 10, kind="dead"), r"idle must be an integer in 0\.\.9, got 10"),
        (lambda: idle_quadratic(10, 0.5, kind="dead"), r"idle must be an integer in 0\.\.9, got 0\.5"),
        (lambda: idle_quadratic(10, 5, kind="asleep"), "kind must be one of .*'dead', 'noise_only'.*, got 'asleep'"),
        (lambda: idle_quadratic(10, 5, kind="dead", spread=0.5), "spread must be at least 1 and finite, got 0.5"),
        (lambda: idle_quadratic(10, 5, kind="dead", spread=float("nan")), "spread must be at least 1 and finite"),
        (lambda: idle_quadratic(10, 5, kind="dead", noise=-1.0), "noise must be finite and not negative, got -1.0"),
        (lambda: idle_quadratic(10, 5, kind="dead", samples=10), r"samples must exceed size \(10\), got 10"),
        (lambda: teacher_network(5, 4, 4, 2, start="near"), r"idle_units must be an integer in 0\.\.3, got 4"),
        (lambda: teacher_network(5, 4, 1, 0, start="near"), "outputs must be an integer of at least 1, got 0"),
        (lambda: teacher_network(5, 4, 1, 2, start="far"), "start must be one of .*'near', 'scratch'.*, got 'far'"),
        (lambda: teacher_network(5, 4, 1, 2, start="near", noise=float("inf")), "noise must be finite"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
