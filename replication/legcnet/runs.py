"""The runs behind paper A's tables 1 to 3: the authors' own trials again, and fresh initialisations by the hundred."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from replication.data import Dataset, authors
from replication.legcnet import procedure as legcnet
from replication.legcnet.settings import Settings
from replication.networks.ensemble import MLPBatch, initialise, stack_mlps
from replication.networks.masks import masks_from_lists, remove_lowest, remove_random
from replication.networks.training import Trained, accuracy, macro_f1, train

# Every method is compared at the same count of removed weights with the random and magnitude masks named here.
CONTROLS = {"ft": ("random", "magnitude"), "pt": ("random_pt", "magnitude_pt")}
# Networks taken through recording, masks and retraining at once: bounds the memory of the windows.
CHUNK = 50
# Spawn key of the random controls, far from those of initialisations, which are their numbers.
_CONTROL_KEY = 1_000_000


def run(data: Dataset, settings: Settings, ensemble: MLPBatch, keep: Tensor, *, stop: bool = True) -> Trained:
    """Retrain networks from their initial weights under masks, to the benchmark or for the whole budget.

    Parameters
    ----------
    data : Dataset
        Training and test samples.
    settings : Settings
        Learning rate, benchmark, budget and reduction.
    ensemble : MLPBatch
        B initial networks with M weights, which are not changed.
    keep : Tensor (B, M), bool
        Mask, True = keep.
    stop : bool, default True
        Whether a network stops at the benchmark. Otherwise all are trained for the whole budget.

    Returns
    -------
    Trained
    """
    return train(
        ensemble,
        data.x_train,
        data.y_train,
        data.x_test,
        data.y_test,
        lr=settings.lr,
        epochs=settings.budget,
        benchmark=settings.benchmark if stop else None,
        keep=keep,
        reduction=settings.reduction,
    )


def rerun_authors(data: Dataset, settings: Settings, *, trials: int = 5, seed: int = 0) -> pd.DataFrame:
    """Re-run the authors' trials with their initial weights and masks.

    Methods: dense; ft and pt with the released masks, or for vowel, where none are released, with masks derived from
    scratch; magnitude and random at FT's count, where the authors' random seed is not released; and magnitude_after,
    the trained dense network with magnitude's weights removed and no retraining.

    Parameters
    ----------
    data : Dataset
        One of the paper's data sets, from the authors' files.
    settings : Settings
        Settings of the data set.
    trials : int, default 5
        Number of trials, the first ones.
    seed : int, default 0
        Seed of the random masks.

    Returns
    -------
    DataFrame
        One row per trial and method: network (from 0), method, epochs, reached, accuracy, f1, kept, pruned_pct,
        accuracy_at_budget, f1_at_budget and testable. The two figures at the budget are NaN for magnitude_after.

    Raises
    ------
    DataUnavailable
        If the authors' files are not there.
    ValueError
        If there are not as many released trials.

    References
    ----------
    LEGCNet, arXiv 2308.09955, tables 1 to 3.
    """
    starts = authors.initial_weights(data.name)
    released = {}
    if data.name in authors.released_masks():
        released = {method: authors.masks(data.name, method) for method in ("ft", "pt")}
    most = min(map(len, (starts, *released.values())))
    if not 1 <= trials <= most:
        raise ValueError(f"trials must be from 1 to {most}, the number that the authors released, got {trials}")
    ensemble = stack_mlps(starts[:trials], output=settings.output)
    count = ensemble.weights.shape[1]
    keep = {"dense": torch.ones(trials, count, dtype=torch.bool)}
    for method in ("ft", "pt"):
        if method in released:
            keep[method] = masks_from_lists(released[method][:trials], count)
        else:
            keep[method] = legcnet.masks(ensemble, data, settings, method=method)
    removed = (~keep["ft"]).sum(1)
    trained = run(data, settings, ensemble, keep["dense"])
    keep["magnitude"] = remove_lowest(trained.ensemble.weights.abs(), removed)
    keep["random"] = remove_random(removed, count, seed=seed)
    return pd.concat(
        [_rows(data, settings, ensemble, keep), _after_training(data, trained, keep["magnitude"], "magnitude_after")]
    )


@dataclass(frozen=True, eq=False)
class Fresh:
    """Fresh initialisations with their masks, before anything is retrained.

    Attributes
    ----------
    first : int
        Number of the first network.
    ensemble : MLPBatch
        B networks with M weights, at their initial values.
    dense : Trained
        The same networks, trained to the benchmark.
    keep : dict of Tensor (B, M), bool
        Mask of each method, dense included.
    testable : dict of list of bool
        For "ft" and "pt", whether each of the B networks could be tested.
    """

    first: int
    ensemble: MLPBatch
    dense: Trained
    keep: dict[str, Tensor]
    testable: dict[str, list[bool]]


def fresh_masks(
    data: Dataset,
    settings: Settings,
    *,
    seeds: int,
    seed: int = 0,
    risk: str = "test",
    methods: Sequence[str] = ("ft", "pt"),
) -> Iterator[Fresh]:
    """Draw fresh initialisations and derive their masks under methods and controls, in chunks.

    "ft_causal" removes as many weights as FT, those with the smallest p instead of the largest. `testable` is False
    where the risk never changed, so that no test could be made and the mask removes nothing.

    Parameters
    ----------
    data : Dataset
        Training and test samples.
    settings : Settings
        Settings of the data set.
    seeds : int
        Number of initialisations.
    seed : int, default 0
        Seed of the initialisations and of the random masks.
    risk : str, default "test"
        As in `procedure.exponents_and_risk`.
    methods : sequence of str, default ("ft", "pt")
        Keys of `CONTROLS`.

    Yields
    ------
    Fresh
        At most `CHUNK` networks with their masks.
    """
    sizes = (data.x_train.shape[1], settings.hidden, data.y_train.shape[1])
    everyone = initialise(sizes, seeds, seed=seed, scale=settings.scale, output=settings.output)
    count = everyone.weights.shape[1]
    states = np.random.SeedSequence(seed, spawn_key=(_CONTROL_KEY,)).generate_state(len(CONTROLS))
    random_seed = dict(zip(CONTROLS, (int(state) for state in states), strict=True))
    for first in range(0, seeds, CHUNK):
        ensemble = everyone.select(range(first, min(first + CHUNK, seeds)))
        keep = {"dense": torch.ones(len(ensemble), count, dtype=torch.bool)}
        testable = {}
        dense = run(data, settings, ensemble, keep["dense"])
        for method in methods:
            random, magnitude = CONTROLS[method]
            recording = settings.recording(method)
            found = legcnet.exponents_and_risk(ensemble, data, settings, recording, risk=risk)
            results = legcnet.granger_tests(found, max_lag=recording.max_lag)
            testable[method] = [result is not None for result in results]
            keep[method] = legcnet.keep_masks(results, count)
            removed = (~keep[method]).sum(1)
            keep[random] = remove_random(removed, count, seed=random_seed[method], first=first)
            keep[magnitude] = remove_lowest(dense.ensemble.weights.abs(), removed)
            if method == "ft":
                keep["ft_causal"] = legcnet.smallest_p_masks(results, removed, count)
        yield Fresh(first, ensemble, dense, keep, testable)


def fresh_runs(
    data: Dataset,
    settings: Settings,
    *,
    seeds: int,
    seed: int = 0,
    risk: str = "test",
    methods: Sequence[str] = ("ft", "pt"),
) -> Iterator[pd.DataFrame]:
    """Retrain fresh initialisations under methods, their controls and dense, in chunks.

    Each network is its own control: every mask retrains the same initial weights. Masks are those of `fresh_masks`. In
    rows named METHOD_after the mask was put on the trained dense network, without retraining.

    Parameters
    ----------
    data : Dataset
        Training and test samples.
    settings : Settings
        Settings of the data set.
    seeds : int
        Number of initialisations.
    seed : int, default 0
        Seed of the initialisations and of the random masks.
    risk : str, default "test"
        As in `procedure.exponents_and_risk`.
    methods : sequence of str, default ("ft", "pt")
        Keys of `CONTROLS`.

    Yields
    ------
    DataFrame
        One row per network and method, with the columns of `rerun_authors`. `testable` is False where the risk never
        changed, so that the mask removes nothing.
    """
    for part in fresh_masks(data, settings, seeds=seeds, seed=seed, risk=risk, methods=methods):
        rows = _rows(data, settings, part.ensemble, part.keep)
        cut = {f"{name}_after": part.keep[name] for name in (*methods, *(("magnitude",) if "ft" in methods else ()))}
        unretrained = [_after_training(data, part.dense, keep, name) for name, keep in cut.items()]
        rows = pd.concat([rows, *unretrained], ignore_index=True)
        rows["network"] += part.first
        for method, flags in part.testable.items():
            rows.loc[rows.method == method, "testable"] = flags
        yield rows


def _after_training(data: Dataset, trained: Trained, keep: Tensor, name: str) -> pd.DataFrame:
    """Rows of dense networks at their benchmark with weights removed, not retrained.

    With the smallest weights removed this is how the magnitude columns of table 3 come out again.
    """
    cut = trained.ensemble.with_weights(trained.ensemble.weights * keep)
    scores = {"accuracy": accuracy(cut, data.x_test, data.y_test), "f1": macro_f1(cut, data.x_test, data.y_test)}
    kept = keep.sum(1).numpy()
    return pd.DataFrame(
        {
            "network": np.arange(len(cut)),
            "method": name,
            "epochs": trained.epochs.numpy(),
            "reached": trained.reached.numpy(),
            **{name: value.numpy() for name, value in scores.items()},
            "kept": kept,
            "pruned_pct": 100 * (1 - kept / keep.shape[1]),
            "testable": True,
        }
    )


def _rows(data: Dataset, settings: Settings, ensemble: MLPBatch, keep: dict[str, Tensor]) -> pd.DataFrame:
    copies = ensemble.select(list(range(len(ensemble))) * len(keep))
    masks = torch.cat(list(keep.values()))
    stopped, whole = (run(data, settings, copies, masks, stop=stop) for stop in (True, False))
    kept = masks.sum(1).numpy()
    return pd.DataFrame(
        {
            "network": np.tile(np.arange(len(ensemble)), len(keep)),
            "method": np.repeat(list(keep), len(ensemble)),
            "epochs": stopped.epochs.numpy(),
            "reached": stopped.reached.numpy(),
            "accuracy": stopped.test_accuracy.numpy(),
            "f1": stopped.test_f1.numpy(),
            "kept": kept,
            "pruned_pct": 100 * (1 - kept / masks.shape[1]),
            "accuracy_at_budget": whole.test_accuracy.numpy(),
            "f1_at_budget": whole.test_f1.numpy(),
            "testable": True,
        }
    )
