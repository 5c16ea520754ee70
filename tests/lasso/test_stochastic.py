import numba
import numpy as np
import pytest
import torch
from sklearn.linear_model import SGDRegressor

from ccprune.lasso import truncated_gradient
from ccprune.lasso._stochastic_cpu import one_pass
from ccprune.lasso.stochastic import one_pass_torch, step_sizes


def random_problem(records, weights, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((records, weights)) ** 2
    truth = rng.standard_normal(weights) * (rng.random(weights) < 0.2)
    return torch.from_numpy(X), torch.from_numpy(X @ truth + rng.standard_normal(records))


def scikit_learn(X, y, lam, *, passes, seed, tolerance=None, step=0.01, power=0.1):
    """The authors' program, in one process."""
    options = {"shuffle": seed is not None, "random_state": seed, "max_iter": passes, "tol": tolerance}
    rule = {"learning_rate": "invscaling", "eta0": step, "power_t": power, "n_iter_no_change": 2}
    return SGDRegressor(penalty="l1", alpha=lam, fit_intercept=False, **rule, **options).fit(X.numpy(), y.numpy())


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize("lam", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("records, weights", [(40, 15), (15, 60)])
def test_same_steps_as_scikit_learn(device, seed, lam, records, weights):
    X, y = random_problem(records, weights)
    theirs = scikit_learn(X, y, lam, passes=7, seed=seed, step=0.005, power=0.25).coef_
    ours = truncated_gradient(
        X.to(device), y.to(device), lam, step=0.005, power=0.25, passes=7, patience=7, tolerance=0.0, seed=seed
    )
    assert ours.iterations == 7 and ours.coef.device.type == device
    np.testing.assert_allclose(ours.coef.cpu().numpy(), theirs, rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(ours.support.cpu().numpy(), theirs != 0)
    if lam == 0.3:
        assert 0 < ours.support.sum() < weights  # the penalty does something here


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3])
def test_stops_where_scikit_learn_stops(tolerance):
    # The loss that scikit-learn 1.7 and later watch has the penalty in it; it is too small here to matter.
    X, y = random_problem(40, 15)
    theirs = scikit_learn(X, y, 1e-9, passes=200, seed=3, tolerance=tolerance)
    ours = truncated_gradient(X, y, 1e-9, passes=200, tolerance=tolerance, seed=3)
    assert ours.iterations == theirs.n_iter_ < 200 and ours.converged
    np.testing.assert_allclose(ours.coef.numpy(), theirs.coef_, rtol=1e-10)


def test_negligible_predictions_stop_after_three_passes():
    """The loss cannot fall: the first pass counts as a gain, and two without one end it."""
    X, y = random_problem(40, 15)
    assert truncated_gradient(X * 1e-12, y, 1e-14).iterations == 3
    assert not truncated_gradient(X * 1e-12, y, 1e-14, passes=2).converged


def by_hand(X, y, lam, *, step, power, batch_size, passes):
    """Tsuruoka, Tsujii and Ananiadou (2009), figure 2: coefficients w, and q, what each has paid so far."""
    w, q, u, t = np.zeros(X.shape[1]), np.zeros(X.shape[1]), 0.0, 0
    for _ in range(passes):
        for first in range(0, len(y), batch_size):
            rows, target = X[first : first + batch_size], y[first : first + batch_size]
            t += 1
            rate = step / t**power
            u += rate * lam
            w = w + rate * (target - rows @ w) @ rows / len(target)
            paid = np.where(w > 0, np.maximum(0, w - (u + q)), np.where(w < 0, np.minimum(0, w + (u - q)), w))
            q, w = q + paid - w, paid
    return w


@pytest.mark.parametrize("batch_size", [1, 8, 7, 40])
def test_batches_average_the_gradient(batch_size, device):
    X, y = random_problem(40, 25)
    options = {"step": 0.05, "power": 0.1, "batch_size": batch_size, "passes": 6}
    X, y = X / 8, y / 8
    expected = by_hand(X.numpy(), y.numpy(), 0.01, **options)
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
        rates = step_sizes(20, 0.01, 0.1, batch_size, done)
        before = 0.2 * (taken + np.cumsum(rates) - rates)
        rest = order, batch_size, rates, before
        loss = one_pass(X.flatten().numpy(), 33, y.numpy(), *rest, ours.numpy())
        there = one_pass_torch(X.to(device), y.to(device), *rest, theirs)
        assert float(there) == pytest.approx(loss, rel=1e-12)
        torch.testing.assert_close(theirs.cpu(), ours, rtol=1e-11, atol=1e-15)
        taken += rates.sum()
    assert float(y.square().mean() / 2) > loss  # it has learnt something
    assert one_pass(1e-12 * X.flatten().numpy(), 33, y.numpy(), *rest, 0 * ours.numpy()) == pytest.approx(
        float(y.square().mean() / 2)
    )


def test_results_do_not_depend_on_the_number_of_threads():
    X, y = random_problem(6, 70_000)
    X, before = X * 1e-3, numba.get_num_threads()
    found = []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            found.append(truncated_gradient(X, y, 1e-4, passes=2, step=0.1).coef)
    finally:
        numba.set_num_threads(before)
    assert torch.equal(*found)


def test_columns_of_a_larger_matrix_and_single_precision_are_read_as_they_are():
    X, y = random_problem(20, 50)
    wide = (X / 50).float()
    for part in (wide[:, 7:31], wide[::2, 3:], wide[:, ::3], wide.T.contiguous().T):
        target = y[: len(part)]
        found = truncated_gradient(part, target, 0.01, passes=2)
        expected = truncated_gradient(part.double().contiguous(), target, 0.01, passes=2)
        torch.testing.assert_close(found.coef, expected.coef, rtol=1e-12, atol=0)


def test_null_a_large_penalty_or_no_target_leaves_nothing():
    X, y = random_problem(30, 10)
    top = float((X.T @ y).abs().max() / 30)
    assert not truncated_gradient(X * 1e-6, y, 2e-6 * top).support.any()
    assert not truncated_gradient(X, 0 * y, 1e-9).support.any()


def test_steps_that_are_too_large_are_an_error():
    X, y = random_problem(30, 10)
    with pytest.raises(ValueError, match=r"step=9\.0 is too large for X: the coefficients overflow in pass \d+"):
        truncated_gradient(X, y, 0.0, step=9.0)


X, Y = random_problem(8, 5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"lam": -1.0}, "lam must be a finite number of at least 0, got -1.0"),
        ({"step": 0.0}, r"step must be positive and finite, got 0\.0"),
        ({"power": -0.1}, r"power must be at least 0 and finite, got -0\.1"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"passes": 1.5}, r"passes must be an integer of at least 1, got 1\.5"),
        ({"patience": 0}, "patience must be an integer of at least 1, got 0"),
        ({"tolerance": float("nan")}, "tolerance must be at least 0, got nan"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        truncated_gradient(X, Y, **{"lam": 0.1, **options})
