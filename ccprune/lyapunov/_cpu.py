"""Compiled kernels for `ccprune.lyapunov` with tensors on the CPU.

Two exact searches for nearest neighbours give the same curves. In short series every pair of points is compared, for
several series side by side: element t * width + s of an array belongs to point t of series s. All pairs of one lag are
then one contiguous loop without branches, which the compiler vectorises. In long series the points are sorted by
the first delay coordinate, and the search scans outwards until the distance in that coordinate alone exceeds that of
the best neighbour so far. On a weight series, which is smooth, it examines a few candidates instead of all points.
"""

import math

import numba
import numpy as np
from numba.core.codegen import get_host_cpu_features

from ccprune._util.threads import torch_threads_kept

_TINY, _HUGE = 1e-140, 1e140
# Points up to which comparing all pairs of recorded weights is at least as fast as sorting.
_MOST_POINTS = 200 if "+avx512f" in get_host_cpu_features() else 100
_LINE = 8  # numbers of a cache line; vectors that cross lines load at half the speed


def block_width(points: int, embed_dim: int, neighbourhood: float) -> int:
    """Return the number of series to compare side by side, or 0 where the sorted search is as fast or needed.

    Only the sorted search takes one dimension, where it is the fastest, or a finite neighbourhood. The limits are
    measured: the arrays of a block should stay in the processor's innermost cache.
    """
    if points > _MOST_POINTS or embed_dim == 1 or neighbourhood < math.inf:
        return 0
    return 16 if points <= 100 else 8


@numba.njit(cache=True)
def _compare_pairs(x, width, embed_dim, delay, theiler, points, work, partner):
    """Write the index in `x` of the nearest point at non-zero distance to `partner`, or the point's own if none exists.

    The last row of `work` holds the lags of the nearest later points and those of the nearest earlier points.
    Among equally near points the one with the highest index is chosen, as in TISEAN, whose box list is traversed in
    that order when one box contains all points.
    """
    partial, later, earlier = work[0], work[1], work[2]
    lags = work[3].view(np.float32)
    later_lag, earlier_lag = lags[: work.shape[1]], lags[work.shape[1] :]
    partial[:], later[:], earlier[:] = 0.0, np.inf, np.inf
    step = delay * width
    last = step * (embed_dim - 1)
    for lag in range(theiler + 1, points):
        shift, pairs, mark = lag * width, (points - lag) * width, np.float32(lag)
        for c in range(embed_dim - 2):
            here, there = x[c * step :], x[c * step + shift :]
            for m in range(pairs):
                gap = (here[m] - there[m]) ** 2
                partial[m] = gap if c == 0 else partial[m] + gap
        here, there, here_last, there_last = x[last - step :], x[last - step + shift :], x[last:], x[last + shift :]
        best, best_lag = earlier[shift:], earlier_lag[shift:]
        for m in range(pairs):
            distance = partial[m] + (here[m] - there[m]) ** 2 + (here_last[m] - there_last[m]) ** 2
            distance = distance if distance > 0.0 else np.inf
            # The last of equally near later points has the highest index, and the first of the earlier points. `min`
            # instead of a second condition avoids masked stores, which are slower.
            before, before_lag = later[m], later_lag[m]
            later_lag[m] = mark if distance <= before else before_lag
            later[m] = min(distance, before)
            before, before_lag = best[m], best_lag[m]
            best_lag[m] = mark if distance < before else before_lag
            best[m] = min(distance, before)
    for m in range(partner.size):
        partner[m] = m
        if later[m] <= earlier[m] and later[m] < np.inf:
            partner[m] += width * int(later_lag[m])
        elif earlier[m] < np.inf:
            partner[m] -= width * int(earlier_lag[m])


@numba.njit(cache=True)
def _nearest(embedded, order, place, theiler, twin_limit):
    """Return the index of the nearest point as in `_compare_pairs` for the point at `place` in the order.

    embedded (points, embed_dim) and order (points,) are sorted by the first coordinate.
    """
    best = np.inf
    best_index = -1
    has_twin = False
    for step in (1, -1):
        other = place + step
        while 0 <= other < order.size:
            distance = (embedded[place, 0] - embedded[other, 0]) ** 2
            if distance > best:
                break
            index = order[other]
            if theiler == 0 or abs(order[place] - index) > theiler:
                for c in range(1, embedded.shape[1]):
                    distance += (embedded[place, c] - embedded[other, c]) ** 2
                if distance == 0.0:
                    has_twin = True
                elif distance < best or (distance == best and index > best_index):
                    best = distance
                    best_index = index
            other += step
    return order[place] if best_index < 0 or (has_twin and best > twin_limit) else best_index


@numba.njit(cache=True)
def _scan_sorted(x, embed_dim, delay, theiler, points, twin_limit, partner):
    """Write the nearest points of one series to `partner`; see `_compare_pairs`."""
    order = np.argsort(x[:points])
    embedded = np.empty((points, embed_dim))
    for place in range(points):
        for c in range(embed_dim):
            embedded[place, c] = x[order[place] + c * delay]
    for place in range(points):
        if order[place] < partner.size:
            partner[order[place]] = _nearest(embedded, order, place, theiler, twin_limit)


@numba.njit(cache=True)
def _curves(x, width, embed_dim, delay, partner, distance, curves):
    """Write S(0..upto) of rescaled series to `curves` (width, upto + 1); NaN where no pair exists."""
    for k in range(curves.shape[1]):
        for c in range(embed_dim):
            here = x[(k + c * delay) * width :]
            for m in range(partner.size):
                gap = (here[m] - here[partner[m]]) ** 2
                distance[m] = gap if c == 0 else distance[m] + gap
        # The logarithm is the slowest operation, so it is taken of products before they leave the range of float64. A
        # factor is at most 4 times the embedding dimension.
        for s in range(width):
            total, product, found = 0.0, 1.0, 0
            for m in range(s, partner.size, width):
                if distance[m] > 0.0:
                    found += 1
                    if distance[m] < _TINY:
                        total += math.log(distance[m])
                    else:
                        product *= distance[m]
                        if product < _TINY or product > _HUGE:
                            total += math.log(product)
                            product = 1.0
            curves[s, k] = (total + math.log(product)) / found / 2.0 if found else np.nan


@numba.njit(cache=True, error_model="numpy")
def _rescale(x, size):
    """Rescale series to [0, 1], constant ones to 0, and return their extents (size,)."""
    low, high = x[:size].copy(), x[:size].copy()
    for first in range(size, x.size, size):
        row = x[first : first + size]
        for s in range(size):
            low[s] = min(low[s], row[s])
            high[s] = max(high[s], row[s])
    extent = high - low
    divisor = np.where(extent == 0.0, 1.0, extent)
    for first in range(0, x.size, size):
        row = x[first : first + size]
        for s in range(size):
            row[s] = (row[s] - low[s]) / divisor[s]
    return extent


def stretching_curves(series, embed_dim, delay, theiler, steps, upto, neighbourhood, width):
    """Compute S(0..upto) of series (N, n) as (N, upto + 1); see `ccprune.lyapunov.stretching_curves`.

    `width` is the number of series that are compared side by side, or 0 for the sorted search.
    """
    strides = tuple(stride // series.itemsize for stride in series.strides)
    span = 1 + sum((size - 1) * stride for size, stride in zip(series.shape, strides, strict=True))
    # One dimension, because a kernel is compiled again for each memory layout of two.
    memory = np.lib.stride_tricks.as_strided(series, (span if series.size else 0,), (series.itemsize,))
    return _all_curves(memory, strides, series.shape, embed_dim, delay, theiler, steps, upto, neighbourhood, width)


@torch_threads_kept
@numba.njit(parallel=True, cache=True)
def _all_curves(series, strides, shape, embed_dim, delay, theiler, steps, upto, neighbourhood, width):
    count, n = shape
    points = n - delay * (embed_dim - 1) - steps
    out = np.full((count, upto + 1), np.nan)
    most = max(1, width)
    for block in numba.prange((count + most - 1) // most):
        first = block * most
        size = min(most, count - first)
        row = (n * size + _LINE - 1) // _LINE * _LINE
        memory = np.zeros(5 * row + _LINE)
        start = (-memory.ctypes.data // 8) % _LINE
        work = memory[start : start + 5 * row].reshape((5, row))
        x = work[4]
        for t in range(n):
            for s in range(size):
                x[t * size + s] = series[(first + s) * strides[0] + t * strides[1]]
        extent = _rescale(x[: n * size], size)
        partner = np.empty((points - theiler) * size, np.int64)
        if width > 0:
            _compare_pairs(x, size, embed_dim, delay, theiler, points, work[:4], partner)
        elif extent[0] > 0.0:
            _scan_sorted(x, embed_dim, delay, theiler, points, (neighbourhood / extent[0]) ** 2, partner)
        if width > 0 or extent[0] > 0.0:
            _curves(x, size, embed_dim, delay, partner, work[0], out[first : first + size])
    return out


@torch_threads_kept
@numba.njit(parallel=True, cache=True)
def least_costs(total, square, threshold):
    """Compute the costs of the best partitions, with the bits of `ccprune.lyapunov._jumps._least_costs`."""
    count, n = total.shape
    out = np.empty(count)
    for s in numba.prange(count):
        found = np.zeros(n)
        for end in range(1, n):
            least = np.inf
            for start in range(end):
                step = total[s, end] - total[s, start]
                cost = square[s, end] - square[s, start] - step * step / (end - start)
                least = min(least, found[start] + cost + threshold)
            found[end] = least
        out[s] = found[n - 1]
    return out
