import numba
import numpy as np
import pytest
import torch
from sklearn.linear_model import SGDRegressor

from ccprune.lasso import record_weights, truncated_gradient
from ccprune.lasso._cpu import one_pass
from ccprune.lasso.stochastic import one_pass_torch, step_sizes


def random_problem(records, weights, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((records, weights)) ** 2
    truth = rng.standard_normal(weights) * (rng.random(weights) < 0.2)
    return torch.from_numpy(X), torch.from_numpy(X @ truth + rng.standard_normal(records))


def scikit_learn(X, y, alpha, *, max_iter, seed, tol=None, eta0=0.01, power_t=0.25):
    """The authors' program of 2024, in one process."""
    options = {"shuffle": seed is not None, "random_state": seed, "max_iter": max_iter, "tol": tol}
    rule = {"learning_rate": "invscaling", "eta0": eta0, "power_t": power_t, "n_iter_no_change": 2}
    return SGDRegressor(penalty="l1", alpha=alpha, fit_intercept=False, **rule, **options).fit(X.numpy(), y.numpy())


@pytest.mark.parametrize("power_t", [0.25, 0.1])
@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("alpha", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("records, weights", [(40, 15), (15, 60)])
def test_same_steps_as_scikit_learn(device, seed, alpha, records, weights, power_t):
    X, y = random_problem(records, weights)
    theirs = scikit_learn(X, y, alpha, max_iter=7, seed=seed, eta0=0.005, power_t=power_t).coef_
    ours = truncated_gradient(
        X.to(device), y.to(device), alpha, eta0=0.005, power_t=power_t, max_iter=7, patience=7, seed=seed
    )
    assert ours.iterations == 7 and ours.coef.device.type == device
    np.testing.assert_allclose(ours.coef.cpu().numpy(), theirs, rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(ours.support.cpu().numpy(), theirs != 0)
    if alpha == 0.3:
        assert 0 < ours.support.sum() < weights  # the penalty does something here


def test_defaults_are_those_of_2024():
    """Step 0.01 / t^0.25, which are scikit-learn's own defaults, and three max_iter."""
    X, y = random_problem(40, 15)
    theirs = SGDRegressor(penalty="l1", alpha=0.02, fit_intercept=False, max_iter=3, tol=None, shuffle=False)
    ours = truncated_gradient(X, y, 0.02)
    assert ours.iterations == 3 and ours.converged
    np.testing.assert_allclose(ours.coef.numpy(), theirs.fit(X.numpy(), y.numpy()).coef_, rtol=1e-11)
    june = truncated_gradient(X, y, 0.02, power_t=0.1)
    np.testing.assert_allclose(
        june.coef, scikit_learn(X, y, 0.02, max_iter=3, seed=None, power_t=0.1).coef_, rtol=1e-11
    )


@pytest.mark.parametrize("tol", [1e-1, 1e-3])
def test_the_rule_of_the_lowest_loss_stops_where_scikit_learn_stops(tol):
    # The loss that scikit-learn 1.7 and later watch has the penalty in it; it is too small here to matter.
    X, y = random_problem(40, 15)
    theirs = scikit_learn(X, y, 1e-9, max_iter=200, seed=3, tol=tol)
    ours = truncated_gradient(X, y, 1e-9, max_iter=200, stop="lowest", tol=tol, seed=3)
    assert 3 < ours.iterations == theirs.n_iter_ < 200 and ours.converged
    np.testing.assert_allclose(ours.coef.numpy(), theirs.coef_, rtol=1e-10)


@pytest.mark.parametrize("stop", ["last_record", "lowest"])
def test_negligible_predictions_stop_after_three_passes(stop):
    """The loss cannot fall: the first pass counts as a gain, and two without one end it."""
    X, y = random_problem(40, 15)
    assert truncated_gradient(X * 1e-12, y, 1e-14, stop=stop).iterations == 3
    assert not truncated_gradient(X * 1e-12, y, 1e-14, max_iter=2, stop=stop).converged


def by_hand(X, y, alpha, *, eta0, power_t, batch_size, max_iter):
    """Tsuruoka, Tsujii and Ananiadou (2009), figure 2: coefficients w, and q, what each has paid so far.

    Yields after every pass the coefficients and the losses of its records.
    """
    w, q, u, t = np.zeros(X.shape[1]), np.zeros(X.shape[1]), 0.0, 0
    for _ in range(max_iter):
        losses = []
        for first in range(0, len(y), batch_size):
            rows, target = X[first : first + batch_size], y[first : first + batch_size]
            t += 1
            lr = eta0 / t**power_t
            u += lr * alpha
            losses += (0.5 * (target - rows @ w) ** 2).tolist()
            w = w + lr * (target - rows @ w) @ rows / len(target)
            paid = np.where(w > 0, np.maximum(0, w - (u + q)), np.where(w < 0, np.minimum(0, w + (u - q)), w))
            q, w = q + paid - w, paid
        yield w, losses


def stops_after(passes_losses, *, patience, tol):
    """The 2024 program's rule, from the losses of every pass: which pass ends the fit, None for none."""
    compared_with, without_gain = float("inf"), 0
    for number, losses in enumerate(passes_losses, 1):
        without_gain = without_gain + 1 if sum(losses) > compared_with - tol else 0
        if sum(losses) < compared_with:
            compared_with = losses[-1]
        if without_gain == patience:
            return number
    return None


@pytest.mark.parametrize("outlier, patience, expected", [(0, 2, 3), (0, 5, 6), (5, 2, 6), (40, 2, 12)])
def test_the_rule_of_2024_compares_the_sum_of_a_pass_with_one_record(outlier, patience, expected):
    """It ends as soon as it can, though the loss still falls, unless the last record's loss is above the sum of a later
    pass."""
    X, y = random_problem(20, 15, seed=4)
    X, y = X / 4, y / 4
    y[-1] += outlier
    options = {"eta0": 0.03, "power_t": 0.25, "batch_size": 1, "max_iter": 40}
    max_iter = list(by_hand(X.numpy(), y.numpy(), 1e-3, **options))
    losses = [found for _, found in max_iter]
    assert stops_after(losses, patience=patience, tol=1e-4) == expected
    found = truncated_gradient(X, y, 1e-3, **options, patience=patience)
    assert found.iterations == expected and found.converged
    np.testing.assert_allclose(found.coef.numpy(), max_iter[expected - 1][0], rtol=1e-10, atol=1e-13)
    assert sum(losses[2 * expected]) < 0.9 * sum(losses[expected - 1])  # what stopping so early costs


@pytest.mark.parametrize("batch_size", [1, 8, 7, 40])
def test_batches_average_the_gradient(batch_size, device):
    X, y = random_problem(40, 25)
    options = {"eta0": 0.05, "power_t": 0.1, "batch_size": batch_size, "max_iter": 6}
    X, y = X / 8, y / 8
    *_, (expected, _) = by_hand(X.numpy(), y.numpy(), 0.01, **options)
    found = truncated_gradient(X.to(device), y.to(device), 0.01, **options, patience=6)
    np.testing.assert_allclose(found.coef.cpu().numpy(), expected, rtol=1e-11, atol=1e-15)
    assert 0 < found.support.sum() < 25


@pytest.mark.parametrize("batch_size", [1, 6])
def test_tensor_operations_do_what_the_kernel_does(device, batch_size):
    X, y = random_problem(20, 33)
    X, order = X / 9, np.random.default_rng(0).permutation(20)
    ours, theirs = torch.zeros(33, dtype=torch.float64), torch.zeros(33, dtype=torch.float64, device=device)
    taken = 0.0
    for done in range(3):
        rates = step_sizes(20, 0.01, 0.25, batch_size, done)
        before = 0.2 * (taken + np.cumsum(rates) - rates)
        rest = order, batch_size, rates, before
        loss, last = one_pass(X.flatten().numpy(), 33, y.numpy(), *rest, ours.numpy())
        there = one_pass_torch(X.to(device), y.to(device), *rest, theirs)
        assert there.tolist() == pytest.approx([loss, last], rel=1e-12)
        torch.testing.assert_close(theirs.cpu(), ours, rtol=1e-11, atol=1e-15)
        taken += rates.sum()
    assert float(y.square().sum() / 2) > loss  # it has learnt something
    losses = (y[order].square() / 2).tolist()
    found = one_pass(1e-12 * X.flatten().numpy(), 33, y.numpy(), *rest, 0 * ours.numpy())
    assert found == pytest.approx((sum(losses), losses[-1]))


def test_results_do_not_depend_on_the_number_of_threads():
    X, y = random_problem(6, 70_000)
    X, before = X * 1e-3, numba.get_num_threads()
    found = []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            found.append(truncated_gradient(X, y, 1e-4, max_iter=2, eta0=0.1).coef)
    finally:
        numba.set_num_threads(before)
    assert torch.equal(*found)


def test_columns_of_a_larger_matrix_and_single_precision_are_read_as_they_are():
    X, y = random_problem(20, 50)
    wide = (X / 50).float()
    for part in (wide[:, 7:31], wide[::2, 3:], wide[:, ::3], wide.T.contiguous().T):
        target = y[: len(part)]
        found = truncated_gradient(part, target, 0.01, max_iter=2)
        expected = truncated_gradient(part.double().contiguous(), target, 0.01, max_iter=2)
        torch.testing.assert_close(found.coef, expected.coef, rtol=1e-12, atol=0)


def test_null_a_large_penalty_or_no_target_leaves_nothing():
    X, y = random_problem(30, 10)
    top = float((X.T @ y).abs().max() / 30)
    assert not truncated_gradient(X * 1e-6, y, 2e-6 * top).support.any()
    assert not truncated_gradient(X, 0 * y, 1e-9).support.any()


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("power_t", [0.25, 0.1, 0.0])
def test_weights_of_records_are_what_scikit_learn_gives_each(seed, power_t):
    """With one column a record, and predictions of 1e-18, each coefficient is the sum of its record's steps."""
    unit = 1e-9 * torch.eye(23, dtype=torch.float64)
    steps = scikit_learn(unit, torch.ones(23), 0.0, max_iter=3, seed=seed, power_t=power_t).coef_
    found = record_weights(23, max_iter=3, power_t=power_t, seed=seed)
    np.testing.assert_allclose(found.numpy(), steps / steps.sum(), rtol=1e-12)


def test_weights_of_records_in_batches():
    """Batches of 2 and a last one of 1, by hand."""
    steps = [1 / t**0.5 for t in (1, 2, 3, 4)]
    expected = [steps[0] / 2, steps[0] / 2, steps[1]]
    again = [steps[2] / 2, steps[2] / 2, steps[3]]
    found = record_weights(3, max_iter=2, power_t=0.5, batch_size=2)
    assert found.tolist() == pytest.approx([(a + b) / sum(steps) for a, b in zip(expected, again, strict=True)])


@pytest.mark.parametrize("power_t, spread", [(0.25, 0.13), (0.1, 0.04), (0.0, 0.0)])
def test_weighted_means_differ_from_plain_ones_by_their_spread_times_the_standard_error(power_t, spread):
    """The standard deviation over shuffled orders against the formula of sampling without replacement."""
    z = torch.from_numpy(np.random.default_rng(0).standard_exponential(150))
    weights = torch.stack([record_weights(150, max_iter=3, power_t=power_t, seed=seed) for seed in range(400)])
    spreads = weights.std(1, correction=0) * 150
    assert float(spreads.mean()) == pytest.approx(spread, abs=0.005)
    differences = weights @ z - z.mean()
    error = float(spreads.square().mean().sqrt() * z.std() / 150**0.5)
    assert float(differences.std()) == pytest.approx(error, rel=0.1)
    assert abs(float(differences.mean())) <= 4 * error / 400**0.5 + 1e-15


def test_steps_that_are_too_large_are_an_error():
    X, y = random_problem(30, 10)
    with pytest.raises(ValueError, match=r"eta0=9\.0 is too large for X: the coefficients overflow in pass \d+"):
        truncated_gradient(X, y, 0.0, eta0=9.0, patience=1000)
    # Three max_iter are too few to overflow; the gap shows that nothing was found.
    assert truncated_gradient(X, y, 0.0, eta0=9.0).duality_gap > 1e9


X, Y = random_problem(8, 5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"alpha": -1.0}, "alpha must be a finite number of at least 0, got -1.0"),
        ({"eta0": 0.0}, r"eta0 must be positive and finite, got 0\.0"),
        ({"power_t": -0.1}, r"power_t must be at least 0 and finite, got -0\.1"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"max_iter": 1.5}, r"max_iter must be an integer of at least 1, got 1\.5"),
        ({"patience": 0}, "patience must be an integer of at least 1, got 0"),
        ({"stop": "best"}, r"stop must be one of \('last_record', 'lowest'\), got 'best'"),
        ({"tol": float("nan")}, "tol must be at least 0, got nan"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        truncated_gradient(X, Y, **{"alpha": 0.1, **options})


def test_errors_of_record_weights_name_the_argument():
    with pytest.raises(ValueError, match="records must be an integer of at least 1, got 0"):
        record_weights(0, max_iter=1)
    with pytest.raises(ValueError, match="max_iter must be an integer of at least 1, got 0"):
        record_weights(1, max_iter=0)
