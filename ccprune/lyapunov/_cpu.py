"""Compiled kernel for `ccprune.lyapunov` with tensors on the CPU.

Points are sorted by the first delay coordinate, and the search for a neighbour scans outwards until the distance in
that coordinate alone exceeds that of the best neighbour so far. The search is exact, needs memory for one series only,
and on a weight series, which is smooth, examines a few candidates instead of all points.
"""

import math

import numba
import numpy as np

from ccprune._util.threads import torch_threads_kept

_TINY, _HUGE = 1e-140, 1e140


@numba.njit(cache=True)
def _nearest(embedded, order, place, theiler, twin_limit):
    """Return the index of the nearest point at non-zero distance from the point at `place` in the order, or -1.

    embedded (points, embed_dim) and order (points,) are sorted by the first coordinate. Among equally near points the
    one with the highest index is chosen, as in TISEAN, whose box list is traversed in that order when one box contains
    all points.
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
    if has_twin and best > twin_limit:
        return -1
    return best_index


@numba.njit(cache=True)
def _curve(x, embed_dim, delay, theiler, steps, upto, twin_limit, out):
    """Write S(0..upto) of one rescaled series to `out`; NaN where no pair exists."""
    points = x.size - delay * (embed_dim - 1) - steps
    base = points - theiler
    order = np.argsort(x[:points])
    embedded = np.empty((points, embed_dim))
    for place in range(points):
        for c in range(embed_dim):
            embedded[place, c] = x[order[place] + c * delay]
    partner = np.empty(points, np.int64)
    for place in range(points):
        if order[place] < base:
            partner[order[place]] = _nearest(embedded, order, place, theiler, twin_limit)
    # The logarithm is the slowest operation, so it is taken of products before they leave the range of float64. A
    # factor is at most 4 times the embedding dimension.
    total, product = np.zeros(upto + 1), np.ones(upto + 1)
    found = np.zeros(upto + 1, np.int64)
    for i in range(base):
        j = partner[i]
        if j < 0:
            continue
        for k in range(upto + 1):
            distance = 0.0
            for c in range(embed_dim):
                distance += (x[i + k + c * delay] - x[j + k + c * delay]) ** 2
            if distance > 0.0:
                found[k] += 1
                if distance < _TINY:
                    total[k] += math.log(distance)
                else:
                    product[k] *= distance
                    if product[k] < _TINY or product[k] > _HUGE:
                        total[k] += math.log(product[k])
                        product[k] = 1.0
    for k in range(upto + 1):
        out[k] = (total[k] + math.log(product[k])) / found[k] / 2.0 if found[k] else np.nan


@torch_threads_kept
@numba.njit(parallel=True, cache=True)
def stretching_curves(series, embed_dim, delay, theiler, steps, upto, neighbourhood):
    """Compute S(0..upto) of series (N, n) as (N, upto + 1); see `ccprune.lyapunov.stretching_curves`."""
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
