"""Compiled kernels of `replication.networks.training` for tensors on the CPU.

Each network is trained by one thread in scalar arithmetic, so its numbers do not depend on the number of networks in
the batch or on the number of threads.
"""

import math

import numba
import numpy as np

from ccprune._util.threads import torch_threads_kept


@numba.njit(cache=True)
def _forward(w1, b1, w2, b2, x, softmax, hidden, squashed, out):
    """Write the hidden values (h,), the sigmoid of each output's input squashed (o,), and the outputs out (o,)."""
    for j in range(b1.size):
        z = b1[j]
        for i in range(x.size):
            z += w1[j, i] * x[i]
        hidden[j] = 1.0 / (1.0 + math.exp(-z))
    for k in range(b2.size):
        z = b2[k]
        for j in range(b1.size):
            z += w2[k, j] * hidden[j]
        squashed[k] = 1.0 / (1.0 + math.exp(-z))
        out[k] = math.exp(z) if softmax else squashed[k]
    if softmax:
        total = 0.0
        for k in range(b2.size):
            total += out[k]
        for k in range(b2.size):
            out[k] /= total


@torch_threads_kept
@numba.njit(parallel=True, cache=True)
def sgd(w1, b1, w2, b2, softmax, keep1, keep2, x, y, lr, scale, first, steps, weights):
    """Run `steps` per-sample updates of B networks in place, beginning with sample `first` modulo n.

    The shapes are w1 (B, h, d), b1 (B, h), w2 (B, o, h), b2 (B, o), and keep1 and keep2 bool as w1 and w2. Every weight
    after each update is written to `weights` (B, steps, M), unless its second axis has length 0.
    """
    networks, width, inputs = w1.shape
    outputs = b2.shape[1]
    record = weights.shape[1] > 0
    for b in numba.prange(networks):
        hidden = np.empty(width)
        squashed = np.empty(outputs)
        out = np.empty(outputs)
        delta = np.empty(outputs)
        for t in range(steps):
            s = (first + t) % x.shape[0]
            _forward(w1[b], b1[b], w2[b], b2[b], x[s], softmax, hidden, squashed, out)
            for k in range(outputs):
                # For a sigmoid this is the gradient. For a softmax it is not, but the authors' scripts use it.
                delta[k] = 2.0 * (out[k] - y[s, k]) * squashed[k] * (1.0 - squashed[k])
            for j in range(width):
                back = 0.0
                for k in range(outputs):
                    # The error is propagated through the weights before this update.
                    back += w2[b, k, j] * delta[k]
                    w2[b, k, j] -= lr * (scale * delta[k] * hidden[j])
                    if not keep2[b, k, j]:
                        w2[b, k, j] = 0.0
                back *= hidden[j] * (1.0 - hidden[j])
                for i in range(inputs):
                    w1[b, j, i] -= lr * (scale * back * x[s, i])
                    if not keep1[b, j, i]:
                        w1[b, j, i] = 0.0
                b1[b, j] -= lr * (scale * back)
            for k in range(outputs):
                b2[b, k] -= lr * (scale * delta[k])
            if record:
                m = 0
                for j in range(width):
                    for i in range(inputs):
                        weights[b, t, m] = w1[b, j, i]
                        m += 1
                for k in range(outputs):
                    for j in range(width):
                        weights[b, t, m] = w2[b, k, j]
                        m += 1


@torch_threads_kept
@numba.njit(parallel=True, cache=True)
def outputs(w1, b1, w2, b2, softmax, x):
    """Return the outputs (B, n, o) of B networks on samples x (n, d)."""
    networks, width = b1.shape
    result = np.empty((networks, x.shape[0], b2.shape[1]))
    for b in numba.prange(networks):
        hidden = np.empty(width)
        squashed = np.empty(b2.shape[1])
        for s in range(x.shape[0]):
            _forward(w1[b], b1[b], w2[b], b2[b], x[s], softmax, hidden, squashed, result[b, s])
    return result
