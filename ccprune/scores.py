"""Scores: one number per prunable weight, {parameter name: Tensor of its shape}, larger = keep."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from ccprune._modes import evaluating
from ccprune.granger import granger_test
from ccprune.mask import prunable

PRUNE = ("noncausal", "causal")


def legcnet(
    exponents: Mapping[str, Tensor],
    risk: Tensor,
    *,
    max_lag: int,
    test: str = "ssr_chi2",
    augment: int = 0,
    prune: str = "noncausal",
) -> dict[str, Tensor]:
    """Granger score of each weight's Lyapunov exponents against the misclassification risk (LEGCNet section 3.6).

    Parameters
    ----------
    exponents : {name: Tensor (K, *shape)}
        Exponents per window, from `lyapunov.windowed_exponents`.
    risk : Tensor (K,)
        Misclassification risk at the windows' ends.
    max_lag, test, augment
        As in `granger.granger_test`.
    prune : str
        "noncausal": score 1 - p, so weights without a causal effect go first (section 3.6). "causal": score p, the
        other reading (section 4). p is the smallest over the lags. Weights that cannot be tested score 1: they stay.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    if prune not in PRUNE:
        raise ValueError(f"prune must be one of {PRUNE}, got {prune!r}")
    if not exponents:
        raise ValueError("exponents must name at least one parameter")
    columns = torch.cat([value.flatten(1) for value in exponents.values()], 1)
    result = granger_test(risk, columns, max_lag=max_lag, test=test, augment=augment)
    score = 1.0 - result.min_p if prune == "noncausal" else result.min_p
    score = torch.where(result.infeasible, 1.0, score)
    parts = score.split([value[0].numel() for value in exponents.values()])
    return {name: part.reshape(value.shape[1:]) for (name, value), part in zip(exponents.items(), parts, strict=True)}


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """Absolute value of each prunable weight (Han et al., 2015)."""
    return {name: weight.detach().abs().clone() for name, weight in prunable(model).items()}


def random(model: nn.Module, *, seed: int) -> dict[str, Tensor]:
    """Independent uniform numbers: the control that any score has to beat."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(weight.shape, generator=generator, dtype=torch.float64).to(weight.device)
        for name, weight in prunable(model).items()
    }


def lamp(model: nn.Module) -> dict[str, Tensor]:
    """Layer-adaptive magnitude: w^2 over the sum of the squares of its layer's weights that are not smaller.

    (Lee et al., 2021, "Layer-adaptive sparsity for the magnitude-based pruning", eq. 1.) Ranked over all layers, each
    layer keeps at least its largest weight. Of equal weights the earlier counts as the smaller, as in
    `Mask.from_scores`.
    """
    found = {}
    for name, weight in prunable(model).items():
        # Pruned weights are 0 and score 0; in float64, because the sum runs over millions of squares.
        squares, order = weight.detach().double().square().flatten().sort(stable=True)
        rest = squares.flip(0).cumsum(0).flip(0)
        score = torch.zeros_like(squares)
        score[order] = torch.where(rest > 0, squares / rest.clamp_min(torch.finfo(rest.dtype).tiny), 0.0)
        found[name] = score.reshape(weight.shape)
    return found


def fisher(model: nn.Module, x: Tensor, y: Tensor, *, chunk: int = 64) -> dict[str, Tensor]:
    """Diagonal of the empirical Fisher: mean over samples of the squared gradient of the log-likelihood.

    x (n, ...) inputs, y (n,) class labels; the model, in eval mode meanwhile, returns logits. `chunk` samples are
    differentiated at once. The labels are the data's own, which makes it the empirical one (Kunstner et al., 2019).
    Raises ValueError when x and y differ in length.
    """
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"x and y must have the same length, at least 1, got {len(x)} and {len(y)}")
    weights = {name: weight.detach() for name, weight in prunable(model).items()}
    rest = {name: value.detach() for name, value in (*model.named_parameters(), *model.named_buffers())}

    def negative_log_likelihood(weights: dict[str, Tensor], sample: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, rest | weights, sample[None])
        return cross_entropy(logits.float(), label[None])

    per_sample = vmap(grad(negative_log_likelihood), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    with evaluating(model):
        for first in range(0, len(x), chunk):
            gradients = per_sample(weights, x[first : first + chunk], y[first : first + chunk])
            for name, gradient in gradients.items():
                total[name] += gradient.double().square().sum(0)
    return {name: value / len(x) for name, value in total.items()}
