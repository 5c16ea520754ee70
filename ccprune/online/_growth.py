"""What comes back: how it is ranked, and where it begins."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

GROWTHS = ("gradient", "random")


def rank(rule: str, weights: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Size of the gradient, 0 where there is none; or random numbers, which are the same on every device."""
    if rule == "random":
        return {name: torch.rand(w.shape, generator=generator).to(w.device) for name, w in weights.items()}
    return {name: torch.zeros_like(w) if w.grad is None else w.grad.abs() for name, w in weights.items()}


def reset(optimizer: Optimizer, weights: Mapping[str, Tensor], grown: Mapping[str, Tensor]) -> None:
    """Momentum, moments and whatever else the optimiser keeps by weight are 0 where weights come back."""
    for name, places in grown.items():
        weight = weights[name]
        for value in optimizer.state.get(weight, {}).values():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                value.masked_fill_(places, 0.0)
