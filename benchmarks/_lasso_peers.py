"""The records of the benchmark of the Granger-Lasso, and the solvers that it compares."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ccprune.lasso import exact, truncated_gradient

GAP = 1e-6
CAUSES = 20
SMALL = 1e-4  # size of the changes for the authors' steps: predictions must be negligible


def records(count: int, weights: int, scale: float) -> Iterator[tuple[float, Tensor]]:
    """Steps one after the other: dL, and the weights' changes (P,), float32; some weights cause the loss."""
    generator = torch.Generator().manual_seed(0)
    rates = scale * 10 ** (-0.5 * torch.rand(weights, generator=generator))
    causes = torch.randn(CAUSES, generator=generator) / scale**2
    for _ in range(count):
        change = torch.randn(weights, generator=generator).mul_(rates)
        change *= float(torch.randn((), generator=generator).mul(0.3).exp())
        noise = 2 * float(torch.randn((), generator=generator))
        yield float(change[:CAUSES].square() @ causes) - float(causes.sum()) * scale**2 / 4 + noise, change


def stack_records(count: int, weights: int, scale: float) -> tuple[Tensor, Tensor]:
    """Squared changes (T, P) and loss changes (T,)."""
    X, y = torch.empty(count, weights), torch.empty(count, dtype=torch.float64)
    for t, (loss, change) in enumerate(records(count, weights, scale)):
        torch.square(change, out=X[t])
        y[t] = loss
    return X, y


def by_ccprune(X: Tensor, y: Tensor, alpha: float) -> Callable[[], Tensor]:
    return lambda: exact(X, y, alpha, tol=GAP).coef


def by_celer(X: Tensor, y: Tensor, alpha: float) -> Callable[[], Tensor]:
    from celer import celer_path

    design = np.asfortranarray(X.double().numpy())
    # Its tol is relative to the mean square of y, twice what our gap is relative to.
    return lambda: torch.from_numpy(
        celer_path(design, y.numpy(), pb="lasso", alphas=[alpha], tol=GAP / 2, max_iter=100)[1][:, 0]
    )


def by_sklearn(X: Tensor, y: Tensor, alpha: float) -> Callable[[], Tensor]:
    from sklearn.linear_model import Lasso

    design = np.asfortranarray(X.double().numpy())
    model = Lasso(alpha=alpha, fit_intercept=False, tol=GAP / 2, max_iter=10**5, copy_X=False)
    return lambda: torch.from_numpy(model.fit(design, y.numpy(), check_input=False).coef_)


def by_skglm(X: Tensor, y: Tensor, alpha: float) -> Callable[[], Tensor]:
    from skglm import Lasso

    design = np.asfortranarray(X.double().numpy())
    model = Lasso(alpha=alpha, fit_intercept=False, tol=1e-4 * alpha, max_iter=200)
    return lambda: torch.from_numpy(model.fit(design, y.numpy()).coef_)


SOLVERS = {"ccprune": by_ccprune, "celer": by_celer, "skglm": by_skglm, "scikit-learn": by_sklearn}


def by_truncated_gradient(X: Tensor, y: Tensor, alpha: float) -> Callable[[], Tensor]:
    return lambda: truncated_gradient(X, y, alpha, seed=0).support


def by_sgd(X: Tensor, y: Tensor, alpha: float) -> Callable[[], Tensor]:
    from sklearn.linear_model import SGDRegressor

    design = X.double().numpy()
    model = SGDRegressor(
        penalty="l1",
        alpha=alpha,
        fit_intercept=False,
        eta0=0.01,
        power_t=0.25,
        max_iter=1000,
        tol=1e-4,
        n_iter_no_change=2,
        random_state=0,
    )
    return lambda: torch.from_numpy(model.fit(design, y.numpy()).coef_ != 0)


STEPPERS = {"ccprune, truncated_gradient": by_truncated_gradient, "scikit-learn, SGDRegressor": by_sgd}
