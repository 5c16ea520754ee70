"""Detection of jumps of the mean in series."""

import torch
from torch import Tensor

from ccprune._util.series import check_series
from ccprune.lyapunov import _cpu


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
    total = torch.nn.functional.pad(values.cumsum(1), (1, 0))
    square = torch.nn.functional.pad(values.square().cumsum(1), (1, 0))
    # No partition saves more than the whole sum of squares, so series with a small sum need no search.
    doubtful = square[:, -1] > threshold
    total, square = total[doubtful], square[doubtful]
    if series.device.type == "cpu":
        cost = torch.from_numpy(_cpu.least_costs(total.numpy(), square.numpy(), float(threshold)))
    else:
        cost = _least_costs(total, square, threshold)
    jumps = torch.zeros_like(doubtful)
    jumps[doubtful] = cost < (square[:, -1] + threshold) * (1 - 1e-12)
    return jumps


def _least_costs(total: Tensor, square: Tensor, threshold: float) -> Tensor:
    """Return the cost (N,) of the best partition; a segment costs its sum of squares plus the threshold.

    `total` and `square` (N, n + 1) have the sums of the first 0 to n values and of their squares.
    """
    found = torch.zeros_like(total)  # of the first t values
    for end in range(1, total.shape[1]):
        length = torch.arange(end, 0, -1, dtype=torch.float64, device=total.device)
        cost = square[:, end : end + 1] - square[:, :end]
        cost = cost - (total[:, end : end + 1] - total[:, :end]).square() / length
        found[:, end] = (found[:, :end] + cost + threshold).amin(1)
    return found[:, -1]
