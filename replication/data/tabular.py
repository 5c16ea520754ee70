"""The six tabular data sets of paper A, split and scaled in two ways.

``preprocessing="authors"`` follows paper A's released scripts in all details, so that its tables can be re-run: cancer,
titanic and banknote are standardised per sample, across the sample's features; iris is standardised per feature; vowel
is scaled to [0, 1] per feature. The test part is scaled, and its missing values are filled, by its own statistics.
``preprocessing="standard"`` has the same rows in the same order, standardised per feature by the training part alone.
"""

import hashlib
import operator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from replication.data import authors
from replication.data._tables import AUTHORS, PACKAGED, Table

NAMES = ("cancer", "titanic", "banknote", "iris", "iris3f", "vowel")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Split and scaled data set with n training rows, m test rows, d features and o outputs.

    Attributes
    ----------
    name : str
    x_train, x_test : Tensor (n, d), (m, d)
        Features in the order of per-sample training, float64.
    y_train, y_test : Tensor (n, o), (m, o)
        Targets in {0, 1}, float64: o = 1 for two classes, otherwise one-hot with o classes.
    features : tuple of str
        Names of the features.
    classes : int
        Number of classes.
    preprocessing : str
        "standard" or "authors".
    source : str
        "scikit-learn", "packaged" or "authors".
    checksum : str
        SHA-256 (hex) over the bytes of x_train, y_train, x_test and y_test, in this order.
    """

    name: str
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    features: tuple[str, ...]
    classes: int
    preprocessing: str
    source: str
    checksum: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256()
        for tensor in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(tensor.contiguous().numpy().tobytes())
        object.__setattr__(self, "checksum", digest.hexdigest())


def load(
    name: str,
    *,
    preprocessing: Literal["standard", "authors"] = "standard",
    split_seed: int = 42,
    source: Literal["packaged", "authors"] | None = None,
) -> Dataset:
    """Load one of the six tabular data sets of paper A (section 4).

    Parameters
    ----------
    name : str
        "cancer", "titanic", "banknote", "iris", "iris3f" (iris without sepal width) or "vowel".
    preprocessing : str, default "standard"
        "authors" or "standard", see the module's docstring. A missing value (titanic's port and fare) is replaced by
        the column's most frequent value in the same part ("authors") or in the training part ("standard").
    split_seed : int, default 42
        Seed of the shuffle before the split; 42 is the authors'. 80% of the rows are for training (vowel: 741 of 871).
        The authors' titanic files have Kaggle's split, and only the 891 training rows are permuted. The packaged copy
        has no such split, so all 1,309 rows are shuffled and the first 891 are for training. NumPy's global generator
        is not used.
    source : str, optional
        "packaged" (the package's copy, or scikit-learn's for iris) or "authors" (their files, see
        `replication.data.authors`). By default the authors' file for ``preprocessing="authors"`` if it is available,
        otherwise the packaged copy if there is one. Cancer is the same in both. Scikit-learn's iris differs from the
        authors' in three values.

    Returns
    -------
    Dataset

    Raises
    ------
    TypeError
        If ``name`` is not a string or ``split_seed`` not an integer.
    ValueError
        If an argument is not one of those above, or no packaged copy exists (banknote, vowel).
    DataUnavailable
        If the authors' file is needed, is not on this machine, and cannot be downloaded.
    CorruptData
        If the checksum of the authors' file differs from the pinned one.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    _check("name", name, NAMES)
    _check("preprocessing", preprocessing, ("standard", "authors"))
    _check("source", source, (None, "packaged", "authors"))
    try:
        split_seed = operator.index(split_seed)
    except TypeError:
        raise TypeError(f"split_seed must be an integer, got {type(split_seed).__name__}") from None
    if not 0 <= split_seed < 2**32:
        raise ValueError(f"split_seed must lie in 0..2**32 - 1, got {split_seed}")

    table, came_from = _table(name, preprocessing, source)
    order = np.arange(table.train_rows if table.fixed_test else len(table.x))
    np.random.RandomState(split_seed).shuffle(order)
    if table.fixed_test:
        order = np.concatenate([order, np.arange(table.train_rows, len(table.x))])
    train, test = order[: table.train_rows], order[table.train_rows :]
    prepare = _authors_scaling if preprocessing == "authors" else _standard_scaling
    x_train, x_test = prepare(name, table.x[train], table.x[test])
    classes = int(table.labels.max()) + 1
    targets = table.labels[:, None] if classes == 2 else np.eye(classes)[table.labels]
    x_train, y_train, x_test, y_test = (
        torch.from_numpy(np.ascontiguousarray(a, dtype=np.float64))
        for a in (x_train, targets[train], x_test, targets[test])
    )
    return Dataset(name, x_train, y_train, x_test, y_test, table.features, classes, preprocessing, source=came_from)


def _check(argument: str, value: object, allowed: tuple) -> None:
    if value not in allowed:
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def _table(name: str, preprocessing: str, source: str | None) -> tuple[Table, str]:
    own = PACKAGED.get(name)
    if source == "packaged" and own is None:
        raise ValueError(f"source must be 'authors' or None for {name}, which has no packaged copy, got 'packaged'")
    theirs_first = source == "authors" or own is None or (source is None and preprocessing == "authors")
    if theirs_first:
        try:
            return AUTHORS[name](), "authors"
        except authors.DataUnavailable:
            if source == "authors" or own is None:
                raise
    return own(), "scikit-learn" if name.startswith("iris") else "packaged"


def _authors_scaling(name: str, x_train: np.ndarray, x_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = [_fill_missing(part, part) for part in (x_train, x_test)]
    if name == "vowel":
        return tuple(MinMaxScaler().fit_transform(part) for part in parts)
    if name in ("iris", "iris3f"):
        return tuple(StandardScaler().fit_transform(part) for part in parts)
    return tuple(StandardScaler().fit_transform(part.T).T for part in parts)


def _standard_scaling(_name: str, x_train: np.ndarray, x_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x_test = _fill_missing(x_test, x_train)
    x_train = _fill_missing(x_train, x_train)
    scaler = StandardScaler().fit(x_train)
    return scaler.transform(x_train), scaler.transform(x_test)


def _fill_missing(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Replace each NaN in ``x`` by the column's most frequent value in ``like``, the smallest if there are several."""
    if not np.isnan(x).any():
        return x
    return np.where(np.isnan(x), pd.DataFrame(like).mode().iloc[0].to_numpy(), x)
