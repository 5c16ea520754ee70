"""Search for settings on the pilots' problems: its regret against the whole grid, and the optimism of choosing."""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy, mse_loss

from ccprune import criteria, lasso, scores
from ccprune._pilot import _perceptron
from ccprune._pilot._data import load
from ccprune._pilot._engine import Setting, branch, start
from ccprune._pilot._metrics import accuracy, metric_value, r_squared
from ccprune._pilot._search import search, sparsest
from ccprune.recording import InMemory
from replication import ledger
from replication.beyond.pilots import pilot_settings

PLAIN = ("magnitude", "random", "causal")
WINDOWS, LAGS, PENALTIES = (10, 20), (1, 3), (0.5, 0.1)
#: Names of a setting's parts. A part that a criterion does not have is None.
PARTS = ("criterion", "window", "lag", "penalty", "schedule", "sparsity")
METHODS = ("tpe", "random")
_STEPS = 205  # recorded: 11 windows of 20 steps, which 3 lags need
_BATCH, _AFTER = 16, 2
_MARGIN = 0.02
_SEARCHED = 3  # initial networks of a search


def settings_grid(sparsities: Sequence[float]) -> list[dict[str, Any]]:
    """Return all settings: both papers' criteria with their windows, lags and penalties, schedules and sparsities.

    Scores that need more than one epoch of records, LEGCNet's and the Lasso's, are pruned by at once.

    Parameters
    ----------
    sparsities : sequence of float
        Pruned fractions.

    Returns
    -------
    list of dict
        Each has the keys `PARTS`.
    """
    found = [(name, None, None, None, of) for name in PLAIN for of in ("one_shot", "gradual")]
    found += [("legcnet", window, lag, None, "one_shot") for window in WINDOWS for lag in LAGS]
    found += [("lasso", None, None, penalty, "one_shot") for penalty in PENALTIES]
    return [dict(zip(PARTS, (*one, share), strict=True)) for one in found for share in sparsities]


def grid_values(
    task: str, *, samples: int, sparsities: Sequence[float], seeds: int, folder: Path, before: int = 0, seed: int = 0
) -> pd.DataFrame:
    """Train every network of the grid and return its differences to the dense network; larger is better.

    Parameters
    ----------
    task : str
        One of `TASKS`.
    samples : int
        Number of samples in all, if the data have more.
    sparsities : sequence of float
        Pruned fractions.
    seeds : int
        Number of initial networks.
    folder : Path
        Folder of the units, one for each seed, and of files of the task.
    before : int, default 0
        Smallest number of epochs before pruning. There are at least 2 more than the recorded ones, which have 205 steps
        or more.
    seed : int, default 0
        First of the seeds of the initial networks, and the seed by which samples are chosen.

    Returns
    -------
    DataFrame
        One row for each place in `settings_grid` and seed. Columns place, seed, validation, test, dense (the dense
        network's metric on the test samples) and margin: the task's, or 0.02.
    """
    names = _register()
    given = pilot_settings(task, samples=samples, folder=folder, seed=seed)
    parts = [given.get(name) for name in ("train", "validation", "test")]
    data = load(*parts, target=given.get("target"), batch_size=_BATCH, seed=0, device=torch.device("cpu"))
    make = given.get("make") or partial(_perceptron, len(data.features or ()), len(data.classes or "1"))
    loss = given.get("loss") or (cross_entropy if data.classifies else mse_loss)
    metric = given.get("metric") or (accuracy if data.classifies else r_squared)
    sign = -1 if given.get("better") == "smaller" else 1
    optimizer = given.get("optimizer") or partial(torch.optim.Adam, lr=0.003)
    recorded = math.ceil(_STEPS / data.steps)
    before = max(before, recorded + 2)
    setting = Setting(make, optimizer, data.batches, loss, tuple(names.values()), before, recorded, _AFTER)

    def rows(seed: int) -> list[dict[str, Any]]:
        begun = start(setting, seed)

        def values(name: str | None, sparsity: float, schedule: str) -> np.ndarray:
            model = branch(setting, begun, seed, name, sparsity=sparsity, schedule=schedule).model
            return sign * np.array([metric_value(metric, model, *part) for part in (data.validation, data.test)])

        dense, found = values(None, 0.0, "one_shot"), []
        for place, one in enumerate(settings_grid(sparsities)):
            gain = values(names[_key(one)], one["sparsity"], one["schedule"]) - dense
            row = {"place": place, "seed": seed, "validation": float(gain[0]), "test": float(gain[1])}
            found.append(row | {"dense": sign * float(dense[1])})
        return found

    units = ledger.Units(folder)
    key = {
        "study": "settings",
        "task": task,
        "samples": samples,
        "before": before,
        "sparsities": f"{sparsities}",
        "split_seed": seed,
    }
    found = [units.get(key | {"seed": one}, partial(rows, one)) for one in range(seed, seed + seeds)]
    return pd.DataFrame(itertools.chain(*found)).assign(margin=given.get("margin", _MARGIN))


def search_results(
    values: pd.DataFrame,
    sparsities: Sequence[float],
    *,
    shares: Sequence[float] = (0.1, 0.3),
    repetitions: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Search the stored grid under each share of its cost, and report each choice on other samples and other seeds.

    Repetitions have the seeds `seed`, `seed` + 1, ... Each draws the networks of the search. The choice is reported on
    other samples and with the remaining networks, so that the optimism of choosing is measured (nested). Each
    repetition is done twice, with the roles of the validation and test samples exchanged, so that a difference between
    the two parts is not taken for optimism. The cost is the number of networks.

    Parameters
    ----------
    values : DataFrame
        Table of `grid_values`, with more than 3 seeds, because a search trains 3 initial networks of each setting.
    sparsities : sequence of float
        Those of `grid_values`.
    shares : sequence of float, default (0.1, 0.3)
        Shares of the grid's cost that a search may spend.
    repetitions : int, default 5
        Number of repetitions.
    seed : int, default 0
        Seed of the first repetition.

    Returns
    -------
    DataFrame
        One row for each repetition, part, method and share. Columns repetition, part (of the samples on which the
        setting was chosen), method ("tpe" with successive halving, "random", or "grid": the best of all), share, tried
        (number of networks), place (in `settings_grid`), regret (utility of the grid's best minus that of the chosen,
        over all seeds of the search), chosen (difference to dense by which it was chosen), reported (on the other
        samples and seeds) and optimism (chosen minus reported).
    """
    grid, margin = settings_grid(sparsities), float(values["margin"].iloc[0])
    utility = sparsest(margin)
    table = {
        part: values.pivot(index="place", columns="seed", values=part).to_numpy() for part in ("validation", "test")
    }
    rows = []
    for repetition, part in itertools.product(range(seed, seed + repetitions), table):
        order = np.random.default_rng(repetition).permutation(table[part].shape[1])
        other = table["test" if part == "validation" else "validation"]
        inner, outer = table[part][:, order[:_SEARCHED]], other[:, order[_SEARCHED:]]
        worth = np.array([utility(one, inner[place].mean()) for place, one in enumerate(grid)])
        found: dict[tuple[str, float], tuple[int, float, int]] = {}
        best = int(worth.argmax())
        found["grid", 1.0] = best, inner[best].mean(), len(grid)
        for method, share in itertools.product(METHODS, shares):
            one = search(
                grid,
                lambda choice, number, inner=inner: float(inner[grid.index(dict(choice)), number]),
                utility,
                repetitions=_SEARCHED,
                budget=share * (len(grid) + 1) * _SEARCHED,
                price=lambda choice, _: 1.0,
                sampler=method,
                seed=repetition,
            )
            found[method, share] = grid.index(dict(one.setting)), one.difference, one.tried
        for (method, share), (place, chosen, tried) in found.items():
            reported = float(outer[place].mean())
            row = {"repetition": repetition, "part": part, "method": method, "share": share, "tried": tried}
            row |= {"place": place, "regret": worth[best] - worth[place], "chosen": chosen, "reported": reported}
            rows.append(row | {"optimism": chosen - reported})
    return pd.DataFrame(rows)


def search_cells(found: pd.DataFrame, profile: str) -> list[ledger.Cell]:
    """Return the mean regret, optimism and reported difference of each search of `search_results` with a column task.

    The runs of a cell are the repetitions.

    Parameters
    ----------
    found : DataFrame
        Table of `search_results` with a column task.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    shared = {"task": "dataset", "method": "method", "share": "share", "repetition": "repetition"}
    means = found.groupby(list(shared), sort=False)[["regret", "optimism", "reported"]].mean().reset_index()
    long = means.rename(columns=shared).melt([*shared.values()], var_name="quantity")
    long["method"] += long.pop("share").map(", {:.0%} of the cost".format)
    long["quantity"] = long["quantity"].replace("reported", "difference to dense, reported")
    return ledger.sample_cells(long.drop(columns="repetition"), paper="causal", table="settings", profile=profile)


def _key(one: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(one[part] for part in PARTS[:4])


def _register() -> dict[tuple[Any, ...], str]:
    """Register the criteria with other settings, and return the name of each by criterion, window, lag and penalty."""
    names: dict[tuple[Any, ...], str] = {(name, None, None, None): name for name in PLAIN}
    for window, lag in itertools.product(WINDOWS, LAGS):
        name = names["legcnet", window, lag, None] = f"legcnet {window} {lag}"
        store = partial(scores.WeightExponents, window=window)
        criteria.register(name, partial(scores.legcnet_of_exponents, max_lag=lag), store=store, pairing="consecutive")
    for penalty in PENALTIES:
        name = names["lasso", None, None, penalty] = f"lasso {penalty:g}"
        criteria.register(name, partial(_lasso, penalty=penalty), store=_rows, pairing="same_batch")
    return names


def _rows(_: Any) -> InMemory:
    return InMemory()


def _lasso(store: InMemory, penalty: float = 1e-3) -> dict[str, torch.Tensor]:
    """|gamma| of paper B's Lasso at a share of the largest penalty, ties by the screening score."""
    changes, losses = store.records()
    alpha = penalty * lasso.lambda_max(changes, losses)
    coef = lasso.exact(changes, losses, alpha, tol=0.1).coef.abs()
    screen = (changes.double().T @ losses.double()).abs()
    return store.layout.tensors(coef.double() + 1e-9 * screen / screen.max() * coef.double().max().clamp(min=1e-12))
