"""Interventions on single weights, against closed forms, torch's optimiser, and weights that do nothing."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy

from ccprune.mask import prunable
from replication.causal.interventions import intervene, loss_of, places, sgd_paths
from replication.data.synthetic import idle_quadratic
from replication.networks import models

RATE = 0.1


@pytest.fixture
def small():
    """A network with biases, 3-4-2, on made-up classes, and ten mini-batches."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (40,), generator=generator)
    problem = SimpleNamespace(model=models.mlp((3, 4, 2), seed=2).double(), x=x, y=y, loss=cross_entropy)
    return problem, [(x[i : i + 4], y[i : i + 4]) for i in range(0, 40, 4)]


def trained(problem, batches, freeze=None):
    """By torch's SGD; `freeze` is (name, flat index) of a weight whose slope is set to 0."""
    model = copy.deepcopy(problem.model)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for x, y in batches:
        optimizer.zero_grad()
        problem.loss(model(x), y).backward()
        if freeze is not None:
            name, index = freeze
            dict(model.named_parameters())[name].grad.view(-1)[index] = 0
        optimizer.step()
    return model


def total(problem, model):
    with torch.no_grad():
        return float(problem.loss(model(problem.x), problem.y))


def test_a_path_is_that_of_torch_s_sgd(small):
    problem, batches = small
    path = sgd_paths(problem, batches, lr=RATE)
    assert path.shape == (len(batches) + 1, 1, sum(p.numel() for p in problem.model.parameters()))
    model = trained(problem, batches)
    assert torch.allclose(path[-1, 0], torch.nn.utils.parameters_to_vector(model.parameters()), atol=1e-12)
    assert float(loss_of(problem)(path[-1, 0], problem.x, problem.y)) == pytest.approx(total(problem, model))


def test_freezing_and_removing_are_what_they_are_by_hand(small):
    problem, batches = small
    found = intervene(problem, batches, lr=RATE)
    names = [(name, i) for name, weight in prunable(problem.model).items() for i in range(weight.numel())]
    assert len(found) == len(names) == int(places(problem.model).sum()) < len(places(problem.model))
    model = trained(problem, batches)
    base = total(problem, model)
    for row, (name, index) in enumerate(names):
        assert found["freezing"][row] == pytest.approx(total(problem, trained(problem, batches, (name, index))) - base)
        without = copy.deepcopy(model)
        with torch.no_grad():
            dict(without.named_parameters())[name].view(-1)[index] = 0
        assert found["removing"][row] == pytest.approx(total(problem, without) - base)


def test_setting_back_is_what_it_is_by_hand(small):
    problem, batches = small
    found, total_rise = intervene(problem, batches, lr=RATE)["setting back"], 0.0
    for step in range(len(batches)):
        before, after = (trained(problem, batches[:count]) for count in (step, step + 1))
        mixed = copy.deepcopy(after)
        with torch.no_grad():
            first, earlier = next(mixed.parameters()), next(before.parameters())
            first[0, 0] = earlier[0, 0]
        total_rise += total(problem, mixed) - total(problem, after)
    assert found[0] == pytest.approx(total_rise)


def test_on_a_quadratic_all_three_have_closed_forms(device):
    """Weights do not interact there: the loss is sum h (w - best)^2 / 2, and full-batch descent is known."""
    problem = idle_quadratic(6, 2, kind="noise_only", spread=10, seed=3)
    begin, best = problem.model.weight.detach()[0], problem.optimum.weight.detach()[0]
    h, steps = problem.x.square().mean(0), 7
    end = best + (1 - RATE * h) ** steps * (begin - best)
    gained = h * ((begin - best).square() - (end - best).square()) / 2
    lost = h * (best.square() - (end - best).square()) / 2
    x, y = problem.x.to(device), problem.y.to(device)
    moved = SimpleNamespace(model=problem.model.to(device), x=x, y=y, loss=problem.loss)
    found = intervene(moved, [(x, y)] * steps, lr=RATE)
    for name, known in {"setting back": gained, "freezing": gained, "removing": lost}.items():
        assert torch.allclose(torch.tensor(found[name].to_numpy()), known.double(), atol=1e-9), name


def test_a_weight_that_nothing_reaches_causes_nothing(small):
    problem, batches = small
    problem.x[:, 1] = 0  # batches are views of it
    found = intervene(problem, batches, lr=RATE)
    dead = [row * 3 + 1 for row in range(4)]
    assert (found.loc[dead] == 0).all(axis=None)
    assert (found.drop(index=dead).abs().max() > 0).all()


def test_a_held_of_another_width_is_refused(small):
    problem, batches = small
    with pytest.raises(ValueError, match=r"held must have shape \(R, 26\), got \(1, 3\)"):
        sgd_paths(problem, batches, lr=RATE, held=torch.zeros(1, 3, dtype=torch.bool))


def test_no_batches_are_refused(small):
    with pytest.raises(ValueError, match="batches must hold at least one mini-batch"):
        intervene(small[0], [], lr=RATE)
