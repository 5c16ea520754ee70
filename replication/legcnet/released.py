"""What a search for the authors' settings starts from: their released files, or stand-ins whose settings are known."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from replication.data import Dataset, authors, tabular
from replication.legcnet import figures
from replication.legcnet import procedure as legcnet
from replication.legcnet.runs import run
from replication.legcnet.settings import NOT_FOUND, SETTINGS, with_recording
from replication.networks.ensemble import MLPBatch, initialise, stack_mlps
from replication.networks.masks import masks_from_lists
from replication.networks.training import Trained

# Rows of table 2 for PT whose masks are not the released ones, or not released.
_WITHOUT_MASKS = ("banknote", "iris3f", "vowel")
_PLANTED_LAGS = 9


@dataclass(frozen=True, eq=False)
class DenseRow:
    """A printed row of a dense network, and what is known of it.

    Attributes
    ----------
    variants : list of Dataset
        The data under each scaling.
    networks : list of tuple of Tensor
        Candidates for the initial weights, as for `networks.ensemble.stack_mlps`.
    benchmark : float
        Training accuracy at which training stopped.
    lr : float
        Learning rate, as found or as planted.
    epoch : int
        Printed epoch, from 0.
    figures : tuple of float
        Printed test accuracy and F1.
    """

    variants: list[Dataset]
    networks: list[tuple[Tensor, ...]]
    benchmark: float
    lr: float
    epoch: int
    figures: tuple[float, float]


@dataclass(frozen=True, eq=False)
class ReleasedTrials:
    """Released masks and rows, and the initial networks of the runs.

    Attributes
    ----------
    data : mapping of str to Dataset
        Data sets by name.
    starts : mapping of str to MLPBatch
        B initial networks by data set.
    masks : mapping of (str, str) to Tensor (B, M), bool
        Masks by data set and method, True = keep.
    rows : mapping of str to mapping
        By data set, the printed row of a PT run without masks, as `search.search_lags` takes it.
    dense : DenseRow
        The printed row of a dense network whose settings are searched for.
    unknown : tuple of (str, str)
        Keys of `masks` whose settings are not known.
    truth : tuple of str
        What the searches should find, in words; empty where it is not known.
    """

    data: Mapping[str, Dataset]
    starts: Mapping[str, MLPBatch]
    masks: Mapping[tuple[str, str], Tensor]
    rows: Mapping[str, Mapping[str, float]]
    dense: DenseRow
    unknown: tuple[tuple[str, str], ...] = ()
    truth: tuple[str, ...] = ()


def load(files: Literal["authors", "planted"], trials: int, *, seed: int = 0) -> ReleasedTrials:
    """Load what the authors released of their trials, or make stand-ins whose settings are known.

    The stand-ins have packaged data, fresh networks and the settings of `settings.SETTINGS`, with three changes that
    `ReleasedTrials.truth` states: fewer lags for PT on iris, other lags for the row without masks, and a dense row of a
    softmax unit whose gradient is summed over the outputs.

    Parameters
    ----------
    files : str
        "authors" for the released files, "planted" for stand-ins.
    trials : int
        Number of trials, the first ones.
    seed : int, default 0
        Seed of the stand-ins' networks.

    Returns
    -------
    ReleasedTrials

    Raises
    ------
    ValueError
        If `files` is another word.
    DataUnavailable, CorruptData
        As `replication.data.authors.path`.
    """
    if files not in ("authors", "planted"):
        raise ValueError(f"files must be 'authors' or 'planted', got {files!r}")
    return _authors(trials) if files == "authors" else _plant(trials, seed)


def _authors(trials: int) -> ReleasedTrials:
    data = {name: tabular.load(name, preprocessing="authors", source="authors") for name in SETTINGS}
    starts = {
        name: stack_mlps(authors.initial_weights(name)[:trials], output=settings.output)
        for name, settings in SETTINGS.items()
    }
    masks = {
        (name, method): masks_from_lists(authors.masks(name, method)[:trials], starts[name].weights.shape[1])
        for method in ("ft", "pt")
        for name in authors.released_masks()
    }
    paper = figures.published_figures()
    keys = {"epochs": "epochs_pt", "accuracy": "accuracy_pt", "f1": "f1_pt", "kept": "weights_pt"}
    rows = {name: {ours: paper["table2_ft_vs_pt"][name][key] for ours, key in keys.items()} for name in _WITHOUT_MASKS}
    row, vowel = paper["table1_dense_vs_ft"]["vowel"], SETTINGS["vowel"]
    dense = DenseRow(
        [data["vowel"], tabular.load("vowel", preprocessing="standard", source="authors")],
        authors.initial_weights("vowel"),
        vowel.benchmark,
        vowel.lr,
        row["epochs_dense"],
        (row["accuracy_dense"], row["f1_dense"]),
    )
    return ReleasedTrials(data, starts, masks, rows, dense, unknown=NOT_FOUND)


def _plant(trials: int, seed: int) -> ReleasedTrials:
    data = {name: tabular.load(name, preprocessing="authors", source="packaged") for name in ("cancer", "iris")}
    starts = {
        name: initialise((each.x_train.shape[1], SETTINGS[name].hidden, each.y_train.shape[1]), trials, seed=seed)
        for name, each in data.items()
    }
    iris = SETTINGS["iris"]
    fewer = with_recording(iris, "pt", max_lag=iris.pt.max_lag // 2)
    masks = {
        (name, method): legcnet.masks(
            starts[name], data[name], fewer if (name, method) == ("iris", "pt") else SETTINGS[name], method=method
        )
        for method in ("ft", "pt")
        for name in data
    }
    other = with_recording(iris, "pt", max_lag=_PLANTED_LAGS)
    keep = legcnet.masks(starts["iris"], data["iris"], other, method="pt")
    rows = {"iris": _figures(run(data["iris"], iris, starts["iris"], keep), 0) | {"kept": int(keep[0].sum())}}
    truth = (
        "masks of iris PT: half as many lags; of all others: as found",
        f"row of iris PT: {_PLANTED_LAGS} lags, trial 1",
        "dense row of iris: authors' scaling, softmax, summed gradient, rate 0.5, outputs rounded, initialisation 10",
    )
    return ReleasedTrials(data, starts, masks, rows, _planted_row(data["iris"], seed), truth=truth)


def _planted_row(data: Dataset, seed: int) -> DenseRow:
    settings = replace(SETTINGS["iris"], lr=0.5, reduction="sum", output="softmax", benchmark=0.9)
    start = initialise((4, settings.hidden, 3), 10, seed=seed, output=settings.output)
    printed = _figures(run(data, settings, start, torch.ones_like(start.weights, dtype=torch.bool)), -1)
    return DenseRow(
        [data, tabular.load(data.name, preprocessing="standard", source="packaged")],
        list(zip(start.w1, start.b1, start.w2, start.b2, strict=True)),
        settings.benchmark,
        settings.lr,
        printed["epochs"],
        (printed["accuracy"], printed["f1"]),
    )


def _figures(trained: Trained, network: int) -> dict[str, float]:
    figures = {"epochs": trained.epochs, "accuracy": trained.test_accuracy, "f1": trained.test_f1}
    return {name: values[network].item() for name, values in figures.items()}
