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
    """Outcome of `train`: the networks as each stopped, and B figures each; `epochs` counts from 0, as the paper does.

    A network that never reached the benchmark has `reached` False and `epochs` equal to the budget.
    """

    networks: ModelBatch
    epochs: Tensor
    reached: Tensor


@dataclass(frozen=True)
class Measures:
    """Of one network on test rows.

    accuracy and f1 (macro) are over all of them. accuracy_printed and f1_printed are what the authors' scripts print:
    they divide the correct ones by the number of mini-batches times their size, although the last is smaller, and take
    F1 over the first row of every mini-batch alone.
    """

    accuracy: float
    f1: float
    accuracy_printed: float
    f1_printed: float


def squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean over rows and outputs of the squared distance to the one-hot labels: torch's MSELoss, the authors' loss."""
    target = torch.nn.functional.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)
    return (outputs - target).square().mean()


def predictions(networks: ModelBatch, x: Tensor) -> Tensor:
    """Predicted digits (B, n)."""
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
    """Trains copies of the networks on the mini-batches of `order`, each until it reaches the benchmark.

    `keep` (B, M) bool is enforced from before the first step on, as in the authors' scripts. The accuracy that counts
    is training accuracy as they print it (see `Measures`), after each epoch. With `benchmark` None all of the budget is
    used. Raises ValueError naming the argument.
    """
    final = networks.select(range(len(networks)))
    if keep is not None:
        final.apply_(keep)
    device = digits.x_train.device
    counted = _counted(len(digits.y_train), batch_size)
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


def stopped(after_epochs: ModelBatch, digits: Digits, *, batch_size: int, benchmark: float, budget: int) -> ModelBatch:
    """The dense network as `train` would have stopped it, from its states after each of `budget` epochs or more."""
    counted = _counted(len(digits.y_train), batch_size)
    for epoch in range(budget):
        network = after_epochs.select([epoch])
        if (predictions(network, digits.x_train) == digits.y_train).sum() / counted >= benchmark:
            break
    return network


def measure(networks: ModelBatch, digits: Digits, *, batch_size: int = BATCH_SIZE) -> list[Measures]:
    """Each network on the test rows."""
    found = []
    truth = digits.y_test.cpu()
    counted = _counted(len(truth), batch_size)
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


def _counted(rows: int, batch_size: int) -> int:
    """What the authors' scripts divide by: rows of whole mini-batches."""
    return -(-rows // batch_size) * batch_size


def _macro_f1(truth: Tensor, guess: Tensor) -> float:
    return float(f1_score(truth, guess, average="macro", zero_division=0.0))
