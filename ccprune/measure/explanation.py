"""Explanations of outputs by the inputs' features, and how far two models agree in them."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ccprune._util.checks import require_at_least
from ccprune._util.modes import eval_mode


class Agreement(NamedTuple):
    """Agreement of two models on which features matter.

    `rank_correlation` is Spearman's, of the importances, in [-1, 1]; 0 if one model uses all features equally. `top_k`
    is the share of the k most important features that both have in common, in [0, 1].
    """

    rank_correlation: float
    top_k: float
    k: int


@torch.no_grad()
def shapley_values(model: nn.Module, x: Tensor, background: Tensor, *, permutations: int = 16, seed: int = 0) -> Tensor:
    """Estimate Shapley values by random orders of the features, each used forwards and backwards, in eval mode.

    The value of a set of features is the mean output over the background samples, with these features taken from x. For
    every sample and output the values sum to the output minus the mean output of the background.

    Parameters
    ----------
    model : Module
        Maps (n, ...) to a Tensor (n, o), or a ValueError is raised; left unchanged.
    x, background : Tensor (n, ...), Tensor (m, ...)
        Explained samples, and samples of the same shape that replace unknown features.
    permutations : int
        Number of random orders, drawn from `seed`.

    Returns
    -------
    Tensor (n, features, o), float64

    References
    ----------
    Strumbelj and Kononenko (2014); Lundberg and Lee (2017). The orders are paired as in Mitchell et al. (2022).
    """
    require_at_least(1, permutations=permutations)
    if x.ndim < 2 or not len(x) or not len(background) or background.shape[1:] != x.shape[1:]:
        shapes = f"{tuple(x.shape)} and {tuple(background.shape)}"
        raise ValueError(f"x and background must be samples (n, ...) and (m, ...) of the same features, got {shapes}")
    flat, other = x.flatten(1), background.flatten(1)
    features = flat.shape[1]
    generator = torch.Generator().manual_seed(seed)
    total: Tensor | None = None
    with eval_mode(model):
        for _ in range(permutations):
            order = torch.randperm(features, generator=generator)
            for one in (order, order.flip(0)):
                steps = _walk(model, flat, other, one.to(x.device), x.shape[1:])  # (features + 1, n, o)
                found = torch.empty_like(steps[1:])
                found[one] = steps[1:] - steps[:-1]
                total = found if total is None else total + found
    assert total is not None
    return total.transpose(0, 1) / (2 * permutations)


def _walk(model: nn.Module, x: Tensor, background: Tensor, order: Tensor, shape: torch.Size) -> Tensor:
    """Return the mean outputs while the features of x replace those of the background one by one in this order."""
    rows = background.repeat(len(x), 1, 1)  # (n, m, features)
    means = []
    for place in range(len(order) + 1):
        if place:
            rows[:, :, order[place - 1]] = x[:, None, order[place - 1]]
        outputs = model(rows.reshape(-1, *shape))
        means.append(_outputs(outputs, rows.shape[0] * rows.shape[1]).reshape(len(x), len(background), -1).mean(1))
    return torch.stack(means)


def integrated_gradients(model: nn.Module, x: Tensor, baseline: Tensor, *, steps: int = 32) -> Tensor:
    """Integrate the gradients of the outputs on the straight line from a baseline to x (midpoint rule), in eval mode.

    For every sample and output the values sum to the output minus that of the baseline, up to the rule's error. The
    baseline (...) is a sample at which no feature is present, such as the mean of the training samples. The other
    arguments, the result and errors are as in `shapley_values`.

    References
    ----------
    Sundararajan, Taly and Yan (2017), equation 3.
    """
    require_at_least(1, steps=steps)
    if x.ndim < 2 or not len(x) or baseline.shape != x.shape[1:]:
        raise ValueError(f"baseline must be one sample of x, got {tuple(baseline.shape)} for {tuple(x.shape)}")
    total = 0.0
    with eval_mode(model), torch.enable_grad():
        for step in range(steps):
            rows = (baseline + (step + 0.5) / steps * (x - baseline)).detach().requires_grad_(True)
            outputs = _outputs(model(rows * 1.0), len(rows))  # an in-place layer may not change a leaf
            slopes = [
                torch.autograd.grad(outputs[:, place].sum(), rows, retain_graph=place + 1 < outputs.shape[1])[0]
                for place in range(outputs.shape[1])
            ]
            total = total + torch.stack(slopes, -1).double().flatten(1, -2)
    assert isinstance(total, Tensor)
    return total * (x - baseline).double().flatten(1)[..., None] / steps


def _outputs(outputs: object, count: int) -> Tensor:
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != count:
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"model must give outputs (n, o), got {got} for {count} samples")
    return outputs.double()


def importance(values: Tensor, shape: torch.Size | None = None, *, side: int = 16) -> Tensor:
    """Return each feature's mean absolute value (features,) over samples and outputs of values (n, features, o).

    For images of a shape (channels, height, width) the features are at most side x side patches, whose importance is
    the mean over their pixels and channels.
    """
    found = values.abs().mean((0, 2))
    if shape is None or len(shape) != 3:
        return found
    height, width = min(side, shape[1]), min(side, shape[2])
    return adaptive_avg_pool2d(found.reshape(shape).mean(0, keepdim=True), (height, width)).flatten()


def agreement(a: ArrayLike, b: ArrayLike, *, k: int = 5) -> Agreement:
    """Compare the importances (d,) of the same features, at least 2, in two models; `k` is at most d - 1.

    Where importances are tied at the k-th place, the tied features share the remaining places.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise ValueError(f"a and b must be importances of 2 or more features, got {first.shape} and {second.shape}")
    require_at_least(1, k=k)
    from scipy.stats import spearmanr  # slow to import

    k = min(k, len(first) - 1)
    constant = np.ptp(first) == 0 or np.ptp(second) == 0
    correlation = 0.0 if constant else float(spearmanr(first, second).statistic)
    return Agreement(correlation, float(np.minimum(top_places(first, k), top_places(second, k)).sum() / k), k)


def top_places(values: np.ndarray, k: int) -> np.ndarray:
    """Return each value's share of one of the k largest places: 1, 0, or a fraction for values tied at the k-th."""
    last = np.sort(values)[-k]
    above, tied = values > last, values == last
    return above + tied * (k - above.sum()) / tied.sum()
