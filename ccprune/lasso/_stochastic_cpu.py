"""Compiled kernel for `ccprune.lasso.truncated_gradient` with tensors on the CPU."""

import numba
import numpy as np

from ccprune._util.threads import torch_threads_kept

_BLOCK = 8192  # weights per block, so that their sums and one row of X stay in the cache
_BLOCKS_PER_THREAD = 4  # with fewer, synchronising the threads takes longer than the computation


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
    """Make one pass over the records in the given order, adding to `sums` (P,) in place.

    Row t of X begins at `flat[t * stride]`. `rates[i]` is the step size of step i, and `thresholds[i]` is the penalty
    accumulated before it. The result does not depend on the number of threads, because blocks have a fixed size and are
    added in order.

    Returns
    -------
    total : float
        Sum of the losses of the records.
    last : float
        Loss of the last record.
    """
    threads = numba.get_num_threads()
    numba.set_num_threads(max(1, min(threads, sums.size // (_BLOCK * _BLOCKS_PER_THREAD))))
    try:
        return _one_pass(flat, stride, y, order, batch_size, rates, thresholds, sums)
    finally:
        numba.set_num_threads(threads)


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
