"""Compiled kernel behind `ccprune.lyapunov` for tensors on the CPU.

Neighbours are found by sorting on the first delay coordinate and scanning outwards until that coordinate alone is
further away than the best neighbour so far. It is exact, needs memory for one series only, and on a weight series,
which is smooth, looks at a handful of candidates instead of all of them.
"""

import math

import numba
import numpy as np

from ccprune._util.threads import torch_threads_kept

_TINY, _HUGE = 1e-140, 1e140


@numba.njit(cache=True)
def _nearest(embedded, order, place, theiler, twin_limit):
    """Index of the nearest point at non-zero distance from the point at a place in the order, or -1.

    embedded (points, embed_dim) and order (points,) are sorted by the first coordinate. Among equally near points the
    one with the highest index wins, which is the order in which TISEAN's box lists are walked when one box holds
    everything.
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
    """Writes S(0..upto) of one rescaled series into `out`; NaN where no pair exists."""
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
    # A logarithm takes longer than all else, so it is taken of products, before they leave the range of float64: a
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
