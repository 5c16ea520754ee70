"""Checks of series, for `ccprune.lyapunov` and `ccprune.granger`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

#: A Tensor, an array of NumPy, or a DataFrame or Series of pandas.
Series = Any


def as_tensor(name: str, series: Any) -> Tensor:
    """Return an array of NumPy or a DataFrame or Series of pandas as a Tensor, or raise TypeError for anything else."""
    if isinstance(series, Tensor):
        return series
    array = series.to_numpy() if hasattr(series, "to_numpy") else series
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        kind = type(series).__name__ + (f" of {array.dtype}" if isinstance(array, np.ndarray) else "")
        raise TypeError(f"{name} must be a Tensor, or an array or DataFrame of numbers, got {kind}")
    return torch.tensor(array, dtype=None if array.dtype.kind == "f" else torch.float64)


def check_series(name: str, series: Tensor) -> None:
    """Raise TypeError or ValueError unless the series (N, n) are finite floating-point numbers."""
    if not isinstance(series, Tensor):
        raise TypeError(f"{name} must be a Tensor, got {type(series).__name__}")
    if series.ndim != 2:
        raise ValueError(f"{name} must have 2 dimensions, got shape {tuple(series.shape)}")
    if not series.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {series.dtype}")
    if not finite(series):
        raise ValueError(f"{name} must be finite, got NaN or infinite values")


def finite(values: Tensor) -> bool:
    """Return whether all values are finite, without a copy of their size."""
    return values.numel() == 0 or all(bool(torch.isfinite(bound)) for bound in torch.aminmax(values))
