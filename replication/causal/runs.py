"""The runs behind the verdicts on paper B: curves of accuracy against sparsity, by `protocols.prune_gradually`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from ccprune.mask import cubic
from ccprune.training import evaluate
from replication.causal.methods import Method, all_methods
from replication.causal.protocols import Point, prune_gradually, start
from replication.causal.setting import Setting
from replication.data.images import Images
from replication.ledger.units import Rows, Scalar, Units
from replication.networks import models

#: Names in the keys of stored units, where an attribute has been renamed since the first of them was stored.
_STORED_NAMES = {"lr": "rate"}

Network = Callable[[int], nn.Module]
Walk = Callable[..., Iterator[Point]]


def network(architecture: str, images: Images) -> Network:
    """Return paper B's network of a name for these images; the MLP has 300 and 100 hidden units.

    Parameters
    ----------
    architecture : str
        "mlp", "lenet", "alexnet32", "resnet18" or "resnet20".
    images : Images
        Images that give the sizes of inputs and outputs.

    Returns
    -------
    callable
        Maps a seed to an initial network.

    Raises
    ------
    ValueError
        If the name is unknown.
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
    """Split random training images off, to choose with.

    Parameters
    ----------
    images : Images
        The whole set.
    count : int
        Number of training images to split off.
    seed : int
        Seed of the draw.

    Returns
    -------
    training : Images
        The set without these training images.
    held : Images
        The same training images, with the images that were split off as its test part.

    Raises
    ------
    ValueError
        If the count is below 1 or leaves no training image.
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
    """Yield every seed, method and sparsity with its network, by `protocols.prune_gradually`.

    Every method of a seed starts from the same trained network and has the same mini-batches.

    Parameters
    ----------
    network : callable
        Maps a seed to an initial network.
    images : Images
        Training images.
    setting : Setting
        Settings of the training.
    names : sequence of str
        Methods of `all_methods`, or "dense".
    levels : sequence of float
        Rising sparsities.
    before, between, after : int
        Epochs before all cuts, before each cut, and after it.
    seeds : sequence of int
        One initial network each.
    totals : bool, default False
        Whether every level is a total of its own, reached from the start by the follow-up's ten cubic steps. Otherwise
        the levels are stations of one path.

    Yields
    ------
    seed : int
    method : str
    point : Point

    Raises
    ------
    ValueError
        If a name is unknown, or the levels do not rise within [0, 1].
    """
    paths = [(cubic(level, iterations=10), (level,)) for level in levels] if totals else [(levels, None)]
    for seed in seeds:
        walk = _walk(network, images, setting, names=names, before=before, seed=seed)
        for name in names:
            for path, only in paths:
                for point in walk(name, levels=path, only=only, between=between, after=after):
                    yield seed, name, point


def curve_row(seed: int, method: str, point: Point, images: Images, held: Images) -> dict[str, object]:
    """Return one row of the table of curves.

    Parameters
    ----------
    seed : int
        Seed of the network.
    method : str
        Name of the method.
    point : Point
        The pruned and trained network.
    images : Images
        Test images.
    held : Images
        Held-out images in their test part, as returned by `hold_out`.

    Returns
    -------
    dict
        seed, method, level, sparsity, valid_accuracy (on held-out images), test_accuracy, test_loss, train_loss,
        least_density (kept share of the emptiest layer) and epochs.
    """
    test = images.evaluate(point.model)
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


def training_key(setting: Setting) -> dict[str, Scalar]:
    """Return the setting's attributes as a part of the key of a unit.

    Parameters
    ----------
    setting : Setting
        Settings of the training.

    Returns
    -------
    dict
    """
    stored = {name: value if isinstance(value, Scalar) else str(value) for name, value in vars(setting).items()}
    return {_STORED_NAMES.get(name, name): value for name, value in stored.items()}


def curves(
    network: Network,
    images: Images,
    held: Images,
    setting: Setting,
    *,
    units: Units,
    key: Mapping[str, Scalar],
    names: Sequence[str],
    levels: Sequence[float],
    before: int,
    between: int,
    after: int,
    seeds: Sequence[int],
    totals: bool = False,
) -> Rows:
    """Return `curve_row` of all `points`, with one unit for each path that is trained.

    A unit is one (seed, method), with `totals` one (seed, method, total). Dense training does not depend on the total,
    so that there it is one unit a seed, whose row is repeated for each level.

    Parameters
    ----------
    network : callable
        Maps a seed to an initial network.
    images : Images
        Training and test images.
    held : Images
        Held-out images in their test part, as returned by `hold_out`.
    setting : Setting
        Settings of the training.
    units : Units
        Store of the units.
    key : mapping
        What the rows depend on beside the setting and the schedule: the data set, the architecture, the images held
        out, the device.
    names : sequence of str
        Methods of `all_methods`, or "dense".
    levels : sequence of float
        Rising sparsities.
    before, between, after : int
        Epochs before all cuts, before each cut, and after it.
    seeds : sequence of int
        One initial network each.
    totals : bool, default False
        As in `points`.

    Returns
    -------
    list of dict

    Raises
    ------
    ValueError
        If a name is unknown, or the levels do not rise within [0, 1].
    """
    schedule = {"before": before, "between": between, "after": after}
    found: Rows = []
    for seed in seeds:
        walk = _walk(network, images, setting, names=names, before=before, seed=seed)
        for name in names:

            def train(path: Sequence[float], walk: Walk = walk, seed: int = seed, name: str = name) -> Rows:
                steps = {"levels": path, "only": path[-1:] if totals else None, "between": between, "after": after}
                return [curve_row(seed, name, point, images, held) for point in walk(name, **steps)]

            one = {**key, **training_key(setting), **schedule, "study": "curves", "seed": seed, "method": name}
            if not totals:
                found += units.get(one | {"levels": " ".join(map(str, levels))}, partial(train, levels))
            elif name == "dense":
                path = cubic(levels[0], iterations=10)
                (row,) = units.get(one | {"total": 0.0, "iterations": 10}, partial(train, path))
                found += [row | {"level": level} for level in levels]
            else:
                for level in levels:
                    path = cubic(level, iterations=10)
                    found += units.get(one | {"total": level, "iterations": 10}, partial(train, path))
    return found


def stations(
    network: Network,
    images: Images,
    setting: Setting,
    *,
    units: Units,
    key: Mapping[str, Scalar],
    counts: Sequence[int],
    total: float,
    before: int,
    between: int,
    after: int,
    seeds: Sequence[int],
) -> Rows:
    """Reach one total in k cubic steps, for each k in `counts`, and return the test accuracy of each network.

    Every k is trained in two variants, which are the same for the largest: with `between` epochs before each cut, and
    with as many as make the total number of epochs that of the largest k. One unit is one (k, variant, seed, method).
    The methods are causal and magnitude pruning.

    Parameters
    ----------
    network : callable
        Maps a seed to an initial network.
    images : Images
        Training and test images.
    setting : Setting
        Settings of the training.
    units : Units
        Store of the units.
    key : mapping
        As in `curves`.
    counts : sequence of int
        Numbers of steps.
    total : float
        Sparsity after the last step.
    before, between, after : int
        Epochs before all cuts, before each cut of the largest k, and after the last cut.
    seeds : sequence of int
        One initial network each.

    Returns
    -------
    list of dict
        stations (k), between, seed, method, level, sparsity, epochs, test_accuracy and test_loss.

    Raises
    ------
    ValueError
        If a count does not divide the largest one.
    """
    names = ("causal", "magnitude")
    most = max(counts, default=1)
    if odd := [k for k in counts if most % k]:
        raise ValueError(f"counts must divide their largest, {most}; got {odd}")
    variants = list(dict.fromkeys((k, epochs) for k in counts for epochs in (between, between * most // k)))
    fixed = {**key, **training_key(setting), "before": before, "after": after, "study": "stations", "total": total}
    found: Rows = []
    for seed in seeds:
        walk = _walk(network, images, setting, names=names, before=before, seed=seed)
        for k, epochs in variants:
            for name in names:
                here = {"stations": k, "between": epochs, "seed": seed, "method": name}

                def train(here: dict[str, Any] = here, walk: Walk = walk) -> Rows:
                    path = cubic(total, iterations=here["stations"])
                    (point,) = walk(here["method"], levels=path, only=(total,), between=here["between"], after=after)
                    test = images.evaluate(point.model)
                    row = here | {"level": total, "sparsity": point.mask.sparsity, "epochs": point.epochs}
                    return [row | {"test_accuracy": test.accuracy, "test_loss": test.loss}]

                found += units.get(fixed | here, train)
    return found


def _walk(network: Network, images: Images, setting: Setting, *, names: Sequence[str], before: int, seed: int) -> Walk:
    """A function of a method's name and of `prune_gradually`'s schedule; the starting network is trained when needed.

    Raises ValueError for names that are no methods.
    """
    known: dict[str, Method | None] = {"dense": None, **all_methods(lr=setting.lr, seed=seed)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"names must be among {', '.join(known)}; got {', '.join(unknown)}")
    begin = cache(partial(start, network(seed), images, setting, epochs=before, seed=seed))

    def walk(name: str, **schedule: Any) -> Iterator[Point]:
        return prune_gradually(begin(), images, setting, known[name], seed=seed, **schedule)

    return walk
