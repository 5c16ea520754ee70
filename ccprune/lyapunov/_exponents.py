"""Largest Lyapunov exponents of many short series by the method of Rosenstein, Collins and De Luca (1993).

A series is embedded in delay coordinates, and each point is paired with its nearest neighbour. The stretching curve
S(k) is the mean logarithm of the distance of the pairs k steps later. The slope of S is the exponent, in units of
1/step. Numerically this is TISEAN's `lyap_r` (Hegger, Kantz and Schreiber, 1999), which LEGCNet calls (section 3.3).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ccprune._util.checks import require_at_least, rows_within
from ccprune._util.series import Series, as_tensor, check_series
from ccprune._util.threads import one_thread
from ccprune.lyapunov import _cpu as _lyapunov_cpu
from ccprune.lyapunov import _torch as _lyapunov_torch
from ccprune.lyapunov._jumps import has_jump
from ccprune.lyapunov._slopes import fit_range, slopes

MAX_BYTES = 2**28  # default working memory
_ENOUGH = 2**16  # numbers in series that are worth a second thread, a few milliseconds


def window_count(points: int, window: int, stride: int) -> int:
    """Number of whole windows in a series.

    Parameters
    ----------
    points : int
        Number of rows of the series.
    window, stride : int
        Length of a window, and distance between the first rows of two, at least 1; else ValueError.

    Examples
    --------
    >>> window_count(100, window=50, stride=45)
    2
    """
    require_at_least(1, window=window, stride=stride)
    return 0 if points < window else (points - window) // stride + 1


def stretching_curves(
    series: Series,
    *,
    embed_dim: int = 2,
    delay: int = 1,
    theiler: int = 0,
    steps: int = 20,
    neighbourhood: float | None = None,
    upto: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> Tensor:
    """Stretching curves S(k), k = 0..upto, of N series.

    Each series is first rescaled to [0, 1]. Base points and candidate neighbours are the points that have at least
    `steps` successors. The neighbour of a point is the nearest point at non-zero distance. Distances that become zero
    at a later step are excluded from the mean.

    Parameters
    ----------
    series : Tensor, array or DataFrame (N, n)
        Series, float32 or float64, finite. The computation is in float64.
    embed_dim, delay : int, default 2 and 1
        Embedding dimension, and delay in steps.
    theiler : int, default 0
        Theiler window: points at most this many steps apart are not neighbours.
    steps : int, default 20
        Number of steps that every pair is followed; with more steps there are fewer base points.
    neighbourhood : float or None, default None
        Size of TISEAN's initial neighbourhood in the units of the series (its option -r). It matters only for points
        with an exact copy in the series: such a point is used only if it also has a neighbour at non-zero distance
        within this size. None: no limit.
    upto : int or None, default None
        Last k that is returned; None is `steps`.
    max_bytes : int, default `MAX_BYTES`
        Working memory in bytes on devices other than the CPU, where all points of a series are compared at once. Series
        that do not fit together are processed in blocks. The CPU needs a few times one series per thread, or a few
        times 16 series of at most 200 points.

    Returns
    -------
    Tensor (N, upto + 1), float64
        Curves, with NaN where no pair exists; for a constant series all values are NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid (the message names it), if the series are too short for the embedding and the steps,
        or if one series alone needs more than `max_bytes`.

    Examples
    --------
    Neighbours in a series that doubles the distances of its points at each step are twice as far apart after a step.

    >>> import math
    >>> series = torch.tensor([[0.1 * 2.0**k for k in range(12)]])
    >>> curve = stretching_curves(series, embed_dim=1, steps=2)[0]
    >>> [round(value, 3) for value in (curve[1:] - curve[:-1]).tolist()] == [round(math.log(2), 3)] * 2
    True
    """
    series = as_tensor("series", series)
    check_series("series", series)
    require_at_least(1, embed_dim=embed_dim, delay=delay, steps=steps)
    require_at_least(0, theiler=theiler)
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
    series = series.detach().to(torch.promote_types(series.dtype, torch.float32))
    options = (embed_dim, delay, theiler, steps, upto, limit)
    if series.device.type != "cpu":
        return _lyapunov_torch.stretching_curves(series.to(torch.float64), *options, max_bytes)
    width = _lyapunov_cpu.block_width(series.shape[1] - delay * (embed_dim - 1) - steps, embed_dim, limit)
    with one_thread(series.numel() < _ENOUGH):
        return torch.from_numpy(_lyapunov_cpu.stretching_curves(series.numpy(), *options, width))


def windowed_exponents(
    series: Series,
    *,
    window: int,
    stride: int,
    steps: int,
    fit: str | tuple[int, int] = "first_step",
    embed_dim: int = 2,
    delay: int = 1,
    theiler: int = 0,
    decimals: int | None = None,
    min_range: float = 0.0,
    jump_threshold: float | None = None,
    max_bytes: int = MAX_BYTES,
) -> Tensor:
    """Lyapunov exponent of every window of every series; window k is rows stride k .. stride k + window - 1.

    Parameters
    ----------
    series : Tensor, array or DataFrame (n, M)
        One series per column.
    window, stride : int
        Length of the windows, and distance between their first rows, in steps.
    steps : int
        Number of steps that every pair of neighbours is followed.
    embed_dim, delay, theiler : int, default 2, 1 and 0
        Embedding dimension, delay, and number of steps up to which points are not neighbours.
    fit : "first_step", "linear" or (first, last), default "first_step"
        "first_step" is S(1) - S(0), which is equivalent to LEGCNet's scripts. A pair is the least-squares slope of S
        over k = first..last, the usual choice in the field. "linear" is the slope over k = 0..steps.
    decimals : int or None, default None
        Round windows and exponents to this number of decimals, as LEGCNet's text files do (6). The neighbours in a
        slowly changing series depend on it.
    min_range : float, default 0
        The exponent of a window with a smaller range is 0, because such a window counts as constant. It is in the units
        of the series; with the default, exponents do not depend on the unit. LEGCNet's scripts take 1e-5.
    jump_threshold : float or None, default None
        The exponent of a window is 0 if a piecewise constant mean improves the fit by more than this per change point.
        The window script for LEGCNet-PT applies MATLAB's `ischange` with threshold 1.
    max_bytes : int, default `MAX_BYTES`
        Working memory in bytes beside the series and the result. Windows overlap, and all of them together would need
        window / stride times the memory of the series, so they are processed in blocks.

    Returns
    -------
    Tensor (K, M), float64
        Exponents per step, with 0 where no pair exists (for instance if only the last `steps` points of a window
        differ).

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid (the message names it), or if not even one window fits into the series or into
        `max_bytes`.

    Examples
    --------
    >>> series = torch.rand(100, 3, generator=torch.Generator().manual_seed(0))
    >>> series[:, 2] = 1.0
    >>> found = windowed_exponents(series, window=50, stride=25, steps=3)
    >>> found.shape, (found[:, :2] > 0).all().item(), found[:, 2].tolist()  # noise has positive exponents, too
    (torch.Size([3, 3]), True, [0.0, 0.0, 0.0])
    """
    series = as_tensor("series", series)
    check_series("series", series)
    count = window_count(series.shape[0], window, stride)
    if count == 0:
        raise ValueError(f"window={window} does not fit into series of {series.shape[0]} rows")
    # Per window: its values, the rounded values and a float64 copy, and the sums that the search for jumps stores.
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
    """Divide a table into parts of at most `most` entries, in whole rows where a row fits."""
    high, wide = max(1, most // max(1, columns)), min(most, max(1, columns))
    for first in range(0, rows, high):
        for left in range(0, columns, wide):
            yield slice(first, min(first + high, rows)), slice(left, min(left + wide, columns))


def exponents_of(
    series: Series,
    *,
    steps: int,
    fit: str | tuple[int, int] = "first_step",
    embed_dim: int = 2,
    delay: int = 1,
    theiler: int = 0,
    decimals: int | None = None,
    min_range: float = 0.0,
    jump_threshold: float | None = None,
    max_bytes: int = MAX_BYTES,
) -> Tensor:
    """Lyapunov exponent of each whole series, in place of windows of it.

    Parameters
    ----------
    series : Tensor, array or DataFrame (N, n)
        One series per row.
    steps, fit, embed_dim, delay, theiler, decimals, min_range, jump_threshold
        Settings of the exponent, those of `windowed_exponents`.
    max_bytes : int
        Working memory in bytes on devices other than the CPU.

    Returns
    -------
    Tensor (N,), float64
        Exponents per step, with 0 where no pair exists.

    Examples
    --------
    >>> x = torch.full((1, 500), 0.3, dtype=torch.float64)
    >>> for k in range(499):
    ...     x[:, k + 1] = 4 * x[:, k] * (1 - x[:, k])
    >>> round(exponents_of(x, steps=5, fit=(0, 3), embed_dim=1).item(), 1)  # ln 2 = 0.69
    0.7
    """
    series = as_tensor("series", series)
    first, last = fit_range(fit, steps)
    values = series if decimals is None else torch.round(series, decimals=decimals)
    options = {"embed_dim": embed_dim, "delay": delay, "theiler": theiler, "max_bytes": max_bytes}
    curves = stretching_curves(values, steps=steps, upto=last, **options)
    exponents = slopes(curves, first=first, last=last)
    exponents[exponents.isnan()] = 0.0
    if min_range > 0:
        exponents[(series.amax(1) - series.amin(1)) < min_range] = 0.0
    if jump_threshold is not None:
        exponents = torch.where(has_jump(series, threshold=jump_threshold), 0.0, exponents)
    return exponents if decimals is None else torch.round(exponents, decimals=decimals)
