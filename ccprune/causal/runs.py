"""The runs behind the verdicts on paper B: curves of accuracy against sparsity under the follow-up's protocol."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from ccprune import models
from ccprune.causal.methods import Method, methods
from ccprune.causal.protocols import Point, gradual, start
from ccprune.causal.setting import Setting
from ccprune.data.images import Images
from ccprune.mask import cubic
from ccprune.minibatch import evaluate

Network = Callable[[int], nn.Module]


def network(architecture: str, images: Images) -> Network:
    """Paper B's network of that name for these images, as a function of the seed; the MLP has 300 and 100 units.

    Raises ValueError for an unknown name.
    """
    _, channels, size, _ = images.x_train.shape
    makers = {
        "mlp": partial(models.mlp, (channels * size * size, 300, 100, images.classes)),
        "lenet": partial(models.lenet, channels, size, images.classes),
        "alexnet32": partial(models.alexnet32, channels, size, images.classes),
        "resnet18": partial(models.resnet18, channels, images.classes),
        "resnet20": partial(models.resnet20, channels, images.classes),
    }
    if architecture not in makers:
        raise ValueError(f"architecture must be one of {tuple(makers)}, got {architecture!r}")
    return lambda seed: makers[architecture](seed=seed)


def hold_out(images: Images, *, count: int, seed: int) -> tuple[Images, Images]:
    """Splits `count` random training images off: (images to train on and test with, images to choose with).

    The second has the held-out images as its test part and no meaningful training part. Raises ValueError for a count
    that leaves nothing.
    """
    if not 0 < count < len(images.x_train):
        raise ValueError(f"count must lie in 1..{len(images.x_train) - 1}, got {count}")
    order = torch.randperm(len(images.x_train), generator=torch.Generator().manual_seed(seed)).to(images.x_train.device)
    held, rest = order[:count], order[count:]
    training = replace(images, x_train=images.x_train[rest], y_train=images.y_train[rest])
    return training, replace(training, x_test=images.x_train[held], y_test=images.y_train[held])


def points(
    network: Network,
    images: Images,
    setting: Setting,
    *,
    names: Sequence[str],
    levels: Sequence[float],
    before: int,
    between: int,
    after: int,
    seeds: Sequence[int],
    totals: bool = False,
) -> Iterator[tuple[int, str, Point]]:
    """(seed, method, point) for every seed, method and sparsity, by `protocols.gradual`; "dense" may be a method.

    Every method of a seed starts from the same trained network and sees the same mini-batches. With `totals` every
    level is a total of its own, reached from the start by the follow-up's ten cubic steps; else they are stations of
    one path.
    """
    paths = [(cubic(level, iterations=10), (level,)) for level in levels] if totals else [(levels, None)]
    for seed in seeds:
        known: Mapping[str, Method | None] = {"dense": None, **methods(rate=setting.rate, seed=seed)}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"names must be among {', '.join(known)}; got {', '.join(unknown)}")
        begin = start(network(seed), images, setting, epochs=before, seed=seed)
        for name in names:
            for path, only in paths:
                schedule = {"levels": path, "only": only, "between": between, "after": after, "seed": seed}
                for point in gradual(begin, images, setting, known[name], **schedule):
                    yield seed, name, point


def curve_row(seed: int, method: str, point: Point, images: Images, held: Images) -> dict[str, object]:
    """One row of the table of curves: sparsity, accuracy on held-out and on test images, the emptiest layer."""
    test = evaluate(point.model, images.x_test, images.y_test, normalise=images.normalise)
    valid = evaluate(point.model, held.x_test, held.y_test, normalise=images.normalise)
    return {
        "seed": seed,
        "method": method,
        "level": point.level,
        "sparsity": point.mask.sparsity,
        "valid_accuracy": valid.accuracy,
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "train_loss": point.loss,
        "least_density": point.mask.least_density,
        "epochs": point.epochs,
    }
