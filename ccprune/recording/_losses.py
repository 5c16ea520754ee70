"""Losses that a recorder is given."""

from collections.abc import Sequence

import torch
from torch import Tensor


def asynchronous(device: torch.device) -> bool:
    """Return whether the host does not wait for the device."""
    return device.type != "cpu"


def mean_loss(loss: Tensor | Sequence[Tensor]) -> tuple[Tensor, int]:
    """Return the mean in float64, as a new tensor, and the number of losses."""
    parts = [loss] if isinstance(loss, Tensor) else loss
    if not isinstance(parts, Sequence) or not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(f"loss must be a Tensor or a sequence of Tensors, got {type(loss).__name__}")
    if not parts or any(part.numel() != 1 or not part.is_floating_point() for part in parts):
        shapes = [(tuple(part.shape), part.dtype) for part in parts]
        raise ValueError(f"loss must be one real number per micro-batch, got {shapes}")
    return torch.stack([part.detach().reshape(()).to(torch.float64) for part in parts]).mean(), len(parts)
