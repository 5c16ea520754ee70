"""Tables for a pilot: numeric columns standardised, others as one column a category, targets as classes or numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ccprune._util.checks import listed

#: A numeric target with at most this many different whole numbers holds classes.
MOST_CLASSES = 20
_SHARES = (0.6, 0.2)  # of training and validation samples where one table is given; the rest is for the test


@dataclass(frozen=True, eq=False)
class Table:
    """Parts of a table as pairs of tensors (x float32 (n, features), y), and what its numbers mean."""

    train: tuple[torch.Tensor, torch.Tensor]
    validation: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor] | None
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
        If the target is no column, a value is missing, the columns differ, or a validation category is unknown.
    """
    frames = {name: _read(part, name) for name, part in (("train", train), ("validation", validation), ("test", test))}
    whole = frames["train"]
    assert whole is not None
    twice = whole.columns[whole.columns.duplicated()]
    if len(twice):
        raise ValueError(f"train must have different column names, got {listed(list(map(str, twice)))} more than once")
    if target is None or target not in whole.columns:
        raise ValueError(f"target must be one of the columns {listed(list(map(str, whole.columns)))}, got {target!r}")
    for name, frame in frames.items():
        if frame is None:
            continue
        if len(frame.columns) != len(whole.columns) or set(frame.columns) != set(whole.columns):
            odd = sorted(map(str, set(frame.columns) ^ set(whole.columns)))
            raise ValueError(f"{name} must have the columns of train, they differ by {listed(odd)}")
        empty = frame.isna().sum()
        if empty.any():
            counts = [f"{column} ({count})" for column, count in empty[empty > 0].items()]
            raise ValueError(f"{name} must have no missing values, got some in {listed(counts)}")
        numbers = frame.select_dtypes("number")
        infinite = [str(column) for column in numbers if not np.isfinite(numbers[column].to_numpy(dtype=float)).all()]
        if infinite:
            raise ValueError(f"{name} must be finite, got infinities in {listed(infinite)}")
    classes = _classes(whole[target])
    if frames["validation"] is None:
        if frames["test"] is not None:
            raise ValueError("validation must be given with test, got None")
        frames = _split(whole, target if classes is not None else None, seed)
    given = {name: frame for name, frame in frames.items() if frame is not None}
    x, features = _encoded(given, target)
    y = {name: _targets(frame[target], given["train"][target], classes, name) for name, frame in given.items()}
    pairs = {name: (x[name], y[name]) for name in given}
    return Table(pairs["train"], pairs["validation"], pairs.get("test"), features, classes)


def _read(part: Any, name: str) -> pd.DataFrame | None:
    if part is None or isinstance(part, pd.DataFrame):
        frame = part
    elif isinstance(part, str | Path):
        frame = pd.read_csv(part)
    else:
        raise TypeError(f"{name} must be a table or the path of a CSV file like train, got {type(part).__name__}")
    if frame is not None and not len(frame):
        raise ValueError(f"{name} must have at least one row, got none")
    return frame


def _classes(column: pd.Series) -> tuple[str, ...] | None:
    """Return the names of the classes, or None for a target that is a number."""
    values = pd.unique(column).tolist()
    if len(values) < 2:
        raise ValueError(f"target must be a column with 2 or more values, got only {values[0]} in {column.name!r}")
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        whole = np.all(np.asarray(values) == np.round(np.asarray(values, dtype=float)))
        if not whole or len(values) > MOST_CLASSES:
            return None
    if len(values) > max(MOST_CLASSES, len(column) // 5):
        raise ValueError(f"target must have classes of 5 or more rows, got {len(values)} classes in {column.name!r}")
    return tuple(map(str, sorted(values, key=_by_type)))


def _split(frame: pd.DataFrame, target: str | None, seed: int) -> dict[str, pd.DataFrame | None]:
    """Split the rows at random, for classes within each class."""
    generator = np.random.default_rng(seed)
    parts: dict[str, list[Any]] = {"train": [], "validation": [], "test": []}
    frame = frame.reset_index(drop=True)
    groups = [np.arange(len(frame))] if target is None else list(frame.groupby(target, sort=True).indices.values())
    for group in groups:
        order = generator.permutation(group)
        cuts = np.round(np.cumsum(_SHARES) * len(order)).astype(int)
        for name, rows in zip(parts, np.split(order, cuts), strict=True):
            parts[name].append(rows)
    return {name: frame.iloc[np.sort(np.concatenate(rows))] for name, rows in parts.items()}


def _encoded(frames: dict[str, pd.DataFrame], target: str) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    train = frames["train"]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in frames}
    features: list[str] = []
    for column in train.columns:
        if column == target:
            continue
        if pd.api.types.is_complex_dtype(train[column]):
            raise ValueError(f"train must have real numbers, got complex ones in {column!r}")
        if pd.api.types.is_numeric_dtype(train[column]) and not pd.api.types.is_bool_dtype(train[column]):
            mean, spread = float(train[column].mean()), float(train[column].std(ddof=0))
            for name, frame in frames.items():
                # A constant column has no spread, and becomes 0.
                columns[name].append((frame[column].to_numpy(dtype=float) - mean) / (spread or 1.0))
            features.append(str(column))
            continue
        if pd.api.types.is_datetime64_any_dtype(train[column]) or pd.api.types.is_timedelta64_dtype(train[column]):
            raise ValueError(f"train must have dates as numbers, such as days, got {train[column].dtype} in {column!r}")
        if (count := train[column].nunique()) > max(MOST_CLASSES, len(train) // 5):
            raise ValueError(
                f"train must have categories of 5 or more rows, got {count} categories in {column!r}; "
                "leave out columns that only identify a row"
            )
        categories = sorted(pd.unique(train[column]), key=_by_type)
        for name, frame in frames.items():
            unknown = sorted(map(str, set(pd.unique(frame[column])) - set(categories)))
            if unknown:
                raise ValueError(f"{name} must have categories of train in {column!r}, got {listed(unknown)}")
            columns[name] += [(frame[column] == value).to_numpy(dtype=float) for value in categories]
        features += [f"{column}={value}" for value in categories]
    if not features:
        raise ValueError(f"train must have a column beside the target {target!r}, got none")
    stacked = {name: torch.from_numpy(np.stack(values, 1).astype(np.float32)) for name, values in columns.items()}
    return stacked, tuple(features)


def _by_type(value: Any) -> tuple[str, Any]:
    """Return a key by which values of different types, such as numbers and text, can be sorted."""
    return "text" if isinstance(value, str) else "", value


def _targets(column: pd.Series, trained: pd.Series, classes: tuple[str, ...] | None, name: str) -> torch.Tensor:
    if classes is None:
        values = column.to_numpy(dtype=float)
        mean, spread = float(trained.mean()), float(trained.std(ddof=0))
        return torch.from_numpy(((values - mean) / (spread or 1.0)).astype(np.float32))[:, None]
    places = {value: place for place, value in enumerate(classes)}
    unknown = sorted(set(map(str, pd.unique(column))) - set(classes))
    if unknown:
        raise ValueError(f"{name} must have the classes of train, got also {listed(unknown)}")
    return torch.tensor([places[str(value)] for value in column])
