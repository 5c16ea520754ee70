"""The six tabular data sets as in their sources, before the split and scaling."""

import io
from collections.abc import Callable
from importlib import resources
from typing import NamedTuple

import numpy as np
import pandas as pd

from replication.data import authors

CANCER = ("clump thickness", "cell size uniformity", "cell shape uniformity", "marginal adhesion")
CANCER += ("epithelial cell size", "bare nuclei", "bland chromatin", "normal nucleoli", "mitoses")
TITANIC = ("pclass", "sex", "sibsp", "parch", "fare", "embarked")
BANKNOTE = ("variance", "skewness", "curtosis", "entropy")
IRIS = ("sepal length", "sepal width", "petal length", "petal width")
IRIS3F_COLUMNS = [0, 2, 3]


class Table(NamedTuple):
    """Rows as in the source, with NaN for missing values and labels that count from 0."""

    x: np.ndarray  # (rows, d) float64
    labels: np.ndarray  # (rows,) int
    features: tuple[str, ...]
    train_rows: int
    fixed_test: bool = False  # the rows after train_rows are the test part for every seed


def _plain(rows: np.ndarray, features: tuple[str, ...], train_rows: int | None = None) -> Table:
    """Make a table of rows whose last column is the label."""
    return Table(
        rows[:, :-1].astype(np.float64),
        rows[:, -1].astype(int),
        features,
        int(0.8 * len(rows)) if train_rows is None else train_rows,
    )


def _csv(content: bytes, header: int | None = None) -> np.ndarray:
    return pd.read_csv(io.BytesIO(content), header=header).to_numpy()


def _packaged_bytes(file: str) -> bytes:
    return (resources.files("replication.data") / "files" / file).read_bytes()


def _titanic(frame: pd.DataFrame, *, fixed_test: bool) -> Table:
    frame = frame.rename(columns=str.lower)
    codes = {"sex": {"female": 0, "male": 1}, "embarked": {"S": 0, "C": 1, "Q": 2}}
    coded = frame.assign(**{column: frame[column].map(code) for column, code in codes.items()})
    return Table(
        coded[list(TITANIC)].to_numpy(dtype=np.float64),
        frame["survived"].to_numpy(dtype=int),
        TITANIC,
        train_rows=891,
        fixed_test=fixed_test,
    )


def _titanic_authors() -> Table:
    train, test, answers = (
        pd.read_csv(io.BytesIO(authors.read(f"data/titanic_{part}.csv"))) for part in ("train", "test", "testy")
    )
    return _titanic(pd.concat([train, test.merge(answers, on="PassengerId")]), fixed_test=True)


def _iris_packaged() -> Table:
    from sklearn.datasets import load_iris  # slow to import, and only this table needs it

    iris = load_iris()
    return _plain(np.column_stack([iris.data, iris.target]), IRIS)


def _iris_authors() -> Table:
    frame = pd.read_csv(io.BytesIO(authors.read("data/Iris.csv")))
    labels = np.unique(frame["Species"], return_inverse=True)[1]  # classes in the order of their names
    return _plain(np.column_stack([frame.iloc[:, 1:5].to_numpy(), labels]), IRIS)


def _vowel_authors() -> Table:
    rows = _csv(authors.read("data/vowel.csv"), header=0)
    rows[:, -1] -= 1  # the file counts classes from 1
    return _plain(rows, ("F1", "F2", "F3"), train_rows=741)


def _three(iris: Callable[[], Table]) -> Table:
    table = iris()
    return table._replace(x=table.x[:, IRIS3F_COLUMNS], features=tuple(IRIS[c] for c in IRIS3F_COLUMNS))


PACKAGED: dict[str, Callable[[], Table]] = {
    "cancer": lambda: _plain(_csv(_packaged_bytes("cancer.csv"), header=0), CANCER),
    "titanic": lambda: _titanic(pd.read_csv(io.BytesIO(_packaged_bytes("titanic.csv"))), fixed_test=False),
    "iris": _iris_packaged,
    "iris3f": lambda: _three(_iris_packaged),
}
AUTHORS: dict[str, Callable[[], Table]] = {
    "cancer": lambda: _plain(_csv(authors.read("data/binary_cancer.csv")), CANCER),
    "titanic": _titanic_authors,
    "banknote": lambda: _plain(_csv(authors.read("data/binary_banknote.csv")), BANKNOTE),
    "iris": _iris_authors,
    "iris3f": lambda: _three(_iris_authors),
    "vowel": _vowel_authors,
}
