"""Compiled kernel for `ccprune.lasso.problem.correlation` with float32 on the CPU, which reads X once and in place.

Converting blocks to float64 for a matrix product takes eleven times as long, mostly to write and read the blocks.
"""

import numba
import numpy as np

from ccprune._util.threads import torch_threads_kept

_BLOCK = 8192  # columns per block, so that their sums stay in the cache
_BLOCKS_PER_THREAD = 4  # with fewer, synchronising the threads takes longer than the computation


@torch_threads_kept
def correlation(flat: np.ndarray, stride: int, residual: np.ndarray, columns: int) -> np.ndarray:
    """Return X' residual (P,) in float64; row t of X (T, P), float32, begins at `flat[t * stride]`.

    The result does not depend on the number of threads, because every sum adds the rows in order.
    """
    found = np.empty(columns)
    threads = numba.get_num_threads()
    numba.set_num_threads(max(1, min(threads, columns // (_BLOCK * _BLOCKS_PER_THREAD))))
    try:
        _correlation(flat, stride, residual, found)
    finally:
        numba.set_num_threads(threads)
    return found


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
