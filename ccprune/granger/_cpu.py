"""Compiled kernel for `ccprune.granger` with tensors on the CPU: the sums of products of `_sums` for all lags.

Causes are processed in blocks, which stay in the processor's innermost cache. The innermost loops run over
the causes of a block, so that they are vectorised, and add four products at a time, so that sums are loaded and stored
less often. The order of the additions is that of one product after the other.
"""

import math

import numba
import numpy as np

from ccprune._util.threads import torch_threads_kept

BLOCK = 32  # causes per block


@numba.njit(cache=True)
def table_width(deepest):
    """Return the columns of a table for the effect's lags, the target and a constant, which are summed in fours."""
    return (deepest + 5) // 4 * 4


@numba.njit(cache=True)
def _sum_lagged(x, first, count, out):
    """Add x[t + first] x[t + j] over t < count to four sums in `out`, those of j = 0, ..., 3."""
    w = BLOCK
    for t in range(0, count - count % 4, 4):
        a, b = x[(first + t) * w : (first + t + 4) * w], x[t * w : (t + 7) * w]
        for m in range(w):
            a0, a1, a2, a3 = a[m], a[m + w], a[m + 2 * w], a[m + 3 * w]
            b1, b2, b3, b4, b5 = b[m + w], b[m + 2 * w], b[m + 3 * w], b[m + 4 * w], b[m + 5 * w]
            out[m] = out[m] + a0 * b[m] + a1 * b1 + a2 * b2 + a3 * b3
            out[m + w] = out[m + w] + a0 * b1 + a1 * b2 + a2 * b3 + a3 * b4
            out[m + 2 * w] = out[m + 2 * w] + a0 * b2 + a1 * b3 + a2 * b4 + a3 * b5
            out[m + 3 * w] = out[m + 3 * w] + a0 * b3 + a1 * b4 + a2 * b5 + a3 * b[m + 6 * w]
    for t in range(count - count % 4, count):
        a, b = x[(first + t) * w : (first + t + 1) * w], x[t * w : (t + 4) * w]
        for j in range(4):
            for m in range(w):
                out[j * w + m] += a[m] * b[j * w + m]


@numba.njit(cache=True)
def _sum_with_table(x, table, count, out):
    """Add x[t] table[t, j] over t < count to four sums in `out`, those of j = 0, ..., 3."""
    w = BLOCK
    for t in range(0, count - count % 4, 4):
        a = x[t * w : (t + 4) * w]
        p, q, r, s = table[t], table[t + 1], table[t + 2], table[t + 3]
        p0, p1, p2, p3 = p[0], p[1], p[2], p[3]
        q0, q1, q2, q3 = q[0], q[1], q[2], q[3]
        r0, r1, r2, r3 = r[0], r[1], r[2], r[3]
        s0, s1, s2, s3 = s[0], s[1], s[2], s[3]
        for m in range(w):
            a0, a1, a2, a3 = a[m], a[m + w], a[m + 2 * w], a[m + 3 * w]
            out[m] = out[m] + a0 * p0 + a1 * q0 + a2 * r0 + a3 * s0
            out[m + w] = out[m + w] + a0 * p1 + a1 * q1 + a2 * r1 + a3 * s1
            out[m + 2 * w] = out[m + 2 * w] + a0 * p2 + a1 * q2 + a2 * r2 + a3 * s2
            out[m + 3 * w] = out[m + 3 * w] + a0 * p3 + a1 * q3 + a2 * r3 + a3 * s3
    for t in range(count - count % 4, count):
        for j in range(4):
            for m in range(w):
                out[j * w + m] += x[t * w + m] * table[t, j]


@numba.njit(cache=True)
def _subtract_products(out, a, b, count):
    """Subtract a[k] b[k] for k < count from `out`."""
    w, size = BLOCK, out.size
    for k in range(0, count - count % 4, 4):
        p, q = a[k * w : (k + 4) * w], b[k * w : (k + 4) * w]
        for m in range(size):
            out[m] = (
                out[m] - p[m] * q[m] - p[m + w] * q[m + w] - p[m + 2 * w] * q[m + 2 * w] - p[m + 3 * w] * q[m + 3 * w]
            )
    for k in range(count - count % 4, count):
        p, q = a[k * w : (k + 1) * w], b[k * w : (k + 1) * w]
        for m in range(size):
            out[m] -= p[m] * q[m]


@numba.njit(cache=True)
def _subtract_scaled(out, a, factors):
    """Subtract a[k] factors[k] from `out`."""
    w, size, count = BLOCK, out.size, factors.size
    for k in range(0, count - count % 4, 4):
        p, f0, f1, f2, f3 = a[k * w : (k + 4) * w], factors[k], factors[k + 1], factors[k + 2], factors[k + 3]
        for m in range(size):
            out[m] = out[m] - p[m] * f0 - p[m + w] * f1 - p[m + 2 * w] * f2 - p[m + 3 * w] * f3
    for k in range(count - count % 4, count):
        p, factor = a[k * w : (k + 1) * w], factors[k]
        for m in range(size):
            out[m] -= p[m] * factor


@numba.njit(cache=True)
def _multiply(x, table, depth, count, mixed):
    """Sum the products of the causes' lags with the columns of a table (rows, columns)."""
    w, width = BLOCK, table.shape[1]
    mixed[: depth * width * w] = 0.0
    for i in range(depth):
        for j in range(0, width, 4):
            _sum_with_table(x[i * w :], table[:, j : j + 4], count, mixed[(i * width + j) * w :])


@numba.njit(cache=True)
def _one_lag_less(x, effect, depth, width, gram, mixed):
    """Update the sums at one depth to the next smaller depth, which has one column less and one row more."""
    w = BLOCK
    for i in range(depth - 1):
        here, row, next_row = x[i * w : (i + 1) * w], i * width * w, ((i + 1) * width + 1) * w
        there, out, before = x[: (i + 1) * w], gram[row : row + (i + 1) * w], gram[next_row : next_row + (i + 1) * w]
        for j in range(0, (i + 1) * w, w):
            for m in range(here.size):
                out[j + m] = before[j + m] + here[m] * there[j + m]
        out, before = mixed[row : row + (depth + 1) * w], mixed[next_row : next_row + (depth + 1) * w]
        for j in range(depth + 1):
            factor = effect[j] if j < depth else 1.0
            for m in range(here.size):
                out[j * w + m] = before[j * w + m] + here[m] * factor


@numba.njit(cache=True, error_model="numpy")
def _overlap_from_sums(mixed, columns, fitted, depth, width, overlap, uncovered):
    """Compute products with the effect's orthonormal basis and residual from the products with its columns.

    columns (depth + 1, depth + 1) is the transposed R factor.
    """
    w = BLOCK
    for i in range(depth):
        products, covered = mixed[i * width * w :], overlap[i * width * w : (i + 1) * width * w]
        for j in range(depth + 1):
            factors, divisor = columns[j, :j], columns[j, j]
            product, out = products[(j if j < depth else depth + 1) * w :], covered[j * w : (j + 1) * w]
            for m in range(out.size):
                out[m] = product[m]
            _subtract_scaled(out, covered, factors)
            for m in range(out.size):
                out[m] /= divisor
        product, out = products[depth * w :], uncovered[i * w : (i + 1) * w]
        for m in range(out.size):
            out[m] = product[m]
        _subtract_scaled(out, covered, fitted[: depth + 1])


@numba.njit(cache=True, error_model="numpy")
def _explained_sums(gram, overlap, uncovered, depth, augment, width, factor, inverse, found):
    """Compute the sums of squares explained by tested and untested lags, and the trace that measures the condition.

    The trace is inf if the factorisation fails. The Cholesky factor of `gram`, after projecting out the effect's basis,
    and the transposed inverse of the factor are computed row by row.
    """
    w = BLOCK
    found[:] = 0.0
    trace, term = found[2 * w : 3 * w], found[3 * w :]
    for i in range(depth):
        first = i * width * w
        own_overlap, own_factor = overlap[first : first + (depth + 1) * w], factor[first : first + (i + 1) * w]
        for j in range(i + 1):
            left, before = own_factor[j * w : (j + 1) * w], gram[first + j * w : first + (j + 1) * w]
            for m in range(left.size):
                left[m] = before[m]
            _subtract_products(left, own_overlap, overlap[j * width * w :], depth + 1)
            _subtract_products(left, own_factor, factor[j * width * w :], j)
            if j < i:
                divisor = factor[(j * width + j) * w : (j * width + j + 1) * w]
                for m in range(left.size):
                    left[m] /= divisor[m]
        pivot = own_factor[i * w : (i + 1) * w]
        for m in range(pivot.size):
            positive = pivot[m] > 0.0  # false for NaN
            trace[m] = trace[m] if positive else np.inf
            pivot[m] = math.sqrt(pivot[m] if positive else 1.0)
        term[:] = 0.0
        for j in range(i + 1):
            row = inverse[(j * width + i) * w : (j * width + i + 1) * w]
            seen, square = uncovered[j * w : (j + 1) * w], gram[(j * width + j) * w : (j * width + j + 1) * w]
            for m in range(row.size):
                row[m] = 1.0 if j == i else 0.0
            _subtract_products(row, own_factor[j * w :], inverse[(j * width + j) * w :], i - j)
            # Three loops, because the compiler vectorises none that has so many arrays.
            for m in range(row.size):
                row[m] /= pivot[m]
            for m in range(row.size):
                term[m] += row[m] * seen[m]
            for m in range(row.size):
                trace[m] += row[m] ** 2 * square[m]
        sums = found[:w] if i >= augment else found[w : 2 * w]
        for m in range(sums.size):
            sums[m] += term[m] * term[m]


@torch_threads_kept
@numba.njit(parallel=True, cache=True)
def explained_sums(series, effect, deepest, augment, from_columns, columns, fits, bases):
    """Compute for all depths the sums explained by tested and untested lags, and the trace of the condition.

    series is (K, M) and effect (K,). Row deepest - d of the padded stacks `columns` and `fits` holds the transposed R
    factor of the effect's lags and constant at depth d, and Q' target. Where `from_columns` is not -1, the products
    with Q and the residual are computed from the columns instead, and its value is their index in `bases`.
    Returns an array (3, deepest - augment, M).
    """
    windows, count = series.shape
    out = np.empty((3, deepest - augment, count))
    w, width = BLOCK, table_width(deepest)
    rows = windows - deepest
    table = np.zeros((rows, width))  # the effect's lags, the target and a constant
    for t in range(rows):
        table[t, : deepest + 1] = effect[t : t + deepest + 1]
        table[t, deepest + 1] = 1.0
    for block in numba.prange((count + w - 1) // w):
        first = block * w
        size = min(w, count - first)
        x = np.zeros((windows + 3) * w)
        for t in range(windows):
            x[t * w : t * w + size] = series[t, first : first + size]
        work = np.zeros((5, deepest * width * w))
        gram, factor, inverse, mixed, overlap = work[0], work[1], work[2], work[3], work[4]
        uncovered, found = np.empty(deepest * w), np.empty(4 * w)
        for i in range(deepest):
            for j in range(0, i + 1, 4):
                _sum_lagged(x[j * w :], i - j, rows, gram[(i * width + j) * w :])
        _multiply(x, table, deepest, rows, mixed)
        for place in range(deepest - augment):
            depth = deepest - place
            index = from_columns[place]
            if index >= 0:
                _multiply(x, bases[index], depth, windows - depth, overlap)
                for i in range(depth):
                    residual = (i * width + depth + 1) * w
                    uncovered[i * w : (i + 1) * w] = overlap[residual : residual + w]
            else:
                _overlap_from_sums(mixed, columns[place], fits[place], depth, width, overlap, uncovered)
            _explained_sums(gram, overlap, uncovered, depth, augment, width, factor, inverse, found)
            for part in range(3):
                out[part, place, first : first + size] = found[part * w : part * w + size]
            _one_lag_less(x, effect, depth, width, gram, mixed)
    return out
