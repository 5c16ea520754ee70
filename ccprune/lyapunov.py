"""Largest Lyapunov exponents of many short series at once, after Rosenstein, Collins and De Luca (1993).

A series is embedded in delay coordinates; each point is paired with its nearest neighbour, and the mean logarithm of
the pair's distance k steps later is the stretching curve S(k). The slope of S is the exponent, in units of 1/step.
Numerically this is TISEAN's `lyap_r` (Hegger, Kantz and Schreiber, 1999), which LEGCNet calls (section 3.3).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ccprune import _lyapunov_cpu, _lyapunov_torch
from ccprune._checks import at_least
from ccprune.trajectory import window_count

AUTHORS_DECIMALS = 6
AUTHORS_MIN_RANGE = 1e-5


def stretching_curves(
    series: Tensor,
    *,
    embed_dim: int = 2,
    delay: int = 1,
    theiler: int = 0,
    steps: int = 20,
    neighbourhood: float | None = None,
    upto: int | None = None,
) -> Tensor:
    """Stretching curves S(k), k = 0..upto, of N series at once.

    Each series is rescaled to [0, 1] first. Base points and candidate neighbours are those that still have `steps`
    successors. A point's neighbour is the nearest one at non-zero distance; zero distances later on are left out of
    the mean.

    Parameters
    ----------
    series : Tensor (N, n)
        float32 or float64, finite. Computed in float64.
    embed_dim, delay : int
        Embedding dimension and delay, in steps.
    theiler : int
        Pairs closer in time than or equal to this are not neighbours.
    steps : int
        How many steps every pair is followed; longer curves have fewer base points.
    neighbourhood : float or None
        Size of TISEAN's initial neighbourhood in the units of the series (its option -r). It matters only for points
        with an exact copy in the series: such a point takes part only if it also has a neighbour at non-zero distance
        within this size. None: no limit.
    upto : int or None
        Last k that is returned, `steps` by default.

    Returns
    -------
    Tensor (N, upto + 1), float64
        NaN where no pair exists, so for a constant series everywhere.

    Raises
    ------
    TypeError, ValueError
        Naming the argument; also when the series are too short for the embedding and the steps.
    """
    _check_series("series", series)
    at_least(1, embed_dim=embed_dim, delay=delay, steps=steps)
    at_least(0, theiler=theiler)
    upto = steps if upto is None else upto
    if not 0 <= upto <= steps:
        raise ValueError(f"upto must lie in 0..steps={steps}, got {upto}")
    if neighbourhood is not None and not neighbourhood > 0:
        raise ValueError(f"neighbourhood must be positive or None, got {neighbourhood}")
    shortest = delay * (embed_dim - 1) + steps + theiler + 2
    if series.shape[1] < shortest:
        raise ValueError(
            f"series have {series.shape[1]} points; embed_dim={embed_dim}, delay={delay}, theiler={theiler} and "
            f"steps={steps} need at least {shortest}"
        )
    limit = float("inf") if neighbourhood is None else float(neighbourhood)
    values = series.detach().to(torch.float64).contiguous()
    if values.device.type == "cpu":
        curves = _lyapunov_cpu.stretching_curves(values.numpy(), embed_dim, delay, theiler, steps, upto, limit)
        return torch.from_numpy(curves)
    return _lyapunov_torch.stretching_curves(values, embed_dim, delay, theiler, steps, upto, limit)


def windowed_exponents(
    series: Tensor,
    *,
    window: int,
    stride: int,
    steps: int,
    fit: str | tuple[int, int] = "first_step",
    embed_dim: int = 2,
    delay: int = 1,
    theiler: int = 0,
    decimals: int | None = None,
    min_range: float = AUTHORS_MIN_RANGE,
    jump_threshold: float | None = None,
) -> Tensor:
    """Exponent of every window of every series: window k is rows stride k .. stride k + window - 1.

    Parameters
    ----------
    series : Tensor (n, M)
    window, stride, steps : int
        In steps. `steps` as in `stretching_curves`.
    fit : "first_step", "linear" or (first, last)
        "first_step" is S(1) - S(0), what the authors' scripts amount to. A pair is the least-squares slope of S over
        k = first..last, the field's usual choice; "linear" the same over k = 0..steps.
    decimals : int or None
        Round windows and exponents to so many decimals, as the authors' text files do (6). Neighbours in a slowly
        moving series depend on it.
    min_range : float
        A window whose range is smaller has exponent 0: it does not move.
    jump_threshold : float or None
        A window that a piecewise constant mean fits better by more than this per change point has exponent 0. The
        authors' window script for LEGCNet-PT does so with MATLAB's `ischange`, threshold 1.

    Returns
    -------
    Tensor (K, M), float64
        Per step. 0 where no pair exists (a window that moves only in its last `steps` points, say).

    Raises
    ------
    TypeError, ValueError
        Naming the argument; also when not one window fits.
    """
    _check_series("series", series)
    count = window_count(series.shape[0], window, stride)
    if count == 0:
        raise ValueError(f"window={window} does not fit into series of {series.shape[0]} rows")
    blocks = series.unfold(0, window, stride)  # (K, M, window)
    options = {"embed_dim": embed_dim, "delay": delay, "theiler": theiler, "decimals": decimals}
    flat = blocks.reshape(-1, window)
    exponents = exponents_of(flat, steps=steps, fit=fit, min_range=min_range, jump_threshold=jump_threshold, **options)
    return exponents.reshape(count, -1)


def exponents_of(
    series: Tensor,
    *,
    steps: int,
    fit: str | tuple[int, int] = "first_step",
    embed_dim: int = 2,
    delay: int = 1,
    theiler: int = 0,
    decimals: int | None = None,
    min_range: float = AUTHORS_MIN_RANGE,
    jump_threshold: float | None = None,
) -> Tensor:
    """One exponent (N,) for each whole series (N, n); arguments as in `windowed_exponents`."""
    first, last = _fit_range(fit, steps)
    values = series if decimals is None else torch.round(series, decimals=decimals)
    curves = stretching_curves(values, embed_dim=embed_dim, delay=delay, theiler=theiler, steps=steps, upto=last)
    exponents = slopes(curves, first=first, last=last)
    still = (series.amax(1) - series.amin(1)) < min_range
    exponents = torch.where(still | exponents.isnan(), 0.0, exponents)
    if jump_threshold is not None:
        exponents = torch.where(has_jump(series, threshold=jump_threshold), 0.0, exponents)
    return exponents if decimals is None else torch.round(exponents, decimals=decimals)


def slopes(curves: Tensor, *, first: int, last: int) -> Tensor:
    """Least-squares slope (N,) of curves (N, k) over k = first..last, per step; NaN where the curve has a NaN."""
    if not 0 <= first < last < curves.shape[1]:
        raise ValueError(f"first and last must satisfy 0 <= first < last < {curves.shape[1]}, got {first}, {last}")
    k = torch.arange(first, last + 1, dtype=curves.dtype, device=curves.device)
    k = k - k.mean()
    return (curves[:, first : last + 1] * k).sum(1) / k.square().sum()


def has_jump(series: Tensor, *, threshold: float) -> Tensor:
    """True (N,) where splitting the series lowers the sum of squares about the mean by more than the threshold.

    The optimal partition under a penalty of `threshold` per change point (Killick et al., 2012), in the squared units
    of the series; MATLAB's `ischange(x, "mean")` has threshold 1.
    """
    _check_series("series", series)
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold}")
    values = series.to(torch.float64)
    values = values - values.mean(1, keepdim=True)
    count = values.shape[1]
    total = torch.nn.functional.pad(values.cumsum(1), (1, 0))
    square = torch.nn.functional.pad(values.square().cumsum(1), (1, 0))
    # No partition saves more than the whole sum of squares, so quiet series need no search.
    doubtful = square[:, -1] > threshold
    total, square = total[doubtful], square[doubtful]
    # found[:, t]: cheapest cost of the first t points, each segment costing its sum of squares plus the threshold.
    found = torch.zeros_like(total)
    for end in range(1, count + 1):
        length = torch.arange(end, 0, -1, dtype=torch.float64, device=values.device)
        cost = square[:, end : end + 1] - square[:, :end]
        cost = cost - (total[:, end : end + 1] - total[:, :end]).square() / length
        found[:, end] = (found[:, :end] + cost + threshold).amin(1)
    whole = square[:, -1:] + threshold
    jumps = torch.zeros_like(doubtful)
    jumps[doubtful] = (found[:, -1:] < whole - 1e-12)[:, 0]
    return jumps


def growth_rates(distances: Tensor, *, first: int, last: int) -> Tensor:
    """Exponent (B,) of the difference of two trajectories: slope of log distance (B, n) over rows first..last.

    Per step (LEGCNet section 3.4). Negative where runs converge. Raises ValueError where a distance is 0.
    """
    if not 0 <= first < last < distances.shape[1]:
        raise ValueError(f"first and last must satisfy 0 <= first < last < {distances.shape[1]}, got {first}, {last}")
    part = distances[:, first : last + 1]
    if bool((part <= 0).any()):
        raise ValueError("distances must be positive: two of the runs have met, and log 0 has no slope")
    return slopes(part.log(), first=0, last=last - first)


def _fit_range(fit: str | tuple[int, int], steps: int) -> tuple[int, int]:
    if fit == "first_step":
        return 0, 1
    if fit == "linear":
        return 0, steps
    if isinstance(fit, str) or not isinstance(fit, Sequence) or len(fit) != 2:
        raise ValueError(f"fit must be 'first_step', 'linear' or a pair (first, last), got {fit!r}")
    first, last = fit
    if not 0 <= first < last <= steps:
        raise ValueError(f"fit must satisfy 0 <= first < last <= steps={steps}, got {fit!r}")
    return first, last


def _check_series(name: str, series: Tensor) -> None:
    if not isinstance(series, Tensor):
        raise TypeError(f"{name} must be a Tensor, got {type(series).__name__}")
    if series.ndim != 2:
        raise ValueError(f"{name} must have 2 dimensions, got shape {tuple(series.shape)}")
    if not series.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {series.dtype}")
    if not bool(torch.isfinite(series).all()):
        raise ValueError(f"{name} must be finite, got NaN or infinite values")
