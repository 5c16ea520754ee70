"""Loss after one-shot pruning without retraining, with and without a correction of the remaining weights.

LeNet on 5,000 digits of MNIST and a decoder-only transformer on text are trained once per seed. Every criterion prunes
the same networks, with the same sparsity in every layer, and every mask is applied alone and with
`scores.reconstruction.reconstruct` ("NAME + update"). SparseGPT chooses its own masks. All methods have the same
calibration inputs. The seconds are those of one pruning, without the computation of the scores.

The training is by Adam, with a last, recorded epoch of plain SGD. In a first trial of two seeds, trained and recorded
with momentum (LeNet) and Adam (transformer), one LeNet was still near chance, so that trial was discarded.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import _common
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adam, Optimizer

from ccprune import criteria
from ccprune._util.batches import Shuffled
from ccprune._util.modes import eval_mode
from ccprune.mask import Mask
from ccprune.scores.reconstruction import reconstruct, sparsegpt
from ccprune.stats import mean_interval, paired_difference
from replication.data import images, text
from replication.networks import models
from replication.networks.decoder import transformer

CRITERIA = ("random", "magnitude", "wanda_row", "obs", "causal")
SPARSITIES = (0.5, 0.7, 0.9)
Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Task:
    """A network, its mini-batches of an epoch, and those of the test."""

    name: str
    make: Callable[[int], nn.Module]
    lr: float  # of Adam
    epoch: Callable[[int, int], Batches]  # of seed and epoch
    epochs: int  # before the recorded one
    calibration: int  # mini-batches
    test: list[tuple[Tensor, Tensor]]


def lenet() -> Task:
    digits = images.load("mnist5k")
    x, x_test = digits.normalise(digits.x_train), digits.normalise(digits.x_test)
    test = list(zip(x_test.split(500), digits.y_test.split(500), strict=True))

    def epoch(seed: int, number: int) -> Batches:
        return Shuffled(x, digits.y_train, 64, seed=1000 * seed)(number)

    make = partial(models.lenet, 1, 28, 10)
    return Task("LeNet, mnist5k", lambda seed: make(seed=seed), 1e-3, epoch, 4, 12, test)


def decoder() -> Task:
    pages = text.python_topics()

    pieces = partial(text.batches, length=64, batch_size=16)
    make = partial(transformer, text.VOCABULARY, context=64, width=64, heads=4, layers=2)
    test = list(pieces(pages.test, steps=16, seed=0))

    def epoch(seed: int, number: int) -> Batches:
        return pieces(pages.train, steps=150, seed=1000 * seed + number)

    return Task("transformer, text", lambda seed: make(seed=seed), 3e-3, epoch, 3, 8, test)


def loss_of(outputs: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy of images, or of the tokens of texts."""
    return cross_entropy(outputs.flatten(0, -2), y.flatten(), reduction=reduction)


def train_dense(task: Task, seed: int) -> tuple[nn.Module, criteria.Recording]:
    """The dense network, trained by Adam, and the recording of a last epoch of plain SGD."""
    torch.manual_seed(seed)
    model = task.make(seed)

    def train(optimizer: Optimizer, numbers: Iterable[int], recording: criteria.Recording | None = None) -> None:
        for number in numbers:
            for x, y in task.epoch(seed, number):
                loss = loss_of(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                if recording is not None:
                    recording.before_step(loss)
                optimizer.step()
                if recording is not None:
                    recording.after_step(loss_of(model(x), y))

    train(Adam(model.parameters(), lr=task.lr), range(task.epochs))
    sgd = SGD(model.parameters(), lr=0.01)
    with criteria.Recording(model, sgd, CRITERIA) as recording:
        train(sgd, [task.epochs], recording)
    return model, recording


@torch.no_grad()
def losses(task: Task, model: nn.Module) -> tuple[float, float]:
    """Mean cross-entropy and accuracy on the test part."""
    totals = torch.zeros(3, dtype=torch.float64)
    with eval_mode(model):
        for x, y in task.test:
            outputs = model(x)
            right = (outputs.argmax(-1) == y).sum()
            totals += torch.stack([loss_of(outputs, y, "sum"), right, torch.tensor(y.numel())]).double()
    return (totals[0] / totals[2]).item(), (totals[1] / totals[2]).item()


def measure_methods(task: Task, seed: int) -> Iterator[dict]:
    """One row per method and sparsity, which is that of every layer."""
    model, recording = train_dense(task, seed)
    inputs = list(islice(task.epoch(seed, 0), task.calibration))
    found = {
        name: criteria.score(name, model, x=inputs, seed=seed, store=recording.stores.get(name)) for name in CRITERIA
    }

    def measure_pruned(method: str, sparsity: float, prune: Callable[[nn.Module], object]) -> dict:
        branch = copy.deepcopy(model)
        begin = time.perf_counter()
        prune(branch)
        seconds = time.perf_counter() - begin
        loss, accuracy = losses(task, branch)
        row = {"method": method, "sparsity": sparsity, "seed": seed, "loss": loss, "accuracy": accuracy}
        return row | {"seconds": seconds}

    yield measure_pruned("dense", 0.0, lambda _: None)
    for sparsity in SPARSITIES:
        for name in CRITERIA:
            mask = Mask.from_scores(found[name], sparsity=sparsity, allocation="uniform")
            yield measure_pruned(name, sparsity, mask.apply_)
            yield measure_pruned(f"{name} + update", sparsity, partial(reconstruct, mask=mask, x=inputs))
        yield measure_pruned("sparsegpt", sparsity, partial(sparsegpt, x=inputs, sparsity=sparsity))


def summary(task: Task, found: list[dict]) -> tuple[list[dict], list[dict]]:
    """Rows and claims of the result file: means with intervals over seeds, and differences from magnitude."""
    groups: dict[tuple[float, str], list[dict]] = {}
    for one in found:
        groups.setdefault((one["sparsity"], one["method"]), []).append(one)
    rows, claims = [], []
    for (sparsity, method), runs in groups.items():
        loss, accuracy, seconds = (np.array([one[key] for one in runs]) for key in ("loss", "accuracy", "seconds"))
        mean = mean_interval(loss)
        note = f"loss {loss.mean():.3f} [{mean.low:.3f}, {mean.high:.3f}], accuracy {accuracy.mean():.3f}"
        if sparsity and method != "magnitude":
            other = np.array([one["loss"] for one in groups[sparsity, "magnitude"]])
            test = paired_difference(loss, other)
            note += f"; minus magnitude {(loss - other).mean():.3f} [{test.low:.3f}, {test.high:.3f}]"
            if method in ("magnitude + update", "sparsegpt"):
                claim = f"{task.name}, {sparsity:.0%} pruned: loss of {method}, times that of magnitude"
                claims.append(_common.claim(claim, float(loss.mean() / other.mean()), most=1.0))
        size = f"{Mask.ones_like(task.make(0)).total:,} weights, {len(runs)} networks"
        where = f"{task.name}, {sparsity:.0%} pruned"
        raw = {"runs": [{key: one[key] for key in ("seed", "loss", "accuracy")} for one in runs]}
        rows.append(_common.row(where, method, size, float(seconds.mean()), note=note) | raw)
    return rows, claims


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4, help="networks of each task, at least 2 (4)")
    tasks = (lenet(), decoder())
    found: dict[str, list[dict]] = {task.name: [] for task in tasks}
    for seed in range(parser.parse_args().seeds):
        for task in tasks:
            with _common.threads(1):
                found[task.name] += measure_methods(task, seed)
        if seed:  # an interrupted run has the results of its seeds
            rows, claims = zip(*(summary(task, found[task.name]) for task in tasks), strict=True)
            _common.save("one_shot", sum(rows, []), sum(claims, []))


if __name__ == "__main__":
    main()
