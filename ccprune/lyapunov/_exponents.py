"""Largest Lyapunov exponents of many short series at once, after Rosenstein, Collins and De Luca (1993).

A series is embedded in delay coordinates; each point is paired with its nearest neighbour, and the mean logarithm of
the pair's distance k steps later is the stretching curve S(k). The slope of S is the exponent, in units of 1/step.
Numerically this is TISEAN's `lyap_r` (Hegger, Kantz and Schreiber, 1999), which LEGCNet calls (section 3.3).
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ccprune._util.checks import at_least, rows_within
from ccprune._util.series import check_series, has_jump
from ccprune.lyapunov import _cpu as _lyapunov_cpu
from ccprune.lyapunov import _torch as _lyapunov_torch

AUTHORS_DECIMALS = 6
AUTHORS_MIN_RANGE = 1e-5
MAX_BYTES = 2**28  # working memory, by default


def window_count(points: int, window: int, stride: int) -> int:
    """Number of whole windows in a series of `points` rows."""
    at_least(1, window=window, stride=stride)
    return 0 if points < window else (points - window) // stride + 1


def stretching_curves(
    series: Tensor,
    *,
    embed_dim: int = 2,
    delay: int = 1,
    theiler: int = 0,
    steps: int = 20,
    neighbourhood: float | None = None,
    upto: int | None = None,
    max_bytes: int = MAX_BYTES,
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
    max_bytes : int
        Working memory on devices other than the CPU, which compare all points of a series with one another at once;
        the CPU needs a few times one series per thread. Series beyond it are taken in blocks.

    Returns
    -------
    Tensor (N, upto + 1), float64
        NaN where no pair exists, so for a constant series everywhere.

    Raises
    ------
    TypeError, ValueError
        Naming the argument; also when the series are too short for the embedding and the steps, or one alone needs
        more than `max_bytes`.
    """
    check_series("series", series)
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
    return _lyapunov_torch.stretching_curves(values, embed_dim, delay, theiler, steps, upto, limit, max_bytes)


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
    max_bytes: int = MAX_BYTES,
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
    max_bytes : int
        Working memory beside series and answer. Windows overlap, and all of them at once would take window / stride
        times the memory of the series, so they are taken in blocks.

    Returns
    -------
    Tensor (K, M), float64
        Per step. 0 where no pair exists (a window that moves only in its last `steps` points, say).

    Raises
    ------
    TypeError, ValueError
        Naming the argument; also when not one window fits into the series, or into `max_bytes`.
    """
    check_series("series", series)
    count = window_count(series.shape[0], window, stride)
    if count == 0:
        raise ValueError(f"window={window} does not fit into series of {series.shape[0]} rows")
    # Of a window: itself, rounded, in float64 and changed in place, with the sums that a search for jumps keeps.
    most = rows_within(max_bytes, 8 * 10 * window, "one window")
    exponents = torch.empty(count, series.shape[1], dtype=torch.float64, device=series.device)
    for rows, columns in _blocks(count, series.shape[1], most):
        part = series.unfold(0, window, stride)[rows, columns]  # (k, m, window)
        exponents[rows, columns] = exponents_of(
            part.reshape(-1, window),
            steps=steps,
            fit=fit,
            embed_dim=embed_dim,
            delay=delay,
            theiler=theiler,
            decimals=decimals,
            min_range=min_range,
            jump_threshold=jump_threshold,
            max_bytes=max_bytes,
        ).reshape(part.shape[:2])
    return exponents


def _blocks(rows: int, columns: int, most: int) -> Iterator[tuple[slice, slice]]:
    """Cuts a table into parts of at most so many entries, whole rows where one fits."""
    high, wide = max(1, most // max(1, columns)), min(most, max(1, columns))
    for first in range(0, rows, high):
        for left in range(0, columns, wide):
            yield slice(first, min(first + high, rows)), slice(left, min(left + wide, columns))


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
    max_bytes: int = MAX_BYTES,
) -> Tensor:
    """One exponent (N,) for each whole series (N, n); arguments as in `windowed_exponents`, max_bytes as in
    `stretching_curves`.
    """
    first, last = _fit_range(fit, steps)
    values = series if decimals is None else torch.round(series, decimals=decimals)
    options = {"embed_dim": embed_dim, "delay": delay, "theiler": theiler, "max_bytes": max_bytes}
    curves = stretching_curves(values, steps=steps, upto=last, **options)
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
