"""Metrics of a pilot: what is compared on validation and test samples."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ccprune import training
from ccprune._util.inputs import call, count_samples, rows
from ccprune._util.modes import eval_mode

Metric = Callable[[nn.Module, Any, Any], float]


def accuracy(model: nn.Module, x: Any, y: Tensor) -> float:
    """Return the fraction of samples whose largest output is that of their class, in eval mode."""
    return training.evaluate(model, x, y, normalise=lambda part: part).accuracy


@torch.no_grad()
def r_squared(model: nn.Module, x: Any, y: Tensor) -> float:
    """Return 1 minus the squared error over that of the targets' mean, in eval mode; 0 for targets without spread."""
    count = count_samples(x)
    with eval_mode(model):
        parts = [call(model, rows(x, slice(first, first + 1000), count=count)) for first in range(0, count, 1000)]
    outputs, targets = torch.cat(parts).double(), y.double()
    if outputs.shape != y.shape:  # their difference would have a row for every pair of samples
        raise ValueError(f"y must have the shape of the outputs, {tuple(outputs.shape)}, got {tuple(y.shape)}")
    spread = (targets - targets.mean(0)).square().sum()
    return float(1 - (outputs - targets).square().sum() / spread) if spread else 0.0


def metric_value(metric: Metric, model: nn.Module, x: Any, y: Any) -> float:
    """Return the metric as a float, or raise TypeError if it is not one number."""
    value = metric(model, x, y)
    try:
        return value.item() if isinstance(value, Tensor) else float(value)
    except (TypeError, ValueError, RuntimeError):
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise TypeError(f"metric must return one number, got {got}") from None


def bounds(metric: Any) -> tuple[float, float]:
    """Return the smallest and largest possible value of a built-in metric, and infinities for others."""
    return (0.0 if metric is accuracy else float("-inf"), 1.0 if metric in (accuracy, r_squared) else float("inf"))
