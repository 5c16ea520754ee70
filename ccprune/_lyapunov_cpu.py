"""Compiled kernel behind `ccprune.lyapunov` for tensors on the CPU.

Neighbours are found by sorting on the first delay coordinate and scanning outwards until that coordinate alone is
further away than the best neighbour so far. It is exact, needs memory for one series only, and on a weight series,
which is smooth, looks at a handful of candidates instead of all of them.
"""

import math

import numba
import numpy as np


@numba.njit(cache=True)
def _nearest(x, order, rank, points, i, embed_dim, delay, theiler, twin_limit):
    """Index of the nearest point at non-zero distance, or -1.

    Among equally near points the one with the highest index wins, which is the order in which TISEAN's box lists
    are walked when one box holds everything.
    """
    best = np.inf
    best_j = -1
    has_twin = False
    left = rank[i] - 1
    right = rank[i] + 1
    while left >= 0 or right < points:
        # Whichever side is nearer in the first coordinate goes first, so the bound tightens early.
        gap_left = (x[i] - x[order[left]]) ** 2 if left >= 0 else np.inf
        gap_right = (x[i] - x[order[right]]) ** 2 if right < points else np.inf
        if gap_left <= gap_right:
            gap = gap_left
            j = order[left]
            left -= 1
        else:
            gap = gap_right
            j = order[right]
            right += 1
        if gap > best:
            break
        if abs(i - j) <= theiler:
            continue
        distance = 0.0
        for c in range(embed_dim):
            step = x[i + c * delay] - x[j + c * delay]
            distance += step * step
        if distance == 0.0:
            has_twin = True
        elif distance < best or (distance == best and j > best_j):
            best = distance
            best_j = j
    if has_twin and best > twin_limit:
        return -1
    return best_j


@numba.njit(cache=True)
def _curve(x, embed_dim, delay, theiler, steps, upto, twin_limit, out):
    """Writes S(0..upto) of one rescaled series into `out`; NaN where no pair exists."""
    points = x.size - delay * (embed_dim - 1) - steps
    base = points - theiler
    order = np.argsort(x[:points])
    rank = np.empty(points, np.int64)
    for position in range(points):
        rank[order[position]] = position
    total = np.zeros(upto + 1)
    found = np.zeros(upto + 1, np.int64)
    for i in range(base):
        j = _nearest(x, order, rank, points, i, embed_dim, delay, theiler, twin_limit)
        if j < 0:
            continue
        for k in range(upto + 1):
            distance = 0.0
            for c in range(embed_dim):
                step = x[i + k + c * delay] - x[j + k + c * delay]
                distance += step * step
            if distance > 0.0:
                total[k] += math.log(distance)
                found[k] += 1
    for k in range(upto + 1):
        out[k] = total[k] / found[k] / 2.0 if found[k] else np.nan


@numba.njit(parallel=True, cache=True)
def stretching_curves(series, embed_dim, delay, theiler, steps, upto, neighbourhood):
    """S(0..upto) for series (N, n) -> (N, upto + 1); see `ccprune.lyapunov.stretching_curves`."""
    count = series.shape[0]
    out = np.empty((count, upto + 1))
    for s in numba.prange(count):
        low = series[s].min()
        extent = series[s].max() - low
        if extent == 0.0:
            out[s] = np.nan
        else:
            x = (series[s] - low) / extent
            twin_limit = (neighbourhood / extent) ** 2
            _curve(x, embed_dim, delay, theiler, steps, upto, twin_limit, out[s])
    return out
