"""Training as the authors' scripts do on MNIST, and what they measure."""

from dataclasses import dataclass

import torch
from sklearn.metrics import f1_score
from torch import Tensor

from replication.legcnet.mnist.rows import BATCH_SIZE, Digits, order
from replication.networks.stacked import ModelBatch
from replication.networks.until import train_until

RATE = 0.5
BENCHMARK = 0.92  # training accuracy at which training stops
BUDGET = 50  # epochs
_CHUNK = 4096  # rows whose outputs are held at once


@dataclass(frozen=True, eq=False)
class Trained:
    """Outcome of `train` for B networks.

    Attributes
    ----------
    networks : ModelBatch
        The networks as each stopped.
    epochs : Tensor (B,), int64
        Epoch after which the benchmark was reached, from 0 as in the paper; the budget where it was not reached.
    reached : Tensor (B,), bool
        Whether the benchmark was reached.
    """

    networks: ModelBatch
    epochs: Tensor
    reached: Tensor


@dataclass(frozen=True)
class Measures:
    """Accuracy and F1 of one network on test rows.

    The authors' scripts divide the number of correct rows by the number of mini-batches times their size, although the
    last is smaller, and take F1 over the first row of every mini-batch alone.

    Attributes
    ----------
    accuracy, f1 : float
        Over all rows; F1 is the macro average.
    accuracy_printed, f1_printed : float
        As the authors' scripts print them.
    """

    accuracy: float
    f1: float
    accuracy_printed: float
    f1_printed: float


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over rows and outputs of the squared distance to the one-hot labels, as torch's MSELoss does.

    Parameters
    ----------
    outputs : Tensor (n, o)
        Outputs of the network.
    labels : Tensor (n,), int64
        Classes, from 0 to o - 1.

    Returns
    -------
    Tensor ()
        The authors' loss.
    """
    target = torch.nn.functional.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)
    return (outputs - target).square().mean()


def predictions(networks: ModelBatch, x: Tensor) -> Tensor:
    """Return the predicted digits.

    Parameters
    ----------
    networks : ModelBatch
        B networks.
    x : Tensor (n, 784)
        Pixels.

    Returns
    -------
    Tensor (B, n), int64
    """
    return torch.cat([networks.outputs(part).argmax(-1) for part in x.split(_CHUNK)], 1)


def train(
    networks: ModelBatch,
    digits: Digits,
    *,
    seed: int,
    keep: Tensor | None = None,
    batch_size: int = BATCH_SIZE,
    benchmark: float | None = BENCHMARK,
    budget: int = BUDGET,
) -> Trained:
    """Train copies of networks on the mini-batches of `order`, each until it reaches the benchmark.

    The accuracy that counts is the training accuracy as the authors' scripts print it (see `Measures`), after each
    epoch.

    Parameters
    ----------
    networks : ModelBatch
        B networks with M weights, which are not changed.
    digits : Digits
        Training and test rows.
    seed : int
        Seed of the order of the mini-batches.
    keep : Tensor (B, M), bool, optional
        Mask, True = keep, enforced from before the first step on, as in the authors' scripts.
    batch_size : int, default 128
        Number of rows of a mini-batch.
    benchmark : float or None, default 0.92
        Training accuracy at which training stops. With None the whole budget is used.
    budget : int, default 50
        Largest number of epochs.

    Returns
    -------
    Trained

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    final = networks.select(range(len(networks)))
    if keep is not None:
        final.apply_(keep)
    device = digits.x_train.device
    counted = _counted_rows(len(digits.y_train), batch_size)
    mini_batches = order(len(digits.y_train), batch_size=batch_size, seed=seed)

    def epoch(active: ModelBatch, running: Tensor) -> None:
        kept = None if keep is None else active.split(keep.to(device)[running])
        for rows in next(mini_batches):
            rows = rows.to(device)
            active.sgd_(digits.x_train[rows], digits.y_train[rows], loss=squared_error, lr=RATE, keep=kept)

    def printed_accuracy(active: ModelBatch) -> Tensor:
        return (predictions(active, digits.x_train) == digits.y_train).sum(1) / counted

    epoch_of, reached = train_until(final, epoch, printed_accuracy, benchmark=benchmark, epochs=budget)
    return Trained(final, epoch_of.cpu(), reached.cpu())


def stop_at_benchmark(
    after_epochs: ModelBatch, digits: Digits, *, batch_size: int, benchmark: float, budget: int
) -> ModelBatch:
    """Return the dense network as `train` would have stopped it, from its states after each epoch.

    Parameters
    ----------
    after_epochs : ModelBatch
        The network after each of `budget` epochs or more.
    digits : Digits
        Training rows.
    batch_size : int
        Number of rows of a mini-batch.
    benchmark : float
        Training accuracy at which training stops.
    budget : int
        Largest number of epochs.

    Returns
    -------
    ModelBatch
        A stack of one.
    """
    counted = _counted_rows(len(digits.y_train), batch_size)
    for epoch in range(budget):
        network = after_epochs.select([epoch])
        if (predictions(network, digits.x_train) == digits.y_train).sum() / counted >= benchmark:
            break
    return network


def measure(networks: ModelBatch, digits: Digits, *, batch_size: int = BATCH_SIZE) -> list[Measures]:
    """Return the accuracy and F1 of each network on the test rows.

    Parameters
    ----------
    networks : ModelBatch
        B networks.
    digits : Digits
        Test rows.
    batch_size : int, default 128
        Number of rows of a mini-batch, which the printed figures depend on.

    Returns
    -------
    list of Measures
        One per network.
    """
    found = []
    truth = digits.y_test.cpu()
    counted = _counted_rows(len(truth), batch_size)
    for guess in predictions(networks, digits.x_test).cpu():
        right = int((guess == truth).sum())
        first = slice(None, None, batch_size)
        found.append(
            Measures(
                right / len(truth),
                _macro_f1(truth, guess),
                right / counted,
                _macro_f1(truth[first], guess[first]),
            )
        )
    return found


def _counted_rows(rows: int, batch_size: int) -> int:
    """What the authors' scripts divide by: rows of whole mini-batches."""
    return -(-rows // batch_size) * batch_size


def _macro_f1(truth: Tensor, guess: Tensor) -> float:
    return float(f1_score(truth, guess, average="macro", zero_division=0.0))
