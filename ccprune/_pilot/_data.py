"""The data of a pilot: loaders, tensors, arrays, tables and CSV files, checked before any training."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune._pilot._tables import Table, read_tables
from ccprune._util.batches import Shuffled
from ccprune._util.checks import listed
from ccprune._util.inputs import batches, mapped, raw_bytes, samples, tensors

Samples = tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class Data:
    """Data of a pilot.

    Attributes
    ----------
    batches : callable
        Maps a seed to the mini-batches of an epoch, as `training.fit` takes them.
    batch : (x, y)
        The first mini-batch, with which scores that need one are computed.
    validation : (x, y)
        Samples on which networks are compared.
    test : (x, y) or None
        Samples on which the chosen networks are measured once more.
    features, classes : tuple of str, or None
        Names of a table's columns after encoding, and of its classes.
    sizes : {part: number of samples}, with None where the length of a loader is unknown
    digest : str
        Hash of all samples that are known in advance.
    """

    batches: Callable[[int], Any]
    batch: Samples
    validation: Samples
    test: Samples | None
    features: tuple[str, ...] | None
    classes: tuple[str, ...] | None
    sizes: Mapping[str, int | None]
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
        raise ValueError("validation must be given where train is no table")
    held = [gathered(part, name, device) for name, part in (("validation", validation), ("test", test))]
    source = training_batches(train, batch_size, device)
    (first,) = first_batches(source, seed, 1)
    whole = source(seed) if isinstance(source(seed), Shuffled) else None
    data = Data(
        batches=source,
        batch=first,
        validation=held[0],
        test=held[1],
        features=features,
        classes=classes,
        sizes={"train": samples(whole.x) if whole else None}
        | {name: samples(part[0]) for name, part in zip(("validation", "test"), held, strict=True) if part},
        digest=_digest((first, held, (whole.x, whole.y) if whole else None)),
    )
    _check(data, whole.y if whole else None)
    return data


def first_batches(source: Callable[[int], Any], seed: int, count: int) -> list[Samples]:
    """Return the first mini-batches of a seed, the same ones at each call."""
    with torch.random.fork_rng(devices=[]):  # a loader draws its order from the global generator
        torch.manual_seed(seed)
        return list(islice(source(seed)(0), count))


def training_batches(train: Any, batch_size: int, device: torch.device | None = None) -> Callable[[int], Any]:
    """Return a function that maps a seed to the mini-batches of an epoch."""
    pair = _pair(train, "train")
    if pair is not None:
        x, y = _moved(device, pair)
        return lambda seed: Shuffled(x, y, batch_size, seed=1_000_003 * seed)
    if not isinstance(train, Iterable) or isinstance(train, Mapping | Tensor | np.ndarray | str):
        raise TypeError(
            "train must be a pair (x, y), an iterable of batches such as a DataLoader, a DataFrame or the path of a "
            f"CSV file, got {type(train).__name__}"
        )
    if iter(train) is train:
        raise TypeError(f"train must be readable in every epoch, as a DataLoader is, got {type(train).__name__}")
    return lambda seed: _Loader(train, device)


@dataclass(frozen=True, eq=False)
class _Loader:
    """Mini-batches of a loader, whose order follows from the generator that training seeds."""

    loader: Iterable[Any]
    device: torch.device | None

    def __call__(self, epoch: int) -> Iterable[Samples]:
        # A generator of the loader's own goes on from epoch to epoch, and would be elsewhere after an interruption.
        for holder in (self.loader, getattr(self.loader, "sampler", None)):
            generator = getattr(holder, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(int(torch.randint(2**62, ())))
        for x, y in batches(self.loader, name="train"):
            yield _moved(self.device, x), _moved(self.device, y)

    def after(self, epochs: int) -> "_Loader":
        return self


def _moved(device: torch.device | None, value: Any) -> Any:
    """Return the value with its tensors on the device, or as it is where none is given. Pairs stay pairs."""
    return value if device is None else mapped(lambda one: one.to(device), value)


def _pair(part: Any, name: str) -> Samples | None:
    """Return (x, y) as tensors if the part is a pair of as many samples as targets, None for an iterable of batches."""
    if not isinstance(part, tuple) or len(part) != 2:
        return None
    x, y = map(_tensor, part)
    if samples(x) != samples(y) or not samples(x):
        raise ValueError(f"{name} must have as many x as y, at least 1, got {samples(x)} and {samples(y)}")
    return x, y


def _tensor(value: Any) -> Any:
    """Return arrays and Series as tensors, of float32 where they are of another floating type."""
    if isinstance(value, pd.Series | pd.DataFrame):
        value = value.to_numpy()
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
        return value.float() if value.is_floating_point() else value
    return value


def gathered(part: Any, name: str, device: torch.device | None = None) -> Samples | None:
    """Return all samples of a part as one pair (x, y)."""
    if part is None:
        return None
    pair = _pair(part, name)
    if pair is None:
        found = list(batches(part, name=name))
        pair = _joined([x for x, _ in found]), _joined([y for _, y in found])
    return _moved(device, pair)


def _joined(parts: list[Any]) -> Any:
    """Return values of the same structure with their tensors joined along the samples."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts) if len(parts) > 1 else first
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple | list):
        return tuple(_joined([part[place] for part in parts]) for place in range(len(first)))
    return first


def _check(data: Data, targets: Any) -> None:
    """Raise ValueError for values that are not finite, one class, and classes that only one part has."""
    parts = {"train": data.batch, "validation": data.validation, "test": data.test}
    for name, part in parts.items():
        for value in tensors(part):
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise ValueError(f"{name} must be finite, got {int((~torch.isfinite(value)).sum())} NaN or infinities")
    if not data.classifies or not isinstance(targets, Tensor):
        return
    trained = set(targets.unique().tolist())
    if len(trained) < 2:
        raise ValueError(f"train must have samples of 2 or more classes, got only class {trained.pop()}")
    for name in ("validation", "test"):
        part = parts[name]
        if part is None:
            continue
        there = set(part[1].unique().tolist())
        named = [str(value) if data.classes is None else data.classes[value] for value in sorted(trained - there)]
        if named:
            raise ValueError(f"{name} must have samples of every class of train, got none of {listed(named)}")
        if there - trained:
            raise ValueError(f"train must have samples of every class of {name}, got none of {sorted(there - trained)}")


def _digest(value: Any) -> str:
    state = hashlib.sha256()
    for tensor in tensors(value):
        state.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        state.update(raw_bytes(tensor))
    return state.hexdigest()
