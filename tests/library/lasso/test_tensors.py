import pytest
import torch

from ccprune.lasso import as_scores, by_tensor, exact, lambda_max, ranking, truncated_gradient

SHAPES = {"conv": (2, 1, 3), "fc": (4, 2)}
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(30, 3 * 14, generator=GENERATOR, dtype=torch.float64) ** 2
Y = torch.randn(30, generator=GENERATOR, dtype=torch.float64)
# Columns of each tensor's own problem, with momentum all first features before all second and third.
CONV = torch.cat([X[:, 0:6], X[:, 14:20], X[:, 28:34]], 1)
FC = torch.cat([X[:, 6:14], X[:, 20:28], X[:, 34:42]], 1)


def test_one_problem_per_tensor():
    alpha = 0.3 * lambda_max(X, Y)
    for features, conv, fc in ((X[:, :14], X[:, :6], X[:, 6:14]), (X, CONV, FC)):
        found = by_tensor(exact, features, Y, alpha, shapes=SHAPES, tol=1e-9)
        assert list(found) == ["conv", "fc"]
        torch.testing.assert_close(found["conv"].coef, exact(conv, Y, alpha, tol=1e-9).coef)
        torch.testing.assert_close(found["fc"].coef, exact(fc, Y, alpha, tol=1e-9).coef)
        assert found["conv"].support.any() and found["fc"].support.any()


def test_any_solver_and_its_options():
    found = by_tensor(truncated_gradient, X, Y, 0.01, shapes=SHAPES, max_iter=2, eta0=1e-3)
    assert torch.equal(found["fc"].coef, truncated_gradient(FC, Y, 0.01, max_iter=2, eta0=1e-3).coef)
    ranks = by_tensor(ranking, X[:, :14], Y, shapes=SHAPES, alphas=5)
    assert torch.equal(ranks["conv"], ranking(X[:, :6], Y, alphas=5))


@pytest.mark.parametrize("features", [1, 3])
def test_scores_have_the_shape_of_the_weights_and_the_largest_feature(features):
    design = X[:, : 14 * features]
    result = truncated_gradient(design, Y, 0.01, max_iter=2, eta0=1e-3)
    largest = result.coef.abs().view(features, 14).amax(0)
    scores = as_scores(result, SHAPES)
    assert torch.equal(scores["conv"], largest[:6].view(2, 1, 3)) and torch.equal(scores["fc"], largest[6:].view(4, 2))
    ranks = ranking(design, Y)
    assert torch.equal(as_scores(ranks, SHAPES)["fc"], ranks.view(features, 14).amax(0)[6:].view(4, 2))
    apart = as_scores(by_tensor(truncated_gradient, design, Y, 0.01, shapes=SHAPES, max_iter=2, eta0=1e-3), SHAPES)
    assert {name: tuple(score.shape) for name, score in apart.items()} == SHAPES
    own = truncated_gradient(CONV if features == 3 else X[:, :6], Y, 0.01, max_iter=2, eta0=1e-3).coef
    assert torch.equal(apart["conv"].flatten(), own.abs().view(features, 6).amax(0))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: by_tensor(exact, X[:, :28], Y, 0.1, shapes=SHAPES), "X must have one or three .* 14 weights, got 28"),
        (lambda: by_tensor(exact, X, Y, 0.1, shapes={}), "X must have one or three columns for each of the 0 weights"),
        (lambda: as_scores(X[0, :13], SHAPES), "found must have one or three columns for each of the 14 weights"),
        (lambda: as_scores({"fc": X[0, :8]}, SHAPES), r"found must have the names \['conv', 'fc'\], got \['fc'\]"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
