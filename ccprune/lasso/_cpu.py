"""Compiled kernels for tensors on the CPU. Results do not depend on the number of threads: sums have a fixed order."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba
import numpy as np

from ccprune._util.threads import torch_threads_kept

_BLOCK = 8192  # columns per block, so that their sums and one row of X stay in the cache
_BLOCKS_PER_THREAD = 4  # with fewer, synchronising the threads takes longer than the computation


@torch_threads_kept
def correlation(flat: np.ndarray, stride: int, residual: np.ndarray, columns: int) -> np.ndarray:
    """Return X' residual (P,) in float64; row t of X (T, P), float32, begins at `flat[t * stride]`.

    X is read once and in place. Blocks that are converted to float64 for a matrix product take eleven times as long.
    """
    found = np.empty(columns)
    with _enough_threads(columns):
        _correlation(flat, stride, residual, found)
    return found


@torch_threads_kept
def one_pass(
    flat: np.ndarray,
    stride: int,
    y: np.ndarray,
    order: np.ndarray,
    batch_size: int,
    rates: np.ndarray,
    thresholds: np.ndarray,
    sums: np.ndarray,
) -> tuple[float, float]:
    """Make one pass of `truncated_gradient` over the records in this order, adding to `sums` (P,) in place.

    Row t of X begins at `flat[t * stride]`. `rates[i]` is the step size of step i, and `thresholds[i]` is the penalty
    accumulated before it. Returns the sum of the losses of the records, and the loss of the last record.
    """
    with _enough_threads(sums.size):
        return _one_pass(flat, stride, y, order, batch_size, rates, thresholds, sums)


@contextmanager
def _enough_threads(columns: int) -> Iterator[None]:
    threads = numba.get_num_threads()
    numba.set_num_threads(max(1, min(threads, columns // (_BLOCK * _BLOCKS_PER_THREAD))))
    try:
        yield
    finally:
        numba.set_num_threads(threads)


@numba.njit(cache=True, parallel=True, fastmath={"contract"})  # fused multiply-add, but no reordering
def _correlation(flat, stride, residual, found):
    rows, width = residual.size, found.size
    for b in numba.prange((width + _BLOCK - 1) // _BLOCK):
        low, high = b * _BLOCK, min(width, (b + 1) * _BLOCK)
        for k in range(low, high):
            found[k] = 0.0
        t = 0
        while t + 4 <= rows:  # four rows at a time, so that sums are loaded and stored less often
            r0, r1, r2, r3 = t * stride, (t + 1) * stride, (t + 2) * stride, (t + 3) * stride
            w0, w1, w2, w3 = residual[t], residual[t + 1], residual[t + 2], residual[t + 3]
            for k in range(low, high):
                found[k] = (((found[k] + w0 * flat[r0 + k]) + w1 * flat[r1 + k]) + w2 * flat[r2 + k]) + w3 * flat[
                    r3 + k
                ]
            t += 4
        while t < rows:
            r0, w0 = t * stride, residual[t]
            for k in range(low, high):
                found[k] += w0 * flat[r0 + k]
            t += 1


@numba.njit(cache=True, parallel=True, fastmath={"reassoc", "contract", "nsz"})
def _one_pass(flat, stride, y, order, batch_size, rates, thresholds, sums):
    width = sums.size
    blocks = (width + _BLOCK - 1) // _BLOCK
    partial = np.zeros((batch_size, blocks))
    push = np.zeros(batch_size)  # factor of each record of the previous step, whose update is not yet added
    loss, residual = 0.0, 0.0
    last, held = 0, 0
    for step in range(rates.size):
        first = step * batch_size
        count = min(batch_size, order.size - first)
        cut = thresholds[step]
        for b in numba.prange(blocks):
            low, high = b * _BLOCK, min(width, (b + 1) * _BLOCK)
            for j in range(held):
                row, weight = order[last + j] * stride, push[j]
                for k in range(low, high):
                    sums[k] += weight * flat[row + k]
            for j in range(count):
                row, total = order[first + j] * stride, 0.0
                for k in range(low, high):
                    total += (max(sums[k] - cut, 0.0) + min(sums[k] + cut, 0.0)) * flat[row + k]
                partial[j, b] = total
        for j in range(count):
            residual = y[order[first + j]]
            for b in range(blocks):
                residual -= partial[j, b]
            loss += 0.5 * residual * residual
            push[j] = rates[step] * residual / count
        last, held = first, count
    for b in numba.prange(blocks):
        for j in range(held):
            row, weight = order[last + j] * stride, push[j]
            for k in range(b * _BLOCK, min(width, (b + 1) * _BLOCK)):
                sums[k] += weight * flat[row + k]
    return loss, 0.5 * residual * residual
