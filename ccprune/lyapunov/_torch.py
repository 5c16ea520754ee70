"""Stretching curves as in `ccprune.lyapunov._cpu`, by blocked torch operations for devices other than the CPU."""

import torch
from torch import Tensor

from ccprune._util.checks import rows_within

# Memory of each pair of points: at most three float64 or int64 numbers, and four booleans.
_PAIR_BYTES = 3 * 8 + 4


def stretching_curves(
    series: Tensor,
    embed_dim: int,
    delay: int,
    theiler: int,
    steps: int,
    upto: int,
    neighbourhood: float,
    max_bytes: int,
) -> Tensor:
    """Compute S(0..upto) of series (N, n) as (N, upto + 1); see `ccprune.lyapunov.stretching_curves`."""
    points = series.shape[1] - delay * (embed_dim - 1) - steps
    rows = rows_within(max_bytes, _PAIR_BYTES * points * points, "one series")
    blocks = [_curves(block, points, embed_dim, delay, theiler, upto, neighbourhood) for block in series.split(rows)]
    return torch.cat(blocks)


def _curves(
    series: Tensor, points: int, embed_dim: int, delay: int, theiler: int, upto: int, neighbourhood: float
) -> Tensor:
    low = series.amin(1, keepdim=True)
    extent = series.amax(1, keepdim=True) - low
    x = (series - low) / torch.where(extent == 0, 1.0, extent)
    base = points - theiler
    squared = x.new_zeros(x.shape[0], base, points)
    for c in range(embed_dim):
        shifted = x[:, c * delay : c * delay + points]
        squared += (shifted[:, :base, None] - shifted[:, None, :]).square()
    index = torch.arange(points, device=x.device)
    near_in_time = (index[:base, None] - index[None, :]).abs() <= theiler
    twins = ((squared == 0) & ~near_in_time).any(2)
    squared.masked_fill_(near_in_time | (squared == 0), torch.inf)
    nearest = squared.amin(2)
    # Among equally near points the highest index is chosen, as in the compiled kernel.
    partner = torch.where(squared == nearest[..., None], index, -1).amax(2)
    paired = nearest.isfinite() & ~(twins & (nearest > (neighbourhood / extent).square()))
    curve = []
    for k in range(upto + 1):
        distance = torch.zeros_like(nearest)
        for c in range(embed_dim):
            ahead = x[:, k + c * delay :]
            distance += (ahead[:, :base] - ahead.gather(1, partner)).square()
        counted = paired & (distance > 0)
        total = torch.where(counted, distance, 1.0).log().sum(1)
        found = counted.sum(1)
        curve.append(torch.where(found > 0, total / found / 2.0, torch.nan))
    return torch.stack(curve, 1)
