import numba
import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from ccprune.lasso import duality_gap, lambda_max, objective, problem


def random_problem(records, weights, seed=0):
    """Non-negative features and a target that a few of them explain."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((records, weights)) ** 2
    truth = rng.standard_normal(weights) * (rng.random(weights) < 0.2)
    return torch.from_numpy(X), torch.from_numpy(X @ truth + rng.standard_normal(records))


@pytest.mark.parametrize("records, weights", [(40, 15), (15, 40)])
def test_the_gap_bounds_the_distance_to_the_minimum_and_is_zero_there(device, records, weights):
    """The minimum is scikit-learn's, which knows nothing of our dual point."""
    X, y = random_problem(records, weights)
    alpha = 0.2 * lambda_max(X, y)
    best = Lasso(alpha=alpha, fit_intercept=False, tol=1e-14, max_iter=10**6).fit(X.numpy(), y.numpy()).coef_
    least = np.sum((y.numpy() - X.numpy() @ best) ** 2) / (2 * records) + alpha * np.abs(best).sum()
    X, y, best = X.to(device), y.to(device), torch.from_numpy(best).to(device)
    assert objective(X, y, best, alpha) == pytest.approx(least, rel=1e-12)
    assert duality_gap(X, y, best, alpha).relative < 1e-9
    for scale in (1e-3, 1e-1, 1.0):
        away = best + scale * torch.randn(weights, generator=torch.Generator().manual_seed(1)).to(best)
        gap = duality_gap(X, y, away, alpha)
        assert gap.absolute >= objective(X, y, away, alpha) - least > 0
        assert gap.relative == pytest.approx(gap.absolute / float(y.square().mean() / 2))


def test_gap_of_zero_coefficients_is_zero_from_lambda_max_on():
    X, y = random_problem(20, 30)
    zero, top = torch.zeros(30), lambda_max(X, y)
    assert top == pytest.approx(np.abs(X.numpy().T @ y.numpy()).max() / 20)
    assert duality_gap(X, y, zero, top).relative == pytest.approx(0, abs=1e-15)
    assert duality_gap(X, y, zero, 2 * top).relative == pytest.approx(0, abs=1e-15)
    # For a smaller alpha the best multiple of y is alpha / lambda_max of it.
    assert duality_gap(X, y, zero, 0.7 * top).relative == pytest.approx(0.3**2)


def test_the_best_multiple_of_the_residual_is_taken():
    X, y = random_problem(20, 30)
    coef = torch.ones(30, dtype=torch.float64) / 30
    residual = y - X @ coef
    alpha = 1e6  # any multiple is feasible
    dual = float((y @ residual) ** 2 / (residual @ residual)) / 40
    assert duality_gap(X, y, coef, alpha).absolute == pytest.approx(objective(X, y, coef, alpha) - dual, rel=1e-12)
    small = duality_gap(X, y, coef, 1e-6).absolute - objective(X, y, coef, 1e-6)
    assert abs(small) < 1e-4  # hardly any multiple is


def test_without_a_target_there_is_no_gap():
    X, y = random_problem(20, 30)
    assert duality_gap(X, 0 * y, torch.zeros(30), 0.1) == (0.0, 0.0)


def test_blocks_and_single_precision_do_not_change_the_sums(monkeypatch):
    X, y = random_problem(50, 37)
    small = (X * 1e-13).float()
    expected = small.double().numpy().T @ y.numpy() / 50
    whole = problem.correlation(small, y)
    np.testing.assert_allclose(whole.numpy(), expected, rtol=1e-12)
    index = torch.arange(0, 37, 2)
    value = torch.ones(len(index), dtype=torch.float64)
    prediction = problem.predict(small, index, value)
    monkeypatch.setattr(problem, "_BLOCK", 200)
    assert len(list(problem.blocks(small))) == 10
    strided = small.T.contiguous().T  # what the compiled kernel does not take
    torch.testing.assert_close(problem.correlation(strided, y), whole, rtol=1e-13, atol=0)
    torch.testing.assert_close(problem.predict(small, index, value), prediction, rtol=1e-13, atol=0)
    np.testing.assert_allclose(prediction.numpy(), small.double().numpy()[:, ::2].sum(1), rtol=1e-13)


@pytest.mark.parametrize("records", [1, 4, 7, 50])
@pytest.mark.parametrize("weights", [1, 8191, 8193, 70_000])
def test_the_compiled_sums_are_those_of_the_columns(records, weights):
    """Rows in groups of four and one by one, columns across the kernel's blocks, and part of a wider matrix."""
    generator = torch.Generator().manual_seed(records)
    wide = torch.randn(records, weights + 5, generator=generator)
    y = torch.randn(records, generator=generator, dtype=torch.float64)
    for X in (wide[:, 3:-2], wide[:, 3:-2].requires_grad_()):
        expected = X.detach().double().numpy().T @ y.numpy() / records
        size = X.detach().double().abs().numpy().T @ y.abs().numpy() / records
        assert (np.abs(problem.correlation(X, y).numpy() - expected) <= 1e-15 * records**0.5 * size).all()
    with_threads = [problem.correlation(wide, y)]
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        with_threads.append(problem.correlation(wide, y))
    finally:
        numba.set_num_threads(threads)
    assert torch.equal(*with_threads)


X, Y = random_problem(8, 5)
SPOILT = X.clone()
SPOILT[3, 2] = float("inf")


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: lambda_max(X.numpy(), Y), TypeError, "X must be a Tensor, got ndarray"),
        (lambda: lambda_max(X.long(), Y), TypeError, "X must hold floating-point numbers, got torch.int64"),
        (lambda: lambda_max(X[0], Y), ValueError, r"X must have 2 dimension\(s\)"),
        (lambda: lambda_max(X[:, :0], Y), ValueError, r"X must have 2 .* not be empty, got shape \(8, 0\)"),
        (lambda: lambda_max(X, Y[:-1]), ValueError, r"y must have one value per row of X \(8\), got 7"),
        (lambda: lambda_max(X, Y / 0), ValueError, "y must be finite"),
        (lambda: lambda_max(SPOILT, Y), ValueError, "X must be finite"),
        (lambda: lambda_max(SPOILT, 0 * Y), ValueError, "X must be finite"),
        (lambda: objective(X, Y, X[0, :-1], 0.1), ValueError, r"coef must have one value per column of X \(5\)"),
        (lambda: objective(X, Y, X[0] / 0, 0.1), ValueError, "coef must be finite"),
        (lambda: objective(X, Y, [0.0] * 5, 0.1), TypeError, "coef must be a Tensor, got list"),
        (lambda: objective(X, Y, X[0], -0.1), ValueError, "alpha must be a finite number of at least 0, got -0.1"),
        (lambda: duality_gap(X, Y, X[0], float("nan")), ValueError, "alpha must be a finite number"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
