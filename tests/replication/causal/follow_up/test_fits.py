"""The causal fits. Oracles: exact solutions, scikit-learn's SGD, torch's SGD on gamma itself, the loops written out."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, SGDRegressor
from torch import nn

from ccprune.lasso import Screen
from replication.causal.follow_up.fits import FITS, fit
from replication.causal.follow_up.ridge import ridge

LR = 0.1


def records(count=32, weights=20, *, effect=0.0, scale=1.0, seed=0, groups=5):
    """Squared changes in units of lr^2, and loss changes -1 + effect * (the first `groups` columns) + noise."""
    generator = torch.Generator().manual_seed(seed)
    X = scale * torch.randn(count, weights, generator=generator, dtype=torch.float64).square() * LR**2
    noise = torch.randn(count, generator=generator, dtype=torch.float64)
    return X, -1 + 0.3 * noise - effect * (X[:, :groups] / (scale * LR**2) - 1).sum(1)


def scaled(X, y):
    return X / LR**2, y / y.mean()


def test_screen_is_the_covariance_and_the_librarys_screen():
    X, y = records()
    found = fit("screen", X, y)
    np.testing.assert_allclose(found.gamma, X.numpy().T @ y.numpy() / len(y), rtol=1e-12)
    screen = Screen()
    for row, change in zip(X, y, strict=True):
        screen.update(change, {"w": row.sqrt()})
    np.testing.assert_allclose(found.gamma.abs(), screen.scores["w"], rtol=1e-12)
    assert (found.outcome, found.passes, found.explained, found.zeros) == ("converged", 1, None, 0)


def test_2024_is_scikit_learns_sgd_of_three_passes_for_each_tensor():
    X, y = records(scale=0.1)
    columns = {"a": slice(0, 7), "b": slice(7, 20)}
    found = fit("2024", X, y, alpha=1e-5, columns=columns, seed=3)
    for part in columns.values():
        options = {"penalty": "l1", "alpha": 1e-5, "fit_intercept": False, "learning_rate": "invscaling"}
        sgd = SGDRegressor(eta0=0.01, power_t=0.25, max_iter=3, tol=None, random_state=3, **options)
        np.testing.assert_allclose(found.gamma[part], sgd.fit(X[:, part].numpy(), y.numpy()).coef_, rtol=1e-9)
    assert (found.outcome, found.passes) == ("converged", 3)
    one = fit("2024", X, y, alpha=1e-5, seed=3)
    assert not torch.allclose(one.gamma, found.gamma, rtol=1e-9, atol=0)  # one fit over all weights is another


def test_2024_as_printed_goes_on_while_the_loss_falls():
    X, y = records(effect=0.3, scale=10.0)
    run, printed = fit("2024", X, y), fit("2024-printed", X, y)
    assert run.passes == 3 < printed.passes and printed.explained > run.explained > 0
    options = {"fit_intercept": False, "learning_rate": "invscaling", "eta0": 0.01, "power_t": 0.25}
    sgd = SGDRegressor(penalty="l1", alpha=0, max_iter=1000, tol=1e-4, n_iter_no_change=2, random_state=0, **options)
    sgd.fit(X.numpy(), y.numpy())
    # Scikit-learn tests the same rule on the sum of losses over T, so that passes and coefficients are the same.
    assert printed.passes == sgd.n_iter_
    np.testing.assert_allclose(printed.gamma, sgd.coef_, rtol=1e-9)


def test_june_2025_is_the_loop_written_out():
    # 16 records are one batch, so that their order does not matter.
    X, y = records(16, scale=0.01)
    (x, target), gamma = scaled(X, y), np.zeros(20)
    x, target = x.numpy(), target.numpy()
    total, applied, penalty = 0.0, np.zeros(20), 1e-3 / 20
    for step in range(1, 31):
        rate = 0.1 / step**0.1
        gamma = gamma - rate * 2 / 16 * x.T @ (x @ gamma - target)
        total += rate * penalty
        before = gamma.copy()  # the cumulative penalty of Tsuruoka et al. (2009), figure 2
        gamma = np.where(gamma > 0, np.maximum(0, gamma - total - applied), np.minimum(0, gamma + total - applied))
        applied += gamma - before
    found = fit("2025-06", X, y, lr=LR)
    np.testing.assert_allclose(found.gamma, gamma, rtol=1e-9, atol=1e-15)
    assert (found.outcome, found.passes) == ("stopped", 30) and found.zeros == (gamma == 0).sum()
    assert found.explained == pytest.approx(1 - ((x @ gamma - target) ** 2).sum() / (target**2).sum())


@pytest.mark.parametrize(("scale", "effect"), [(0.02, 0.0), (0.1, 0.3)])
def test_ridge_is_torchs_sgd_on_gamma_itself(scale, effect):
    X, y = records(40, scale=scale, effect=effect)  # two batches of 16 and one of 8
    x, target = scaled(X, y)
    layer = nn.Linear(20, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    generator = torch.Generator().manual_seed(5)
    best, kept, idle, passes = float("inf"), None, 0, 0
    while passes < 30 and idle < 2:
        losses = []
        for batch in torch.randperm(40, generator=generator).split(16):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(layer(x[batch])[:, 0], target[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        passes, loss = passes + 1, sum(losses) / 3
        idle = idle + 1 if loss > best - 1e-7 else 0
        if loss < best:
            best, kept = loss, layer.weight.detach()[0].clone()
        residual = (layer(x)[:, 0] - target).detach()
        if 1 - residual.square().sum() / (target - target.mean()).square().sum() > 0.95:
            break
    found = fit("ridge", X, y, lr=LR, seed=5)
    torch.testing.assert_close(found.gamma, kept, rtol=1e-9, atol=1e-15)
    assert found.passes == passes
    assert found.explained == pytest.approx(float(1 - (x @ kept - target).square().sum() / target.square().sum()))


def test_ridge_run_to_the_end_is_the_exact_solution():
    X, y = records(30, 12, scale=0.1)
    x, target = scaled(X, y)
    options = {"batch_size": 30, "max_iter": 20_000, "patience": 20_000, "r2": 2.0}
    found = ridge(x @ x.T, target, **options)
    exact = Ridge(alpha=0.01 * 30 / 2, fit_intercept=False).fit(x.numpy(), target.numpy()).coef_
    np.testing.assert_allclose(x.T @ found.weights, exact, rtol=1e-6)


def test_ridge_stops_at_r2():
    X, y = records(10, 200, scale=0.01)  # more weights than records: every target can be met
    x, target = scaled(X, y)
    options = {"weight_decay": 0.0, "max_iter": 5000, "patience": 5000}
    stopped, not_stopped = ridge(x @ x.T, target, **options), ridge(x @ x.T, target, r2=1.0, **options)
    assert stopped.converged and stopped.passes < not_stopped.passes
    assert 0.95 < 1 - (1 - stopped.explained) * float(target @ target / (target - 1).square().sum())


@pytest.mark.parametrize("name", FITS)
def test_null_a_fit_finds_planted_weights_and_nothing_in_noise(name):
    def auc(effect, seed):
        X, y = records(200, 40, effect=effect, scale=0.01, seed=seed)
        ranks = fit(name, X, y, lr=LR).gamma.abs().argsort().argsort().double()
        return float((ranks[:5].mean() - 2) / 35)

    planted, noise = ([auc(effect, seed) for seed in range(12)] for effect in (1.0, 0.0))
    assert np.mean(planted) > 0.95
    assert abs(np.mean(noise) - 0.5) < 0.13  # one has a standard deviation of 0.14


@pytest.mark.parametrize("name", ["2024", "2024-printed", "2025-06", "ridge"])
@pytest.mark.parametrize(("scale", "gamma"), [(30.0, True), (1e9, False)])
def test_divergence_is_an_outcome(name, scale, gamma):
    X, y = records(scale=scale if name.startswith("2025") or name == "ridge" else 100 * scale)
    found = fit(name, X, y, lr=LR)
    assert found.outcome == "diverged"
    if gamma and found.gamma is not None:
        assert bool(torch.isfinite(found.gamma).all()) and found.explained < 0
    if not gamma:
        assert found.gamma is None and found.explained is None and found.zeros is None


@pytest.mark.parametrize("name", FITS)
def test_pruned_weights_have_no_gamma_and_a_seed_is_a_result(name):
    X, y = records(40, scale=0.01)
    X[:, 3:9] = 0
    found = fit(name, X, y, lr=LR, seed=1)
    assert torch.equal(found.gamma, fit(name, X, y, lr=LR, seed=1).gamma) and found.gamma.dtype == torch.float64
    assert not found.gamma[3:9].any() and found.gamma[9:].any()
    assert (fit(name, X.float(), y, lr=LR, seed=1).gamma - found.gamma).abs().max() < 1e-4 * found.gamma.abs().max()


@pytest.mark.parametrize("name", ["2025-06", "ridge"])
def test_fits_of_2025_do_not_depend_on_the_units(name):
    X, y = records(scale=0.01)
    torch.testing.assert_close(fit(name, X, y, lr=LR).gamma, fit(name, 9 * X, -7 * y, lr=3 * LR).gamma)


def test_invalid_arguments():
    X, y = records()
    with pytest.raises(ValueError, match="name must be one of .*'ridge'.*, got 'lasso'"):
        fit("lasso", X, y)
    with pytest.raises(ValueError, match="lr must be positive and finite, got 0"):
        fit("ridge", X, y, lr=0)
    with pytest.raises(ValueError, match="alpha must be a finite number of at least 0, got -1"):
        fit("2024", X, y, alpha=-1.0)
    with pytest.raises(ValueError, match="columns must cover the 20 columns"):
        fit("2024", X, y, columns={"a": slice(0, 19)})
    for name in FITS:
        with pytest.raises(ValueError, match="y must be finite"):
            fit(name, X, y * float("nan"))
        with pytest.raises(ValueError, match="X must be finite"):
            fit(name, X / 0, y)
    for name in ("2025-06", "ridge"):
        with pytest.raises(ValueError, match="y must have a mean other than 0"):
            fit(name, X, torch.tensor([1.0, -1.0] * 16))
    with pytest.raises(ValueError, match="gram must have shape"):
        ridge(X, y)
    with pytest.raises(ValueError, match="gram must be finite"):
        ridge(X @ X.T / 0, y)
