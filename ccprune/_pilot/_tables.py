"""Tables for a pilot: numeric columns standardised, others as one column a category, targets as classes or numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune._util.checks import join_first

#: A numeric target with at most this many different whole numbers holds classes.
MOST_CLASSES = 20
_SHARES = (0.6, 0.2)  # of training and validation samples where one table is given; the rest is for the test


@dataclass(frozen=True, eq=False)
class Table:
    """Parts of a table as pairs of tensors (x float32 (n, features), y), and what its numbers mean."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor] | None
    features: tuple[str, ...]
    classes: tuple[str, ...] | None


def read_tables(train: Any, validation: Any, test: Any, *, target: str | None, seed: int) -> Table:
    """Encode the parts of a table.

    Means, standard deviations and categories are those of the training part. Classes become the numbers 0, 1, ... in
    sorted order. Other targets are standardised and have shape (n, 1). Where `validation` is None, 60% of the rows are
    training samples, and 20% each validation and test samples, with the same share of each class.

    Raises
    ------
    ValueError, TypeError
        If the target is not a column, a value is missing, the columns differ, or a validation category is unknown.
    """
    given = {"train": train, "validation": validation, "test": test}
    frames = {name: _read(part, name) for name, part in given.items() if part is not None}
    whole = frames["train"]
    names = list(map(str, whole.columns))
    if whole.columns.has_duplicates:
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"train must have different column names, got {join_first(twice)} more than once")
    if target is None or target not in whole.columns:
        raise ValueError(f"target must be one of the columns {join_first(names)}, got {target!r}")
    for name, frame in frames.items():
        if sorted(map(str, frame.columns)) != sorted(names):
            odd = sorted(set(names) ^ set(map(str, frame.columns)))
            raise ValueError(f"{name} must have the columns of train, they differ by {join_first(odd)}")
        _check(frame, name)
    classes = _classes(whole[target])
    if validation is None:
        if test is not None:
            raise ValueError("validation must be given with test, got None")
        frames = _split(whole, target if classes is not None else None, seed)
    x, features = _encode(frames, target)
    y = {name: _targets(frame[target], frames["train"][target], classes, name) for name, frame in frames.items()}
    pairs = {name: (x[name], y[name]) for name in frames}
    return Table(pairs["train"], pairs["validation"], pairs.get("test"), features, classes)


def _read(part: Any, name: str) -> pd.DataFrame:
    if not isinstance(part, pd.DataFrame | str | Path):
        raise TypeError(f"{name} must be a table or the path of a CSV file like train, got {type(part).__name__}")
    frame = part if isinstance(part, pd.DataFrame) else pd.read_csv(part)
    if not len(frame):
        raise ValueError(f"{name} must have at least one row, got none")
    return frame


def _check(frame: pd.DataFrame, name: str) -> None:
    """Raise ValueError for columns of other types, before any of them is cast, and for values that are not numbers."""
    for column, kind in frame.select_dtypes(["complexfloating", "datetime", "datetimetz", "timedelta"]).dtypes.items():
        raise ValueError(f"{name} must have real numbers, and dates as numbers such as days, got {kind} in {column!r}")
    infinite = frame.select_dtypes("number").isin([np.inf, -np.inf])
    for problem, found in {"no missing values": frame.isna(), "no infinities": infinite}.items():
        counts = [f"{column} ({count})" for column, count in found.sum().items() if count]
        if counts:
            raise ValueError(f"{name} must have {problem}, got some in {join_first(counts)}")


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _classes(column: pd.Series) -> tuple[str, ...] | None:
    """Return the names of the classes, or None for a target that is a number."""
    values = pd.unique(column).tolist()
    if len(values) < 2:
        raise ValueError(f"target must be a column with 2 or more values, got only {values[0]} in {column.name!r}")
    if _is_number(column) and (len(values) > MOST_CLASSES or any(value != round(value) for value in values)):
        return None
    if len(values) > max(MOST_CLASSES, len(column) // 5):
        raise ValueError(f"target must have classes of 5 or more rows, got {len(values)} classes in {column.name!r}")
    return tuple(map(str, sorted(values, key=_by_type)))


def _split(frame: pd.DataFrame, target: str | None, seed: int) -> dict[str, pd.DataFrame]:
    """Split the rows at random, for classes within each class."""
    generator = np.random.default_rng(seed)
    frame = frame.reset_index(drop=True)
    groups = [frame.index.to_numpy()] if target is None else frame.groupby(target, sort=True).indices.values()
    orders = [generator.permutation(group) for group in groups]
    parts = zip(*(np.split(one, np.round(np.cumsum(_SHARES) * len(one)).astype(int)) for one in orders), strict=True)
    names = ("train", "validation", "test")
    return {name: frame.iloc[np.sort(np.concatenate(rows))] for name, rows in zip(names, parts, strict=True)}


def _encode(frames: dict[str, pd.DataFrame], target: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    train = frames["train"]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in frames}
    features: list[str] = []
    for column, values in train.drop(columns=target).items():
        if _is_number(values):
            for name, frame in frames.items():
                columns[name].append(_standardise(frame[column], values))
            features.append(str(column))
            continue
        categories = sorted(pd.unique(values), key=_by_type)
        if len(categories) > max(MOST_CLASSES, len(train) // 5):
            raise ValueError(
                f"train must have categories of 5 or more rows, got {len(categories)} categories in {column!r}; "
                "leave out columns that only identify a row"
            )
        for name, frame in frames.items():
            unknown = sorted(map(str, set(pd.unique(frame[column])) - set(categories)))
            if unknown:
                raise ValueError(f"{name} must have categories of train in {column!r}, got {join_first(unknown)}")
            columns[name] += [(frame[column] == value).to_numpy(dtype=float) for value in categories]
        features += [f"{column}={value}" for value in categories]
    if not features:
        raise ValueError(f"train must have a column beside the target {target!r}, got none")
    stacked = {name: torch.from_numpy(np.stack(values, 1).astype(np.float32)) for name, values in columns.items()}
    return stacked, tuple(features)


def _standardise(column: pd.Series, train: pd.Series) -> np.ndarray:
    """Return a column minus the training mean, over the training spread; a column without spread becomes 0."""
    return (column.to_numpy(dtype=float) - float(train.mean())) / (float(train.std(ddof=0)) or 1.0)


def _by_type(value: Any) -> tuple[str, Any]:
    """Return a key by which values of different types, such as numbers and text, can be sorted."""
    return "text" if isinstance(value, str) else "", value


def _targets(column: pd.Series, train: pd.Series, classes: tuple[str, ...] | None, name: str) -> Tensor:
    if classes is None:
        return torch.from_numpy(_standardise(column, train).astype(np.float32))[:, None]
    unknown = sorted(set(map(str, pd.unique(column))) - set(classes))
    if unknown:
        raise ValueError(f"{name} must have the classes of train, got also {join_first(unknown)}")
    return torch.tensor([classes.index(str(value)) for value in column])
