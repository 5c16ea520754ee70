"""Updates of `replication.networks._train_cpu` as batched torch operations, for devices other than the CPU."""

import torch
from torch import Tensor


def outputs(w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, softmax: bool, x: Tensor) -> Tensor:
    """Return the outputs (B, n, o) of B networks on samples x (n, d)."""
    hidden = torch.sigmoid(x @ w1.mT + b1[:, None])
    z = hidden @ w2.mT + b2[:, None]
    return z.softmax(-1) if softmax else z.sigmoid()


def sgd(
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    softmax: bool,
    keep1: Tensor,
    keep2: Tensor,
    x: Tensor,
    y: Tensor,
    lr: float,
    scale: float,
    first: int,
    steps: int,
    weights: Tensor,
) -> None:
    """Run `steps` per-sample updates in place; arguments as in `replication.networks._train_cpu.sgd`.

    An update consists of a dozen small kernels, whose launch takes longer than their execution. On CUDA the updates of
    one pass over the samples are therefore captured as a graph and replayed, if there are at least three passes.
    """
    parts, epoch, done = (w1, b1, w2, b2, softmax, keep1, keep2, x, y, lr, scale), x.shape[0], 0
    if w1.is_cuda and steps >= 3 * epoch:
        _updates(*parts, first, epoch, weights[:, :epoch])  # not captured, because kernels are loaded on first use
        graph, recorded = torch.cuda.CUDAGraph(), torch.empty_like(weights[:, :epoch])
        with torch.cuda.graph(graph):
            _updates(*parts, first, epoch, recorded)
        for done in range(epoch, steps - epoch + 1, epoch):
            graph.replay()
            weights[:, done : done + epoch] = recorded
        done += epoch
    _updates(*parts, first + done, steps - done, weights[:, done:])


def _updates(
    w1: Tensor,
    b1: Tensor,
    w2: Tensor,
    b2: Tensor,
    softmax: bool,
    keep1: Tensor,
    keep2: Tensor,
    x: Tensor,
    y: Tensor,
    lr: float,
    scale: float,
    first: int,
    steps: int,
    weights: Tensor,
) -> None:
    split = w1[0].numel()
    for t in range(steps):
        sample, target = x[(first + t) % x.shape[0]], y[(first + t) % x.shape[0]]
        # Sums of elementwise products instead of matrix products, so that the result does not depend on the batch size.
        hidden = torch.sigmoid((w1 * sample).sum(-1) + b1)  # (B, h)
        z = (w2 * hidden[:, None]).sum(-1) + b2  # (B, o)
        squashed = z.sigmoid()
        out = z.softmax(-1) if softmax else squashed
        delta = 2.0 * scale * (out - target) * squashed * (1.0 - squashed)
        back = (w2 * delta[..., None]).sum(1) * hidden * (1.0 - hidden)
        w2.addcmul_(delta[..., None], hidden[:, None], value=-lr).mul_(keep2)
        w1.addcmul_(back[..., None], sample.expand_as(w1), value=-lr).mul_(keep1)
        b2.sub_(delta, alpha=lr)
        b1.sub_(back, alpha=lr)
        if weights.shape[1]:
            weights[:, t, :split] = w1.flatten(1)
            weights[:, t, split:] = w2.flatten(1)
