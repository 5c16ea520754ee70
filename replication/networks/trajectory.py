"""Weight trajectories of small networks in training, complete or window by window.

LEGCNet records every weight before the first and after every update (section 3.3) and divides the series into windows.
Row 0 of every trajectory is the state before the first update.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ccprune.lyapunov import window_count
from replication.networks.ensemble import MLPBatch
from replication.networks.training import accuracy, advance

_BLOCK = 256  # updates per call of `advance` in `separation`, which does not store the weights


@dataclass(frozen=True)
class Window:
    """One window of the weight series of B networks.

    Attributes
    ----------
    index : int
        Number of the window, from 0.
    first : int
        Row of its first point.
    weights : Tensor (B, w, M)
        Weights at its w points.
    risk : mapping of name to Tensor (B,)
        1 - accuracy on each named set of samples at its last point.
    """

    index: int
    first: int
    weights: Tensor
    risk: dict[str, Tensor]


def record(ensemble: MLPBatch, x: Tensor, y: Tensor, *, steps: int, lr: float, reduction: str = "mean") -> Tensor:
    """Train copies of the networks and return their weight series.

    The series need 8 B (steps + 1) M bytes; `windows` needs less.

    Parameters
    ----------
    ensemble : MLPBatch
        B networks with M weights, which are not changed.
    x, y : Tensor (n, d), (n, o)
        Samples.
    steps : int
        Number of per-sample updates.
    lr : float
        Learning rate.
    reduction : str, default "mean"
        As in `training.advance`.

    Returns
    -------
    Tensor (B, steps + 1, M)
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
    """Train copies of the networks and yield each window as soon as it is complete.

    The memory is that of one window for any length of training.

    Parameters
    ----------
    ensemble : MLPBatch
        B networks with M weights, which are not changed.
    x, y : Tensor (n, d), (n, o)
        Samples.
    epochs : int
        Number of epochs.
    lr : float
        Learning rate.
    window, stride : int
        Points of a window, and points between the beginnings of two windows.
    risk : mapping of name to (x, y)
        Samples on which 1 - accuracy is computed at each window's end.
    reduction : str, default "mean"
        As in `training.advance`.

    Yields
    ------
    Window

    Raises
    ------
    ValueError
        If no window fits into the training.
    """
    points = epochs * x.shape[0] + 1
    count = window_count(points, window, stride)
    if count == 0:
        raise ValueError(f"window must be at most {points}, the points of {epochs} epochs, got {window}")
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
    """Return M copies of one network, the m-th with weight m shifted by `delta` (LEGCNet section 2.1).

    Parameters
    ----------
    ensemble : MLPBatch
        One network with M weights.
    delta : float
        Shift, not 0.

    Returns
    -------
    MLPBatch
        M networks.

    Raises
    ------
    ValueError
        If there is not exactly one network, or `delta` is 0.
    """
    if len(ensemble) != 1:
        raise ValueError(f"ensemble must hold one network, got {len(ensemble)}")
    if delta == 0:
        raise ValueError("delta must not be 0, got 0")
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
) -> Tensor:
    """Train copies of a reference and perturbed networks, and return the distances of their weights.

    Parameters
    ----------
    reference : MLPBatch
        One network.
    perturbed : MLPBatch
        B networks.
    x, y : Tensor (n, d), (n, o)
        Samples.
    steps : int
        Number of per-sample updates.
    lr : float
        Learning rate.

    Returns
    -------
    Tensor (B, steps + 1)
        Euclidean distance of each perturbed network's weights from the reference's, before and after each update.

    Raises
    ------
    ValueError
        If there is not exactly one reference, or the output units differ.
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
        rows = advance(both, x, y, lr=lr, first=first, steps=count, reduction="mean", record=True)
        distances.append((rows[1:] - rows[0]).norm(dim=-1))
    return torch.cat(distances, 1)


def linear_separation(
    weights: Tensor, bias: Tensor, x: Tensor, y: Tensor, *, steps: int, lr: float, delta: float
) -> Tensor:
    """Compute `separation` for a linear model y = W x + b under per-sample SGD, as the control for section 2.1.

    With the bias as the weight of a constant input 1, the difference of two runs obeys d <- (I - c x x^T) d with
    c = 2 lr / o, for any targets. With c |x|^2 < 2 its length never exceeds delta.

    Parameters
    ----------
    weights, bias : Tensor (o, d), (o,)
        Initial parameters. Each weight is shifted in turn.
    x, y : Tensor (n, d), (n, o)
        Samples.
    steps : int
        Number of per-sample updates.
    lr : float
        Learning rate.
    delta : float
        Shift.

    Returns
    -------
    Tensor (o d, steps + 1)
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
