"""Weight trajectories of small networks under training: whole in memory, or streamed window by window.

LEGCNet records every weight before the first and after every update (section 3.3), and cuts the series into windows.
Row 0 of every trajectory is the state before the first update.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ccprune.lyapunov import window_count
from replication.networks.ensemble import MLPBatch
from replication.networks.train import accuracy, advance

_BLOCK = 256  # updates advanced at once while only the separation is kept


@dataclass(frozen=True)
class Window:
    """One window of B networks' weight series.

    Attributes: index (k), first (row of its first point), weights (B, w, M), risk (misclassification risk (B,) of each
    named set of samples at the window's last point).
    """

    index: int
    first: int
    weights: Tensor
    risk: dict[str, Tensor]


def record(ensemble: MLPBatch, x: Tensor, y: Tensor, *, steps: int, lr: float, reduction: str = "mean") -> Tensor:
    """Weight series (B, steps + 1, M) of copies of the networks over `steps` per-sample updates.

    Needs 8 B (steps + 1) M bytes; use `windows` where that is too much.
    """
    start = ensemble.weights[:, None]
    moving = ensemble.select(range(len(ensemble)))
    rest = advance(moving, x, y, lr=lr, first=0, steps=steps, reduction=reduction, record=True)
    return torch.cat([start, rest], 1)


def windows(
    ensemble: MLPBatch,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    lr: float,
    window: int,
    stride: int,
    risk: Mapping[str, tuple[Tensor, Tensor]],
    reduction: str = "mean",
) -> Iterator[Window]:
    """Trains copies of the networks and yields each window as soon as it is complete.

    Memory is that of one window, whatever the length of training. `risk` maps a name to samples (x, y) on which
    1 - accuracy is taken at each window's end. Raises ValueError when no window fits.
    """
    points = epochs * x.shape[0] + 1
    count = window_count(points, window, stride)
    if count == 0:
        raise ValueError(f"window={window} does not fit into {epochs} epochs of {x.shape[0]} updates")
    moving = ensemble.select(range(len(ensemble)))
    held, row = moving.weights[:, None], 0  # rows first..row of the trajectory
    for index in range(count):
        first, last = index * stride, index * stride + window - 1
        new = advance(moving, x, y, lr=lr, first=row, steps=last - row, reduction=reduction, record=True)
        held = torch.cat([held, new], 1)[:, -window:]
        row = last
        risks = {name: 1.0 - accuracy(moving, *samples) for name, samples in risk.items()}
        yield Window(index, first, held, risks)


def perturbations(ensemble: MLPBatch, *, delta: float) -> MLPBatch:
    """One network (B = 1) turned into M, the m-th with weight m shifted by `delta` (LEGCNet section 2.1)."""
    if len(ensemble) != 1:
        raise ValueError(f"ensemble must hold one network, got {len(ensemble)}")
    if delta == 0:
        raise ValueError("delta must not be 0")
    weights = ensemble.weights
    copies = ensemble.select([0] * weights.shape[1])
    return copies.with_weights(
        weights + delta * torch.eye(weights.shape[1], dtype=weights.dtype, device=weights.device)
    )


def separation(
    reference: MLPBatch,
    perturbed: MLPBatch,
    x: Tensor,
    y: Tensor,
    *,
    steps: int,
    lr: float,
    reduction: str = "mean",
) -> Tensor:
    """Euclidean distance (B, steps + 1) of each perturbed network's weights from the reference's over training.

    `reference` holds one network. Two runs that agree forever have distance 0 from the first step on which they do.
    """
    if len(reference) != 1:
        raise ValueError(f"reference must hold one network, got {len(reference)}")
    if perturbed.output != reference.output:
        raise ValueError(f"perturbed must have {reference.output} outputs as the reference, got {perturbed.output}")
    parts = (torch.cat([getattr(reference, p), getattr(perturbed, p)]) for p in ("w1", "b1", "w2", "b2"))
    both = MLPBatch(*parts, output=reference.output)
    weights = both.weights
    distances = [(weights[1:] - weights[0]).norm(dim=-1)[:, None]]
    for first in range(0, steps, _BLOCK):
        count = min(_BLOCK, steps - first)
        rows = advance(both, x, y, lr=lr, first=first, steps=count, reduction=reduction, record=True)
        distances.append((rows[1:] - rows[0]).norm(dim=-1))
    return torch.cat(distances, 1)


def linear_separation(
    weights: Tensor, bias: Tensor, x: Tensor, y: Tensor, *, steps: int, lr: float, delta: float
) -> Tensor:
    """`separation` for a linear model y = W x + b under the same per-sample SGD, each weight shifted in turn.

    weights (o, d), bias (o,), returns (o d, steps + 1). With the bias as the weight of a constant input 1, the
    difference of two runs obeys d <- (I - c x x^T) d, c = 2 lr / o, whatever the targets; so with c |x|^2 < 2 its
    length never exceeds delta: the control for section 2.1.
    """
    outputs, inputs = weights.shape
    count = weights.numel()
    shifted = weights.expand(count + 1, -1, -1).clone()
    shifted[1:] += delta * torch.eye(count, dtype=weights.dtype, device=weights.device).reshape(-1, outputs, inputs)
    biases = bias.expand(count + 1, -1).clone()
    distances = [(shifted[1:] - shifted[0]).flatten(1).norm(dim=1)]
    for t in range(steps):
        sample, target = x[t % x.shape[0]], y[t % x.shape[0]]
        error = (2.0 * lr / outputs) * ((shifted * sample).sum(-1) + biases - target)
        shifted -= error[..., None] * sample
        biases -= error
        distances.append((shifted[1:] - shifted[0]).flatten(1).norm(dim=1))
    return torch.stack(distances, 1)
