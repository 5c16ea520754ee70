"""Compiled kernel for `ccprune.granger` with tensors on the CPU: the sums of products of `_sums` for all lags.

Causes are processed in blocks that stay in the processor's cache from the first product to the last sum. The innermost
loops run over the causes of a block, so that they can be vectorised.
"""

import numba
import numpy as np

from ccprune._util.threads import torch_threads_kept

BLOCK = 32  # causes per block; their products for 20 lags need a third of a megabyte


@numba.njit(cache=True)
def _multiply_add(out, a, b):
    for m in range(out.size):
        out[m] += a[m] * b[m]


@numba.njit(cache=True)
def _multiply_subtract(out, a, b):
    for m in range(out.size):
        out[m] -= a[m] * b[m]


@numba.njit(cache=True)
def _scale_add(out, a, factor):
    for m in range(out.size):
        out[m] += a[m] * factor


@numba.njit(cache=True)
def _products(x, effect, deepest, gram, mixed):
    """Sum the products at the largest depth of the causes' lags with one another, the effect's rows and a constant."""
    count = effect.size - deepest
    gram[:], mixed[:] = 0.0, 0.0
    for i in range(deepest):
        for t in range(count):
            row = x[t + i]
            for j in range(i + 1):
                _multiply_add(gram[i, j], row, x[t + j])
            for j in range(deepest + 1):
                _scale_add(mixed[i, j], row, effect[t + j])
            _scale_add(mixed[i, deepest + 1], row, 1.0)


@numba.njit(cache=True)
def _one_lag_less(x, effect, depth, gram, mixed):
    """Update the sums at one depth to the next smaller depth, which has one column less and one row more."""
    for i in range(depth - 1):
        for j in range(i + 1):
            gram[i, j] = gram[i + 1, j + 1]
            _multiply_add(gram[i, j], x[i], x[j])
        for j in range(depth):
            mixed[i, j] = mixed[i + 1, j + 1]
            _scale_add(mixed[i, j], x[i], effect[j])
        mixed[i, depth] = mixed[i + 1, depth + 1]
        _scale_add(mixed[i, depth], x[i], 1.0)


@numba.njit(cache=True)
def _overlap_from_sums(mixed, triangle, fitted, depth, overlap, uncovered):
    """Compute products with the effect's orthonormal basis and residual from the products with its columns."""
    for i in range(depth):
        uncovered[i] = mixed[i, depth]
        for j in range(depth + 1):
            overlap[i, j] = mixed[i, j if j < depth else depth + 1]
            for k in range(j):
                _scale_add(overlap[i, j], overlap[i, k], -triangle[k, j])
            overlap[i, j] /= triangle[j, j]
            _scale_add(uncovered[i], overlap[i, j], -fitted[j])


@numba.njit(cache=True)
def _overlap_from_columns(x, basis, residual, depth, overlap, uncovered):
    overlap[:], uncovered[:] = 0.0, 0.0
    for i in range(depth):
        for t in range(residual.size):
            for j in range(depth + 1):
                _scale_add(overlap[i, j], x[t + i], basis[t, j])
            _scale_add(uncovered[i], x[t + i], residual[t])


@numba.njit(cache=True)
def _explained(gram, overlap, uncovered, depth, augment, factor, inverse, term, gain, untested, trace):
    """Compute the sums of squares explained by tested and untested lags, and the trace that measures the condition.

    The trace is inf if the factorisation fails. The Cholesky factor of `gram`, after projecting out the effect's basis,
    and the inverse of the factor are computed row by row.
    """
    gain[:], untested[:], trace[:] = 0.0, 0.0, 0.0
    for i in range(depth):
        for j in range(i + 1):
            left = factor[i, j]
            left[:] = gram[i, j]
            for k in range(depth + 1):
                _multiply_subtract(left, overlap[i, k], overlap[j, k])
            for k in range(j):
                _multiply_subtract(left, factor[i, k], factor[j, k])
            if j < i:
                left /= factor[j, j]
        pivot = factor[i, i]
        for m in range(pivot.size):
            if pivot[m] > 0.0:
                pivot[m] = np.sqrt(pivot[m])
            else:  # NaN too
                pivot[m], trace[m] = 1.0, np.inf
        for j in range(i + 1):
            row = inverse[i, j]
            row[:] = 1.0 if j == i else 0.0
            for k in range(j, i):
                _multiply_subtract(row, factor[i, k], inverse[k, j])
            row /= pivot
        term[:] = 0.0
        for j in range(i + 1):
            _multiply_add(term, inverse[i, j], uncovered[j])
            for m in range(term.size):
                trace[m] += inverse[i, j, m] ** 2 * gram[j, j, m]
        _multiply_add(gain if i >= augment else untested, term, term)


@torch_threads_kept
@numba.njit(parallel=True, cache=True)
def explained(series, effect, deepest, augment, from_columns, triangles, fits, bases, residuals):
    """Compute for all depths the sums explained by tested and untested lags, and the trace of the condition.

    series is (K, M) and effect (K,). Row deepest - d of the padded stacks `triangles` and `fits` holds the R factor of
    the effect's lags and constant at depth d, and Q' target. Where `from_columns` is not -1, the products with Q are
    computed from the columns instead, and its value is the index of the depth in `bases` and `residuals`.
    Returns an array (3, deepest - augment, M).
    """
    windows, count = series.shape
    out = np.empty((3, deepest - augment, count))
    for block in numba.prange((count + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        width = min(BLOCK, count - first)
        x = series[:, first : first + width].copy()
        gram, factor, inverse = (
            np.empty((deepest, deepest, width)),
            np.empty((deepest, deepest, width)),
            np.empty((deepest, deepest, width)),
        )
        mixed, overlap = np.empty((deepest, deepest + 2, width)), np.empty((deepest, deepest + 1, width))
        uncovered, found = np.empty((deepest, width)), np.empty((4, width))
        _products(x, effect, deepest, gram, mixed)
        for place in range(deepest - augment):
            depth = deepest - place
            index = from_columns[place]
            if index >= 0:
                rows = effect.size - depth
                _overlap_from_columns(x, bases[index, :rows], residuals[index, :rows], depth, overlap, uncovered)
            else:
                _overlap_from_sums(mixed, triangles[place], fits[place], depth, overlap, uncovered)
            _explained(
                gram, overlap, uncovered, depth, augment, factor, inverse, found[3], found[0], found[1], found[2]
            )
            out[:, place, first : first + width] = found[:3]
            _one_lag_less(x, effect, depth, gram, mixed)
    return out
