import numpy as np
import pytest
import torch
from celer import Lasso as CelerLasso
from scipy.stats import kendalltau
from sklearn.linear_model import Lasso, lars_path

from ccprune.lasso import certified, duality_gap, exact, lambda_max, path, ranking


def random_problem(records, weights, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((records, weights)) ** 2
    truth = rng.standard_normal(weights) * (rng.random(weights) < 0.2)
    return torch.from_numpy(X), torch.from_numpy(X @ truth + rng.standard_normal(records))


@pytest.mark.parametrize("records, weights, seed", [(60, 20, 0), (30, 80, 1), (25, 300, 2)])
@pytest.mark.parametrize("share", [0.7, 0.2, 0.05])
def test_same_support_and_coefficients_as_scikit_learn_and_celer(records, weights, seed, share, device):
    X, y = random_problem(records, weights, seed)
    alpha = share * lambda_max(X, y)
    ours = exact(X.to(device), y.to(device), alpha, tol=1e-12)
    assert ours.coef.device.type == device and ours.converged
    assert ours.duality_gap <= 1e-12
    theirs = [
        Lasso(alpha=alpha, fit_intercept=False, tol=1e-13, max_iter=10**6).fit(X.numpy(), y.numpy()).coef_,
        CelerLasso(alpha=alpha, fit_intercept=False, tol=1e-13).fit(X.numpy(), y.numpy()).coef_,
    ]
    for coef in theirs:
        np.testing.assert_array_equal(ours.support.cpu().numpy(), coef != 0)
        np.testing.assert_allclose(ours.coef.cpu().numpy(), coef, rtol=1e-4, atol=1e-6)


def test_the_default_gap_is_reached_and_is_that_of_the_coefficients():
    X, y = random_problem(30, 200)
    alpha = 0.1 * lambda_max(X, y)
    found = exact(X, y, alpha)
    assert found.duality_gap <= 1e-6
    assert duality_gap(X, y, found.coef, alpha).relative == pytest.approx(found.duality_gap, rel=1e-3, abs=1e-12)


def test_closed_form_on_an_orthogonal_design():
    rng = np.random.default_rng(3)
    design = torch.from_numpy(np.linalg.qr(rng.standard_normal((50, 12)))[0]) * 50**0.5
    y = torch.from_numpy(rng.standard_normal(50) * 3)
    plain = design.T @ y / 50
    for alpha in (0.1, 0.4):
        found = exact(design, y, alpha, tol=1e-12)
        expected = plain.sign() * (plain.abs() - alpha).clamp_min(0)
        torch.testing.assert_close(found.coef, expected, rtol=0, atol=1e-6)
        assert torch.equal(found.support, plain.abs() > alpha)


def test_equal_columns_share_a_coefficient_that_is_not_unique():
    X, y = random_problem(30, 60)
    alpha = 0.1 * lambda_max(X, y)
    alone, twice = exact(X, y, alpha), exact(torch.cat([X, X, 0 * X], 1), y, alpha)
    torch.testing.assert_close(twice.coef[:60] + twice.coef[60:120], alone.coef, rtol=1e-3, atol=1e-4)
    assert not twice.support[120:].any()
    design = np.array([[1.0, 1.0], [0.0, 0.0]])
    held = np.array([0.5, 0.25])
    assert certified._polish(design, np.ones(2), 0.1, held) is held


@pytest.mark.parametrize("unit", [1e-13, 1e6])
def test_changing_units_changes_only_units(unit):
    X, y = random_problem(30, 100)
    alpha = 0.1 * lambda_max(X, y)
    here, there = exact(X, y, alpha, tol=1e-12), exact(X * unit, 1e-2 * y, 1e-2 * alpha * unit, tol=1e-12)
    assert torch.equal(here.support, there.support)
    torch.testing.assert_close(there.coef * unit * 1e2, here.coef, rtol=1e-6, atol=1e-9)
    scores, moved = ranking(X, y), ranking(X * unit, 1e-2 * y)
    torch.testing.assert_close(moved / unit * 1e2, scores, rtol=1e-2, atol=1e-9)


def test_null_nothing_is_chosen_from_lambda_max_on_or_without_a_target():
    X, y = random_problem(20, 50)
    for alpha in (lambda_max(X, y), 3 * lambda_max(X, y)):
        found = exact(X, y, alpha)
        assert not found.support.any() and found.duality_gap == pytest.approx(0, abs=1e-14)
    assert exact(X, y, 0.999 * lambda_max(X, y)).support.any()
    assert not exact(X, 0 * y, 0.1).support.any()
    assert not ranking(X, 0 * y).any()


def test_never_more_weights_than_records():
    X, y = random_problem(15, 400)
    found = path(X, y, [share * lambda_max(X, y) for share in (0.3, 0.1, 0.01)])
    kept = [int(result.support.sum()) for result in found]
    assert kept == sorted(kept) and kept[-1] <= 15


def test_working_sets_miss_nothing(monkeypatch):
    X, y = random_problem(20, 500, seed=4)
    alpha = 0.05 * lambda_max(X, y)
    whole = exact(X, y, alpha, tol=1e-12)
    monkeypatch.setattr(certified, "_SMALLEST_SET", 1)
    calls, inner = [], certified._celer

    def watched(columns, *rest):
        calls.append((columns.shape[1], rest[-1]))
        return inner(columns, *rest)

    monkeypatch.setattr(certified, "_celer", watched)
    small = exact(X, y, alpha, tol=1e-12)
    # Sets grow as long as a column is missing; only then is it the inner solution that has to be better.
    assert [size for size, _ in calls] == [80 * 2**i for i in range(len(calls))]
    assert {tol for _, tol in calls} == {1e-13}
    assert len(calls) == small.iterations > 1
    assert torch.equal(small.support, whole.support)
    torch.testing.assert_close(small.coef, whole.coef, rtol=1e-5, atol=1e-8)


def test_a_path_is_each_solution_by_itself_in_the_order_asked_for():
    X, y = random_problem(25, 60)
    alphas = [share * lambda_max(X, y) for share in (0.1, 0.9, 0.4)]
    for alpha, found in zip(alphas, path(X, y, alphas, tol=1e-12), strict=True):
        alone = exact(X, y, alpha, tol=1e-12)
        assert torch.equal(found.support, alone.support)
        torch.testing.assert_close(found.coef, alone.coef, rtol=1e-4, atol=1e-6)


def test_a_gap_that_cannot_be_reached_is_an_error():
    X, y = random_problem(30, 60)
    with pytest.raises(RuntimeError, match=r"relative duality gap of 1e-19 at alpha=0\.1, only .* working sets"):
        exact(X, y, 0.1, tol=1e-19)


def test_single_precision_and_strided_columns_are_read_as_they_are():
    X, y = random_problem(30, 120)
    small = (X * 1e-12).float()
    part = torch.cat([small, small], 1)[:, 60:180:2]
    alpha = 0.1 * lambda_max(part, y)
    found, expected = exact(part, y.float(), alpha), exact(part.double().contiguous(), y.float().double(), alpha)
    assert found.coef.dtype == torch.float64
    torch.testing.assert_close(found.coef, expected.coef, rtol=1e-9, atol=0)


@pytest.mark.parametrize("records, weights, seed", [(40, 12, 0), (12, 40, 1)])
def test_ranking_is_the_order_of_entry_on_the_path(records, weights, seed):
    X, y = random_problem(records, weights, seed)
    top = lambda_max(X, y)
    alphas = np.geomspace(top, top / 50, 400).tolist()
    score = ranking(X, y, alphas=alphas, tol=1e-12).numpy()
    alphas, _, coefs = lars_path(X.numpy(), y.numpy(), method="lasso", alpha_min=top / 50)
    entered = np.array([alphas[max(0, np.argmax(row != 0) - 1)] if row.any() else 0.0 for row in coefs])
    inside = entered > top / 50
    assert inside.sum() > 5
    np.testing.assert_allclose(score[inside], entered[inside], rtol=0.011)  # one step of the grid
    assert kendalltau(score[inside], entered[inside]).statistic > 0.95
    # The rest continue below: their correlation with the residual at the last penalty.
    residual = y.numpy() - X.numpy() @ coefs[:, -1]
    np.testing.assert_allclose(score[~inside], np.abs(X.numpy().T @ residual)[~inside] / records, rtol=1e-3)
    assert score[~inside].max(initial=0) <= score[inside].min() == pytest.approx(top / 50, rel=10)


def test_a_coarse_grid_still_ranks_within_its_steps():
    X, y = random_problem(60, 40, seed=2)
    top = lambda_max(X, y)
    alphas = [top, 0.2 * top, 0.01 * top]
    score = ranking(X, y, alphas=alphas).numpy()
    alphas, _, coefs = lars_path(X.numpy(), y.numpy(), method="lasso", alpha_min=0.01 * top)
    entered = np.array([alphas[max(0, np.argmax(row != 0) - 1)] if row.any() else 0.0 for row in coefs])
    for low, high in ((0.2, 1.0), (0.01, 0.2)):
        between = (entered > low * top) & (entered <= high * top)
        assert between.sum() > 4
        assert ((score >= low * top * (1 - 1e-9)) & (score <= high * top * (1 + 1e-9)))[between].all()
        assert kendalltau(score[between], entered[between]).statistic > 0.2  # a rough order, and hardly a tie
        assert len(np.unique(score[between])) > 0.7 * between.sum()


def test_ranking_orders_more_weights_than_records():
    X, y = random_problem(10, 200)
    score = ranking(X, y)
    assert score.unique().numel() > 190
    last = exact(X, y, 0.01 * lambda_max(X, y))
    assert score[last.support].min() >= 0.01 * lambda_max(X, y) * (1 - 1e-12) > 0
    assert (score <= 0.01 * lambda_max(X, y)).sum() > 150


X, Y = random_problem(8, 5)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: exact(X, Y, 0.0), ValueError, "alpha must be above 0"),
        (lambda: exact(X, Y, -1.0), ValueError, "alpha must be a finite number of at least 0, got -1.0"),
        (lambda: exact(X, Y, 0.1, tol=0.0), ValueError, r"tol must lie between 0 and 1, got 0\.0"),
        (lambda: exact(X, Y[:4], 0.1), ValueError, "y must have one value per row"),
        (lambda: path(X, Y, []), ValueError, "alphas must hold at least one penalty"),
        (lambda: ranking(X, Y, alphas=1), ValueError, "alphas must be at least 2 penalties, got 1"),
        (lambda: ranking(X, Y, alphas=[0.1, 0.0]), ValueError, "alpha must be above 0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
