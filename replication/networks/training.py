"""Joint per-sample SGD of many small sigmoid networks (LEGCNet section 4).

An `MLPBatch` holds B networks of one shape d-h-o, which differ in initialisation, mask or perturbation and are trained
on the same samples in the same order. On the CPU a compiled kernel trains each network in one thread. On other devices
batched torch operations do the same updates.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from replication.networks import _train_cpu, _train_torch
from replication.networks.ensemble import MLPBatch
from replication.networks.until import train_until


@dataclass(frozen=True)
class Trained:
    """Result of `train`.

    Attributes
    ----------
    ensemble : MLPBatch
        The B networks, each at the end of its training.
    epochs : Tensor (B,), int64
        Epoch after which the benchmark was reached, from 0 as in the paper; the budget where it was not reached.
    reached : Tensor (B,), bool
        Whether the benchmark was reached.
    train_accuracy, test_accuracy : Tensor (B,)
        As `accuracy`.
    test_f1 : Tensor (B,)
        As `macro_f1`.
    """

    ensemble: MLPBatch
    epochs: Tensor
    reached: Tensor
    train_accuracy: Tensor
    test_accuracy: Tensor
    test_f1: Tensor


def outputs(ensemble: MLPBatch, x: Tensor) -> Tensor:
    """Return the networks' outputs on samples.

    Parameters
    ----------
    ensemble : MLPBatch
        B networks.
    x : Tensor (n, d), float64
        Samples.

    Returns
    -------
    Tensor (B, n, o), float64
    """
    softmax = ensemble.output == "softmax"
    if ensemble.w1.device.type == "cpu":
        return torch.from_numpy(_train_cpu.outputs(*_arrays(ensemble), softmax, x.numpy()))
    return _train_torch.outputs(ensemble.w1, ensemble.b1, ensemble.w2, ensemble.b2, softmax, x)


def accuracy(ensemble: MLPBatch, x: Tensor, y: Tensor) -> Tensor:
    """Return the fraction of samples whose outputs, rounded at 0.5, all equal the target.

    This is the authors' rule. With several classes the whole one-hot vector must be correct, which is stricter than
    argmax.

    Parameters
    ----------
    ensemble : MLPBatch
        B networks.
    x, y : Tensor (n, d), (n, o)
        Samples.

    Returns
    -------
    Tensor (B,), float64
    """
    return ((outputs(ensemble, x) >= 0.5) == (y == 1)).all(-1).double().mean(-1)


def macro_f1(ensemble: MLPBatch, x: Tensor, y: Tensor) -> Tensor:
    """Return the macro F1, with argmax for several classes and rounding at 0.5 for two.

    The F1 of a class that is never predicted correctly is 0. Classes that occur neither in the targets nor in the
    predictions are left out, as in scikit-learn.

    Parameters
    ----------
    ensemble : MLPBatch
        B networks.
    x, y : Tensor (n, d), (n, o)
        Samples.

    Returns
    -------
    Tensor (B,), float64
    """
    predicted = outputs(ensemble, x)
    if y.shape[1] == 1:
        guess, truth = (predicted[..., 0] >= 0.5).long(), y[:, 0].long()
    else:
        guess, truth = predicted.argmax(-1), y.argmax(-1)
    classes = max(2, y.shape[1])
    hot_guess = torch.nn.functional.one_hot(guess, classes).double()
    hot_truth = torch.nn.functional.one_hot(truth, classes).double()
    both = (hot_guess * hot_truth).sum(1)
    either = hot_guess.sum(1) + hot_truth.sum(0)
    f1 = torch.where(either > 0, 2 * both / either.clamp_min(1.0), 0.0)
    return f1.sum(1) / (either > 0).sum(1)


def advance(
    ensemble: MLPBatch,
    x: Tensor,
    y: Tensor,
    *,
    lr: float,
    first: int,
    steps: int,
    keep: Tensor | None = None,
    reduction: str = "mean",
    record: bool = False,
) -> Tensor | None:
    """Train in place for `steps` per-sample updates, in the order of the samples.

    The update is the gradient of the squared error, with the factor 2. With softmax outputs the authors still multiply
    by the sigmoid's derivative, and so does this function.

    Parameters
    ----------
    ensemble : MLPBatch
        B networks with M weights.
    x, y : Tensor (n, d), (n, o)
        Samples.
    lr : float
        Learning rate, above 0.
    first : int
        Index of the first sample, modulo n.
    steps : int
        Number of updates.
    keep : Tensor (B, M), bool, optional
        Mask, True = keep, enforced after every update.
    reduction : str, default "mean"
        "mean" averages the error over outputs (the authors' rule), "sum" adds it (their scripts on vowel, whose label
        is a single number).
    record : bool, default False
        Whether to return the weights.

    Returns
    -------
    Tensor (B, steps, M) or None
        With `record`, the weights after each update.

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    inputs, _, width = ensemble.sizes
    if x.ndim != 2 or x.shape[1] != inputs:
        raise ValueError(f"x must have shape (n, {inputs}), got {tuple(x.shape)}")
    if tuple(y.shape) != (x.shape[0], width):
        raise ValueError(f"y must have shape {(x.shape[0], width)}, got {tuple(y.shape)}")
    if not lr > 0:
        raise ValueError(f"lr must be positive, got {lr}")
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}")
    weights = ensemble.weights
    if keep is None:
        keep = torch.ones_like(weights, dtype=torch.bool)
    elif keep.shape != weights.shape or keep.dtype != torch.bool:
        raise ValueError(f"keep must be bool of shape {tuple(weights.shape)}, got {keep.dtype} {tuple(keep.shape)}")
    split = ensemble.w1[0].numel()
    keep1 = keep[:, :split].reshape(ensemble.w1.shape)
    keep2 = keep[:, split:].reshape(ensemble.w2.shape)
    scale = 1.0 / width if reduction == "mean" else 1.0
    softmax = ensemble.output == "softmax"
    recorded = weights.new_empty((len(ensemble), steps if record else 0, weights.shape[1]))
    if ensemble.w1.device.type == "cpu":
        masks = (keep1.contiguous().numpy(), keep2.contiguous().numpy())
        samples = (x.contiguous().numpy(), y.contiguous().numpy())
        _train_cpu.sgd(*_arrays(ensemble), softmax, *masks, *samples, lr, scale, first, steps, recorded.numpy())
    else:
        parts = (ensemble.w1, ensemble.b1, ensemble.w2, ensemble.b2)
        _train_torch.sgd(*parts, softmax, keep1, keep2, x, y, lr, scale, first, steps, recorded)
    return recorded if record else None


def train(
    ensemble: MLPBatch,
    x_train: Tensor,
    y_train: Tensor,
    x_test: Tensor,
    y_test: Tensor,
    *,
    lr: float,
    epochs: int,
    benchmark: float | None,
    keep: Tensor | None = None,
    reduction: str = "mean",
) -> Trained:
    """Train copies of the networks, each until it reaches the benchmark.

    Parameters
    ----------
    ensemble : MLPBatch
        B networks with M weights, which are not changed.
    x_train, y_train, x_test, y_test : Tensor
        Samples as in `advance`.
    lr : float
        Learning rate, above 0.
    epochs : int
        Largest number of epochs, at least 1.
    benchmark : float or None
        Training accuracy in (0, 1]. With None every network is trained for all epochs.
    keep : Tensor (B, M), bool, optional
        Mask, True = keep. Pruned weights are zero from the start, as in the authors' scripts.
    reduction : str, default "mean"
        As in `advance`.

    Returns
    -------
    Trained

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    weights = ensemble.weights
    final = ensemble.with_weights(weights if keep is None else weights * keep)

    def epoch(active: MLPBatch, running: Tensor) -> None:
        masks = None if keep is None else keep[running]
        advance(active, x_train, y_train, lr=lr, first=0, steps=x_train.shape[0], keep=masks, reduction=reduction)

    def right(active: MLPBatch) -> Tensor:
        return accuracy(active, x_train, y_train)

    epoch_of, reached = train_until(final, epoch, right, benchmark=benchmark, epochs=epochs)
    return Trained(
        ensemble=final,
        epochs=epoch_of,
        reached=reached,
        train_accuracy=accuracy(final, x_train, y_train),
        test_accuracy=accuracy(final, x_test, y_test),
        test_f1=macro_f1(final, x_test, y_test),
    )


def _arrays(ensemble: MLPBatch) -> tuple[np.ndarray, ...]:
    """Return the parameters as NumPy views, so that the kernel writes into the tensors."""
    return tuple(getattr(ensemble, name).numpy() for name in ("w1", "b1", "w2", "b2"))
