"""Ranking of pruned weights for regrowth, and the optimiser state of regrown weights."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

GROWTHS = ("gradient", "random")


def rank(rule: str, weights: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Return the absolute gradient, 0 for a weight without one, or random numbers that are equal on every device."""
    if rule == "random":
        return {name: torch.rand(w.shape, generator=generator).to(w.device) for name, w in weights.items()}
    return {name: torch.zeros_like(w) if w.grad is None else w.grad.abs() for name, w in weights.items()}


def reset(optimizer: Optimizer, weights: Mapping[str, Tensor], grown: Mapping[str, Tensor]) -> None:
    """Set momentum, moments and all other optimiser state in a weight's shape to 0 where weights are regrown."""
    for name, places in grown.items():
        weight = weights[name]
        for value in optimizer.state.get(weight, {}).values():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                value.masked_fill_(places, 0.0)
