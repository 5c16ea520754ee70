"""The data of a pilot: loaders, tensors, arrays, tables and CSV files, checked before any training."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune._pilot._tables import Table, read_tables
from ccprune._util.batches import Shuffled
from ccprune._util.checks import join_first
from ccprune._util.inputs import batches, count_samples, map_tensors, raw_bytes, tensors

Samples = tuple[Any, Any]
#: Maps a seed and the number of epochs that are done to the mini-batches of the next epochs, for `training.fit`.
Source = Callable[[int, int], Callable[[int], Iterable[Samples]]]


@dataclass(frozen=True, eq=False)
class Data:
    """Data of a pilot: the `batches` of training, the first of them, and the held-out samples.

    `steps` is the number of mini-batches of an epoch, 0 if it is unknown; `features` and `classes` are the names of a
    table's columns after encoding, and of its classes; `digest` is the hash of all samples that are known in advance.
    """

    batches: Source
    steps: int
    batch: Samples
    validation: Samples
    test: Samples | None
    features: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    sizes: Mapping[str, int]
    digest: str

    @property
    def classifies(self) -> bool:
        """Whether the targets are classes: one tensor of integers with one number a sample."""
        y = self.validation[1]
        return isinstance(y, Tensor) and y.ndim == 1 and not y.is_floating_point()


def load(
    train: Any, validation: Any, test: Any, *, target: str | None, batch_size: int, seed: int, device: torch.device
) -> Data:
    """Return the data of a pilot, with the errors that `ccprune.pilot` documents."""
    features = classes = None
    if isinstance(train, str | Path | pd.DataFrame):
        table: Table = read_tables(train, validation, test, target=target, seed=seed)
        train, validation, test = table.train, table.validation, table.test
        features, classes = table.features, table.classes
    elif target is not None:
        raise ValueError(f"target is for tables and paths of CSV files, got target={target!r} with other data")
    if validation is None:
        raise ValueError("validation must be given unless train is a table")
    source = training_batches(train, batch_size, device)
    (first,) = first_batches(source, seed, 1)
    held = {name: gather(part, name, device) for name, part in (("validation", validation), ("test", test))}
    parts: dict[str, Samples] = {name: part for name, part in held.items() if part is not None}
    whole = _pair(train, "train")
    try:
        steps = len(train) if whole is None else math.ceil(count_samples(whole[0]) / batch_size)
    except TypeError:  # a stream has no length
        steps = 0
    known = parts if whole is None else {"train": whole} | parts
    data = Data(
        batches=source,
        steps=steps,
        batch=first,
        validation=parts["validation"],
        test=held["test"],
        features=features,
        classes=classes,
        sizes={name: count_samples(x) for name, (x, _) in known.items()},
        digest=_digest([first, known]),
    )
    _check({"train": first} | parts, None if whole is None else whole[1], data)
    return data


def first_batches(source: Source, seed: int, count: int) -> list[Samples]:
    """Return the first mini-batches of a seed, the same ones at each call."""
    with torch.random.fork_rng(devices=[]):  # a loader draws its order from the global generator
        torch.manual_seed(seed)
        return list(islice(source(seed, 0)(0), count))


def training_batches(train: Any, batch_size: int, device: torch.device | None = None) -> Source:
    """Return a function that maps a seed and a number of epochs to the mini-batches of the following epochs."""
    pair = _pair(train, "train")
    if pair is not None:
        x, y = _move(device, pair)
        return lambda seed, done: Shuffled(x, y, batch_size, seed=1_000_003 * seed + done)
    if not isinstance(train, Iterable) or isinstance(train, Mapping | Tensor | np.ndarray | str):
        raise TypeError(
            "train must be a pair (x, y), an iterable of batches such as a DataLoader, a DataFrame or the path of a "
            f"CSV file, got {type(train).__name__}"
        )
    if iter(train) is train:
        raise TypeError(f"train must be readable in every epoch, as a DataLoader is, got {type(train).__name__}")
    return lambda seed, done: partial(_load_batches, train, device)


def _load_batches(loader: Any, device: torch.device | None, epoch: int) -> Iterator[Samples]:
    """Yield the mini-batches of a loader, whose order follows from the generator that training seeds.

    As in `Shuffled`, a single sample that is left over is added to the mini-batch before, for batch norm.
    """
    # The loader's own generator advances from epoch to epoch, and would have another state after an interruption.
    for holder in (loader, getattr(loader, "sampler", None)):
        generator = getattr(holder, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(int(torch.randint(2**62, ())))
    held: list[Samples] = []
    for batch in batches(loader, name="train"):
        if held and count_samples(batch[0]) == 1 < count_samples(held[0][0]):
            held = [_join([*held, batch])]
            continue
        yield from _move(device, held)
        held = [batch]
    yield from _move(device, held)


def _move(device: torch.device | None, value: Any) -> Any:
    """Return the value with its tensors on the device, or as it is where none is given. Pairs stay pairs."""
    return value if device is None else map_tensors(lambda one: one.to(device), value)


def _pair(part: Any, name: str) -> Samples | None:
    """Return (x, y) as tensors if the part is a pair of as many samples as targets, None for an iterable of batches."""
    if not isinstance(part, tuple) or len(part) != 2:
        return None
    x, y = map(_tensor, part)
    if count_samples(x) != count_samples(y) or not count_samples(x):
        raise ValueError(f"{name} must have as many x as y, at least 1, got {count_samples(x)} and {count_samples(y)}")
    return x, y


def _tensor(value: Any) -> Any:
    """Return arrays and Series as tensors, of float32 where they are of another floating type."""
    if isinstance(value, pd.Series | pd.DataFrame):
        value = value.to_numpy()
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
        return value.float() if value.is_floating_point() else value
    return value


def gather(part: Any, name: str, device: torch.device | None = None) -> Samples | None:
    """Return all samples of a part as one pair (x, y)."""
    if part is None:
        return None
    return _move(device, _pair(part, name) or _join(list(batches(part, name=name))))


def _join(parts: list[Any]) -> Any:
    """Return values of the same structure with their tensors joined along the samples."""
    joined = iter([torch.cat(one) for one in zip(*map(tensors, parts), strict=True)])
    return map_tensors(lambda _: next(joined), parts[0])


def _check(parts: Mapping[str, Samples], targets: Any, data: Data) -> None:
    """Raise ValueError for values that are not finite or complex, one class, and classes that only one part has."""
    for name, part in parts.items():
        for value in tensors(part):
            if value.is_complex():
                raise ValueError(f"{name} must be real, got {value.dtype}")
            if not bool(torch.isfinite(value).all()):
                raise ValueError(f"{name} must be finite, got {int((~torch.isfinite(value)).sum())} NaN or infinities")
    if not data.classifies or not isinstance(targets, Tensor):
        return
    classes = {"train": set(targets.unique().tolist())}
    classes |= {name: set(part[1].unique().tolist()) for name, part in parts.items() if name != "train"}
    if len(classes["train"]) < 2:
        raise ValueError(f"train must have samples of 2 or more classes, got only class {classes['train'].pop()}")
    for name in classes:
        for one, other in ((name, "train"), ("train", name)):
            if lacking := classes[other] - classes[one]:
                names = [str(value) if data.classes is None else data.classes[value] for value in sorted(lacking)]
                raise ValueError(f"{one} must have samples of every class of {other}, got none of {join_first(names)}")


def _digest(value: Any) -> str:
    state = hashlib.sha256()
    for tensor in tensors(value):
        state.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        state.update(raw_bytes(tensor))
    return state.hexdigest()
