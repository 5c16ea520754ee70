"""A pilot on a table: replace FILE and TARGET by your own, and run `ccprune pilot` on this file."""

from sklearn.datasets import load_breast_cancer

FILE = None  # path of a CSV file
TARGET = "target"  # the column that is predicted


def settings():
    """Return the arguments of `ccprune.pilot`. A table gets a small multilayer perceptron unless `make` is given."""
    table = FILE or load_breast_cancer(as_frame=True).frame
    return {"train": table, "target": TARGET, "seeds": 3, "before": 20, "recorded": 5, "after": 6}
