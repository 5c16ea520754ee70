"""Checks of series and detection of jumps, for `ccprune.lyapunov` and `ccprune.granger`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

#: A Tensor, an array of NumPy, or a DataFrame or Series of pandas.
Series = Any


def has_jump(series: Tensor, *, threshold: float) -> Tensor:
    """Return True (N,) where splitting the series lowers the sum of squares about the mean by more than the threshold.

    The partition is optimal under a penalty of `threshold` per change point (Killick et al., 2012), in the squared
    units of the series. MATLAB's `ischange(x, "mean")` has threshold 1.
    """
    check_series("series", series)
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold}")
    values = series.to(torch.float64)
    values = values - values.mean(1, keepdim=True)
    count = values.shape[1]
    total = torch.nn.functional.pad(values.cumsum(1), (1, 0))
    square = torch.nn.functional.pad(values.square().cumsum(1), (1, 0))
    # No partition saves more than the whole sum of squares, so series with a small sum need no search.
    doubtful = square[:, -1] > threshold
    total, square = total[doubtful], square[doubtful]
    # found[:, t] is the lowest cost of the first t points. A segment costs its sum of squares plus the threshold.
    found = torch.zeros_like(total)
    for end in range(1, count + 1):
        length = torch.arange(end, 0, -1, dtype=torch.float64, device=values.device)
        cost = square[:, end : end + 1] - square[:, :end]
        cost = cost - (total[:, end : end + 1] - total[:, :end]).square() / length
        found[:, end] = (found[:, :end] + cost + threshold).amin(1)
    whole = square[:, -1:] + threshold
    jumps = torch.zeros_like(doubtful)
    jumps[doubtful] = (found[:, -1:] < whole * (1 - 1e-12))[:, 0]
    return jumps


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
