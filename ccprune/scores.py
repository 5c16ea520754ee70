"""Scores: one number per prunable weight, {parameter name: Tensor of its shape}, larger = keep."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

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
