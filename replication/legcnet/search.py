"""Searches for settings that the paper does not state, with all that was tried and not only what fitted."""

from collections.abc import Iterable, Mapping
from itertools import product

import pandas as pd
import torch

from replication.data import Dataset
from replication.ledger import Cell, row_cells
from replication.legcnet import procedure as legcnet
from replication.legcnet.runs import run
from replication.legcnet.settings import Settings
from replication.networks.ensemble import OUTPUTS, MLPBatch, stack_mlps
from replication.networks.training import accuracy, advance, macro_f1, outputs

RULES = ("all outputs rounded", "largest output")
# Printed accuracies and F1 have four decimals, some rounded and some cut off.
TOLERANCE = 1.01e-4


def search_dense_row(
    networks: list,
    data: Iterable[Dataset],
    *,
    rates: Iterable[float],
    benchmark: float,
    epoch: int,
    figures: tuple[float, float],
    epochs: int,
) -> pd.DataFrame:
    """Train dense networks under every combination of settings and compare them with a printed row.

    A combination is a variant of the data, an output unit, a gradient that is averaged or added over outputs, a
    learning rate, an accuracy rule (one of `RULES`) and a network.

    Parameters
    ----------
    networks : list of tuple of Tensor
        Initial networks, as for `networks.ensemble.stack_mlps`.
    data : iterable of Dataset
        Variants of the data set.
    rates : iterable of float
        Learning rates.
    benchmark : float
        Training accuracy at which training stops.
    epoch : int
        Printed epoch, from 0.
    figures : tuple of float
        Printed test accuracy and F1.
    epochs : int
        Number of epochs that are trained, above `epoch`.

    Returns
    -------
    DataFrame
        One row per combination: scaling, output, gradient, lr, accuracy rule, initialisation (from 1), epoch of the
        benchmark (-1 if it is not reached within `epochs`), and accuracy and f1 on the test part at that epoch. fits:
        all three are as printed. fits_elsewhere: at the printed epoch accuracy and F1 are as printed and the training
        accuracy is higher than ever before, so that some other benchmark would have stopped there.

    Raises
    ------
    ValueError
        If the printed epoch is not trained.
    """
    if not 0 <= epoch < epochs:
        raise ValueError(f"epoch must be from 0 to below epochs, {epochs}, got {epoch}")
    rows = []
    for variant, output, reduction, lr in product(data, OUTPUTS, ("mean", "sum"), rates):
        curves = _curves(stack_mlps(networks, output=output), variant, lr=lr, reduction=reduction, epochs=epochs)
        for rule, network in product(RULES, range(len(networks))):
            seen = curves[rule]["train"][:, network]
            reached = torch.nonzero(seen >= benchmark)[:, 0]
            stop = int(reached[0]) if len(reached) else -1
            scores = (curves[rule]["test"][stop, network].item(), curves["f1"][stop, network].item())
            printed = (curves[rule]["test"][epoch, network].item(), curves["f1"][epoch, network].item())
            row = {
                "scaling": variant.preprocessing,
                "output": output,
                "gradient": reduction,
                "lr": lr,
                "accuracy rule": rule,
                "initialisation": network + 1,
                "epoch": stop,
                "accuracy": scores[0],
                "f1": scores[1],
                "fits": stop == epoch and _equal(scores, figures),
                "fits_elsewhere": bool((seen[:epoch] < seen[epoch]).all()) and _equal(printed, figures),
            }
            rows.append(row)
    return pd.DataFrame(rows)


def search_lags(
    ensemble: MLPBatch,
    data: Dataset,
    settings: Settings,
    method: str,
    *,
    printed: dict[str, float],
    lags: Iterable[int],
) -> pd.DataFrame:
    """Derive masks and retrain for each largest lag, and compare the runs with a printed row of table 2.

    Lags for which there are too few windows, or no test is possible, are left out.

    Parameters
    ----------
    ensemble : MLPBatch
        B initial networks, which are not changed.
    data : Dataset
        Training and test samples.
    settings : Settings
        Settings of the data set.
    method : str
        "ft" or "pt".
    printed : dict
        Printed epochs, accuracy, f1 and kept.
    lags : iterable of int
        Largest lags to try.

    Returns
    -------
    DataFrame
        One row per lag and network: lags, trial (from 1), removed (number of weights), epochs, accuracy, f1, and fits,
        which is True if all four are as printed.

    Raises
    ------
    ValueError
        If the method is another one.

    References
    ----------
    LEGCNet, arXiv 2308.09955, table 2.
    """
    recording = settings.recording(method)
    found = legcnet.exponents_and_risk(ensemble, data, settings, recording)
    count, rows = ensemble.weights.shape[1], []
    for lag in lags:
        results = legcnet.granger_tests(found, max_lag=lag)
        keep = legcnet.keep_masks(results, count)
        trained = run(data, settings, ensemble, keep)
        for network, result in enumerate(results):
            if result is None:
                continue
            scores = (trained.test_accuracy[network].item(), trained.test_f1[network].item())
            epochs, kept = trained.epochs[network].item(), int(keep[network].sum())
            fits = (epochs, kept) == (printed["epochs"], printed["kept"])
            rows.append(
                {
                    "lags": lag,
                    "trial": network + 1,
                    "removed": count - kept,
                    "epochs": epochs,
                    "accuracy": scores[0],
                    "f1": scores[1],
                    "fits": fits and _equal(scores, (printed["accuracy"], printed["f1"])),
                }
            )
    return pd.DataFrame(rows)


def search_cells(searches: Mapping[str, pd.DataFrame], grid: pd.DataFrame, name: str, *, profile: str) -> list[Cell]:
    """Return how many of the tried settings fit what is printed, as cells.

    Parameters
    ----------
    searches : dict of DataFrame
        By dataset, the result of `search_lags`.
    grid : DataFrame
        Result of `search_dense_row`, for the dataset `name`.
    name : str
        Data set of `grid`.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    rows = []
    for dataset, tried in searches.items():
        lags = sorted(set(tried[tried.fits].lags))
        note = f"lags of all that fit: {lags}; {len(tried)} combinations of lag and trial tried"
        rows.append((dataset, "pt", "fitting_lags", int(tried.fits.sum()), len(tried), note))
    note = f"search for the settings behind {name}'s dense row"
    for quantity in ("fits", "fits_elsewhere"):
        rows.append((name, "dense", quantity, int(grid[quantity].sum()), len(grid), note))
    columns = ["dataset", "method", "quantity", "ours", "n", "note"]
    return row_cells(pd.DataFrame(rows, columns=columns), paper="legcnet", table="search", profile=profile)


def _curves(ensemble: MLPBatch, data: Dataset, *, lr: float, reduction: str, epochs: int) -> dict:
    """Training and test accuracy by each rule and test F1, (epochs, B) each, after every epoch."""
    seen: dict = {rule: {"train": [], "test": []} for rule in RULES} | {"f1": []}
    parts = {"train": (data.x_train, data.y_train), "test": (data.x_test, data.y_test)}
    for _ in range(epochs):
        advance(
            ensemble, data.x_train, data.y_train, lr=lr, first=0, steps=len(data.x_train), reduction=reduction
        )  # fmt: skip
        for part, (x, y) in parts.items():
            seen[RULES[0]][part].append(accuracy(ensemble, x, y))
            largest = outputs(ensemble, x).argmax(-1) == y.argmax(-1)
            seen[RULES[1]][part].append(largest.double().mean(-1))
        seen["f1"].append(macro_f1(ensemble, *parts["test"]))
    stacked = {rule: {part: torch.stack(values) for part, values in seen[rule].items()} for rule in RULES}
    return stacked | {"f1": torch.stack(seen["f1"])}


def _equal(scores: tuple[float, float], figures: tuple[float, float]) -> bool:
    return all(abs(score - figure) < TOLERANCE for score, figure in zip(scores, figures, strict=True))
