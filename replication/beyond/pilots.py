"""Pilots of different kinds: tables, images, text, sequences, and a table of a business."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import ccprune
from replication import ledger
from replication.data import load_images, text
from replication.networks import transformer
from replication.networks.models import lenet

_LENGTH = 32  # bytes in a sample of text
_STEPS = 20  # steps of a sequence


def pilot_settings(task: str, *, samples: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Return the arguments of `ccprune.pilot` that describe a task: data, model, loss and metric.

    Parameters
    ----------
    task : str
        One of `TASKS`. "iris": a CSV file with three classes. "diabetes": a table whose target is a number. "digits":
        images of mnist5k and a convolutional network. "cifar10": its images and paper B's LeNet. "text": the next byte
        of Python's help pages, a transformer, judged by perplexity. "sequence": the adding problem (Hochreiter and
        Schmidhuber 1997) and an LSTM. "insurance": whether a person sees a doctor in a year, from the RAND health
        insurance experiment (Newhouse 1993).
    samples : int
        Number of samples in all, if the data have more.
    folder : Path
        Folder for the CSV file of "iris".
    seed : int, default 0
        Seed by which samples are chosen.

    Returns
    -------
    dict
        Keyword arguments of `ccprune.pilot`.

    Raises
    ------
    ValueError
        For an unknown task.
    """
    if task not in TASKS:
        raise ValueError(f"task must be one of {tuple(TASKS)}, got {task!r}")
    return TASKS[task](samples, folder, torch.Generator().manual_seed(seed))


def pilot_cells(found: ccprune.Pilot, task: str, profile: str) -> list[ledger.Cell]:
    """Return the pilot's table as cells: the metric, the share of multiply-adds, and the agreement on top features.

    Parameters
    ----------
    found : Pilot
        The finished pilot.
    task : str
        One of `TASKS`, the cells' data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    columns = {
        "validation": "metric",
        "macs": "share of dense operations",
        "top_k": "top 5 features shared with dense",
    }
    cells = []
    for (method, schedule, sparsity), row in found.table.iterrows():
        for column, quantity in columns.items():
            if column in row and not pd.isna(row[column]):
                interval = {"ci_low": row.get(f"{column}_low"), "ci_high": row.get(f"{column}_high")}
                cells.append(
                    ledger.Cell(
                        paper="causal",
                        table="pilot",
                        dataset=task,
                        method=f"{method}, {schedule}" if schedule else method,
                        sparsity=float(sparsity),
                        quantity=quantity,
                        profile=profile,
                        ours=float(row[column]),
                        n=int(row["n"]),
                        **{name: float(value) for name, value in interval.items() if not pd.isna(value)},
                    )
                )
    return cells


def checksum(settings: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) of the training data of a task.

    Parameters
    ----------
    settings : dict
        Result of `pilot_settings`.

    Returns
    -------
    str
    """
    train = settings["train"]
    if isinstance(train, Path):
        return hashlib.sha256(train.read_bytes()).hexdigest()
    if isinstance(train, pd.DataFrame):
        return hashlib.sha256(train.to_csv(index=False).encode()).hexdigest()
    return hashlib.sha256(b"".join(part.contiguous().numpy().tobytes() for part in train)).hexdigest()


def _iris(samples: int, folder: Path, generator: torch.Generator) -> dict[str, Any]:
    from sklearn.datasets import load_iris

    bunch = load_iris(as_frame=True)
    table = bunch.data.assign(species=bunch.target_names[bunch.target])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "iris.csv"
    _choose_rows(table, samples, generator).to_csv(path, index=False)
    return {"train": path, "target": "species"}


def _diabetes(samples: int, folder: Path, generator: torch.Generator) -> dict[str, Any]:
    from sklearn.datasets import load_diabetes

    return {"train": _choose_rows(load_diabetes(as_frame=True).frame, samples, generator), "target": "target"}


def _insurance(samples: int, folder: Path, generator: torch.Generator) -> dict[str, Any]:
    from statsmodels.datasets import randhie

    table = randhie.load_pandas().data
    table = table.assign(visit=(table["mdvis"] > 0).astype(int)).drop(columns="mdvis")
    return {"train": _choose_rows(table, samples, generator), "target": "visit"}


def _images(name: str, samples: int, folder: Path, generator: torch.Generator) -> dict[str, Any]:
    images = load_images(name)
    x = torch.cat([images.normalise(images.x_train), images.normalise(images.x_test)])
    y = torch.cat([images.y_train, images.y_test])
    if name == "mnist5k":
        made: dict[str, Any] = {"make": partial(_cnn, images.classes)}
    else:  # at the default rate of 0.003 the loss was near that of chance after two epochs
        made = {"make": _lenet, "optimizer": partial(torch.optim.Adam, lr=0.001)}
    return made | _parts(x, y, samples, generator)


def _text(samples: int, folder: Path, generator: torch.Generator) -> dict[str, Any]:
    pages = text.python_topics()
    tokens = torch.cat([pages.train, pages.test]).long()
    rows = tokens[: len(tokens) // (_LENGTH + 1) * (_LENGTH + 1)].reshape(-1, _LENGTH + 1)
    metric = {"loss": byte_loss, "metric": perplexity, "better": "smaller", "margin": 0.1}
    return {"make": _transformer} | metric | _parts(rows[:, :-1], rows[:, 1:], samples, generator)


def _sequence(samples: int, folder: Path, generator: torch.Generator) -> dict[str, Any]:
    values = torch.rand(samples, _STEPS, generator=generator)
    marks = torch.zeros(samples, _STEPS)
    half = _STEPS // 2
    for start in (0, half):  # one mark in each half
        marks[torch.arange(samples), start + torch.randint(half, (samples,), generator=generator)] = 1.0
    x, y = torch.stack([values, marks], 2), (values * marks).sum(1, keepdim=True)
    return {"make": _lstm} | _parts(x, y, samples, generator)


#: How each task's settings are made.
TASKS: dict[str, Callable[[int, Path, torch.Generator], dict[str, Any]]] = {
    "iris": _iris,
    "diabetes": _diabetes,
    "digits": partial(_images, "mnist5k"),
    "cifar10": partial(_images, "cifar10"),
    "text": _text,
    "sequence": _sequence,
    "insurance": _insurance,
}


def _choose_rows(table: pd.DataFrame, samples: int, generator: torch.Generator) -> pd.DataFrame:
    order = torch.randperm(len(table), generator=generator)[:samples]
    return table.iloc[order.sort().values.numpy()].reset_index(drop=True)


def _parts(x: Tensor, y: Tensor, samples: int, generator: torch.Generator) -> dict[str, tuple[Tensor, Tensor]]:
    """Return 60% of the chosen samples for training, and 20% each for validation and test."""
    order = torch.randperm(len(x), generator=generator)[:samples]
    cuts = [round(0.6 * len(order)), round(0.8 * len(order))]
    rows = dict(zip(("train", "validation", "test"), order.tensor_split(cuts), strict=True))
    return {name: (x[chosen], y[chosen]) for name, chosen in rows.items()}


def _cnn(classes: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(144, 32),
        nn.ReLU(),
        nn.Linear(32, classes),
    )


def _lenet(seed: int) -> nn.Module:
    return lenet(3, 32, 10, seed=seed)


def _transformer(seed: int) -> nn.Module:
    return transformer(text.VOCABULARY, context=_LENGTH, width=32, heads=4, layers=2, seed=seed)


def byte_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy of a byte."""
    return cross_entropy(outputs.flatten(0, 1), y.flatten())


@torch.no_grad()
def perplexity(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the exponential of the mean loss of a byte, in eval mode."""
    model.eval()
    losses = [
        byte_loss(model(part), labels) * len(part) for part, labels in zip(x.split(500), y.split(500), strict=True)
    ]
    return float((torch.stack(losses).sum() / len(x)).exp())


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.output = nn.LSTM(2, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.recurrent(x)[0][:, -1])


def _lstm(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return _Recurrent()
