"""When the screen has the mask of the authors' solver."""

import math

import numpy as np
import pytest
import torch
from screens import design, filled, flat, random_steps
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune.lasso import (
    LIMIT,
    Condition,
    record_weights,
    truncated_gradient,
)
from ccprune.lasso.stochastic import step_sizes
from ccprune.mask import Mask, prunable

Y1 = torch.ones(1)


def digits_run(steps, *, lr):
    """A small convolutional network on scikit-learn's digits under plain SGD: consecutive differences, and shapes."""
    x, y = load_digits(return_X_y=True)
    x, y = torch.from_numpy(x).float()[:, None, ::1].unflatten(2, (8, 8)) / 8 - 1, torch.from_numpy(y)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 40), nn.ReLU(), nn.Linear(40, 10)
    )
    batches = torch.randint(len(x), (150 + steps + 1, 64), generator=torch.Generator().manual_seed(1))
    optimizer, states, losses = torch.optim.Adam(model.parameters(), 3e-3), [], []
    for step, rows in enumerate(batches):
        if step == 150:
            optimizer = torch.optim.SGD(model.parameters(), lr)
        loss = cross_entropy(model(x[rows]), y[rows])
        if step >= 150:
            losses.append(loss.item())
            states.append({name: weight.detach().clone() for name, weight in prunable(model).items()})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pairs = zip(states[1:], states[:-1], strict=True)
    changes = [{name: later[name] - earlier[name] for name in later} for later, earlier in pairs]
    return torch.tensor(losses, dtype=torch.float64).diff(), changes


@pytest.fixture(scope="module")
def recorded():
    return digits_run(117, lr=1e-3)


@pytest.mark.parametrize("power_t, least", [(0.25, 0.85), (0.1, 0.94), (0.0, 1.0)])
def test_mask_is_that_of_the_authors_solver_on_a_trained_network(recorded, power_t, least):
    """Up to the weights of the records, with which it is the same; the more the steps shrink, the more they differ."""
    losses, changes = recorded
    screen, X, count = filled(losses, changes), design(changes), len(losses)
    shapes = {name: change.shape for name, change in changes[0].items()}
    condition = screen.condition(power_t=power_t)
    assert condition.holds and condition.ratio < 1e-9
    alphas = flat(screen.scores).quantile(torch.tensor([0.2, 0.5, 0.8, 0.95], dtype=torch.float64)).tolist()
    weighted = (X.T @ (record_weights(count, max_iter=3, power_t=power_t, seed=0) * losses)).abs()
    jaccards = []
    for alpha, mask in zip(alphas, screen.masks(alphas, condition=condition), strict=True):
        assert isinstance(mask, Mask) and mask.keep.keys() == shapes.keys()
        parts = X.split([math.prod(shape) for shape in shapes.values()], 1)
        fits = [truncated_gradient(part, losses, alpha, power_t=power_t, seed=0) for part in parts]
        assert {result.iterations for result in fits} == {3}
        ours, theirs = flat(mask.keep), torch.cat([result.support for result in fits])
        assert 0 < ours.sum() < len(ours)
        assert torch.equal(weighted > alpha, theirs)
        jaccards.append(int((ours & theirs).sum()) / int((ours | theirs).sum()))
    assert min(jaccards) >= least
    if power_t == 0.25:
        assert min(jaccards) < 0.94  # what held with t^-0.1 does not


def largest_prediction(X, y, *, eta0, power_t, batch_size, max_iter):
    """The largest |x_t . g| of any record at any step, without penalty, in the recorded order."""
    g, largest, t = np.zeros(X.shape[1]), 0.0, 0
    for _ in range(max_iter):
        for first in range(0, len(y), batch_size):
            rows, target = X[first : first + batch_size], y[first : first + batch_size]
            t += 1
            largest = max(largest, np.abs(X @ g).max())
            g = g + eta0 / t**power_t * (target - rows @ g) @ rows / len(target)
    return largest


@pytest.mark.parametrize("batch_size, max_iter", [(1, 4), (16, 30), (7, 3)])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("drift", [0.0, -2e-2])
@pytest.mark.parametrize("power_t", [0.25, 0.1])
def test_condition_bounds_every_prediction_and_is_not_far_above(batch_size, max_iter, scope, drift, power_t, recorded):
    losses, changes = recorded
    losses = losses + drift
    screen = filled(losses, changes)
    settings = {"eta0": 0.02, "power_t": power_t, "batch_size": batch_size, "max_iter": max_iter}
    blocks = design(changes).split([change.numel() for change in changes[0].values()], 1)
    for scale in (1.0, 1e6, 1e7):
        condition = screen.condition(**settings, scope=scope, scale=scale)
        parts = [design(changes)] if scope == "global" else blocks
        found = max(largest_prediction(part.numpy() * scale, losses.numpy(), **settings) for part in parts)
        assert found <= condition.prediction
        if drift:  # loss changes of one sign push the coefficients one way, as the bound has it
            assert condition.prediction < 30 * found
        assert condition.spread == pytest.approx(float(losses.square().mean().sqrt()))
        assert condition.tensor == "all" if scope == "global" else condition.tensor in changes[0]


def test_bound_in_closed_form():
    """One record pushes by step |dL| ||x||; of two, the larger is taken to come first, with the larger step."""
    changes = [{"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}, {"a": torch.tensor([0.5, 0.0]), "b": 0 * Y1}]
    norms = {"layer": 9.0, "global": (1 + 16 + 81) ** 0.5}
    for scope, norm in norms.items():
        alone = filled([-0.5], changes[:1]).condition(eta0=1e-3, power_t=0.5, max_iter=1, scope=scope)
        assert alone.prediction == pytest.approx(norm * 1e-3 * 0.5 * norm)
        both = filled([0.1, -0.5], changes[::-1]).condition(eta0=1e-3, power_t=0.5, max_iter=2, scope=scope)
        other = 0.0 if scope == "layer" else 0.25
        pushes = (1 + 3**-0.5) * 0.5 * norm + (2**-0.5 + 4**-0.5) * 0.1 * other
        assert both.prediction == pytest.approx(norm * 1e-3 * pushes)
        assert both.tensor == ("b" if scope == "layer" else "all") and both.spread == pytest.approx(0.13**0.5)


def test_bound_of_a_small_last_batch():
    """Its records are averaged over fewer, so each pushes more; the largest might be among them."""
    screen = filled([3.0, 1.0, 2.0], [{"a": torch.ones(1)}] * 3)
    found = screen.condition(eta0=1e-3, power_t=0.5, max_iter=1, batch_size=2).prediction
    assert found == pytest.approx(1e-3 * (2**-0.5 * 3 + 0.5 * 2 + 0.5 * 1))


def test_refuses_where_predictions_matter_and_the_masks_differ():
    """Half of the weights repeat the others: the fit explains y by any of them and the rest is left without a cause."""
    rng = np.random.default_rng(0)
    changes = torch.from_numpy(rng.standard_normal((200, 40)))
    causes = changes[:, :3].square()
    losses = causes.sum(1) + 0.1 * torch.from_numpy(rng.standard_normal(200))
    screen = filled(losses, [{"w": change} for change in changes])
    condition = screen.condition(eta0=0.002, max_iter=20)
    assert not condition.holds and condition.ratio > 1
    with pytest.raises(ValueError, match=r"predictions in 'w' may reach .* the limit is 0\.001; rank by `scores`"):
        screen.mask(0.5, condition=condition)
    fit = truncated_gradient(changes.square(), losses, 0.5, eta0=0.002, max_iter=20, patience=20)
    screened = screen.scores["w"] > 0.5
    assert fit.support.sum() < 10 and screened.all()
    # In smaller units the same records are within the condition, and there both agree.
    small = filled(losses, [{"w": 1e-4 * change} for change in changes])
    alpha = float(small.scores["w"].median())
    fit = truncated_gradient(1e-8 * changes.square(), losses, alpha, seed=0)
    both = small.mask(alpha).keep["w"], fit.support
    assert (both[0] & both[1]).sum() / (both[0] | both[1]).sum() >= 0.85  # 20 weights: one or two may differ
    # Steps that grow without bound have no bound.
    assert screen.condition(eta0=10.0).ratio == float("inf")


def test_masks_depend_on_the_condition_of_the_same_records():
    losses, changes = random_steps(20)
    screen = filled(losses, changes)
    condition = screen.condition()
    assert LIMIT == 1e-3 and Condition(1e-3, 1.0, "a", 1).holds and not Condition(1.1e-3, 1.0, "a", 1).holds
    alphas = [1e-15, 1e-14]
    alone = [screen.mask(alpha) for alpha in alphas]
    for one, many in zip(alone, screen.masks(alphas, condition=condition), strict=True):
        assert torch.equal(flat(one.keep), flat(many.keep))
    screen.update(losses[0], changes[0])
    with pytest.raises(ValueError, match="condition is of 20 records, the screen has 21"):
        screen.mask(1e-14, condition=condition)


def test_step_sizes_go_on_over_the_passes():
    rates = np.concatenate([step_sizes(10, 0.5, 0.25, 4, done) for done in range(3)])
    np.testing.assert_allclose(rates, [0.5 / t**0.25 for t in range(1, 10)], rtol=1e-14)
