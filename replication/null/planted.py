"""ROC curves of criteria on planted problems, whose needed and idle weights are known."""

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import auc as area_under
from sklearn.metrics import roc_curve
from torch import Tensor, nn
from torch.optim import SGD

from ccprune import criteria
from ccprune._util.batches import Shuffled
from ccprune._util.checks import require_at_least
from ccprune.stats import mean_interval
from ccprune.training import fit
from replication.causal.known_answers import Question, questions
from replication.data.synthetic import Problem
from replication.ledger import Cell, row_cells
from replication.legcnet.settings import AUTHORS_MIN_RANGE

STATES = ("start", "trained")
_STEPS = 500
_RANDOM = 10_000  # added to the seed of random scores


@dataclass(frozen=True)
class Roc:
    """Separation of needed from idle weights by each criterion, on each problem and in each state of the network.

    The column `state` is "start" for the network before training, or "trained". Criteria that record training have only
    the latter. An area of 0.5 is chance, 1 is perfect.

    Attributes
    ----------
    table : DataFrame
        Columns problem, state, criterion, auc (mean over seeds), low, high (95% bootstrap interval), seeds.
    areas : DataFrame
        Columns problem, state, criterion, seed, auc.
    curves : DataFrame
        Columns problem, state, criterion, seed, pruned_idle, pruned_needed: the shares of idle and of needed weights at
        or below each score, in ascending order of the scores. A perfect criterion has the point (1, 0).
    """

    table: pd.DataFrame
    areas: pd.DataFrame
    curves: pd.DataFrame


def roc(
    problems: Mapping[str, Question] | None = None,
    *,
    names: Collection[str] | None = None,
    seeds: int = 5,
    steps: int = _STEPS,
) -> Roc:
    """Train the network of each planted problem by plain SGD and compute the ROC curves of criteria.

    Criteria that need a batch receive all data of a problem as one batch, so their scores have no sampling noise.

    Parameters
    ----------
    problems : mapping of name to Question, optional
        Planted problems and the settings of their training. By default `causal.known_answers.questions()`: dead inputs,
        dead inputs with unequal needed weights, inputs with noise only, and a teacher's idle units.
    names : collection of str, optional
        Criteria, by default all registered ones.
    seeds : int, default 5
        Number of seeds of problem, mini-batches and random scores, at least 2.
    steps : int, default 500
        Steps of training, rounded to whole epochs.

    Returns
    -------
    Roc

    Raises
    ------
    ValueError
        If an argument is invalid (the message names it), or a problem has no idle or no needed weight.
    """
    require_at_least(2, seeds=seeds)
    require_at_least(1, steps=steps)
    chosen = list(criteria.list_criteria()) if names is None else list(names)
    areas, curves = [], []
    for problem_name, question in (questions() if problems is None else problems).items():
        for seed in range(seeds):
            problem = question.make(seed)
            for state, name, score in _score_criteria(problem, question, chosen, steps, seed):
                key = (problem_name, state, name, seed)
                pruned_needed, pruned_idle = _curve(score, problem.idle)
                areas.append((*key, _area(pruned_needed, pruned_idle)))
                curves.append(
                    pd.DataFrame({"pruned_idle": pruned_idle, "pruned_needed": pruned_needed}).assign(**_name_key(key))
                )
    all_areas = pd.DataFrame(areas, columns=["problem", "state", "criterion", "seed", "auc"])
    rows = []
    for group, part in all_areas.groupby(["problem", "state", "criterion"], sort=False):
        interval = mean_interval(part.auc)
        rows.append((*group, interval.estimate, interval.low, interval.high, interval.n))
    table = pd.DataFrame(rows, columns=["problem", "state", "criterion", "auc", "low", "high", "seeds"])
    order = ["problem", "state", "criterion", "seed", "pruned_idle", "pruned_needed"]
    return Roc(table, all_areas, pd.concat(curves, ignore_index=True)[order])


def planted_cells(found: Roc, *, profile: str) -> list[Cell]:
    """Return the areas under the curves of `roc` as cells, one for each problem, criterion and state.

    Parameters
    ----------
    found : Roc
        Result of `roc`.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    table = found.table.assign(quantity="auc, " + found.table.state).drop(columns="state")
    names = {
        "problem": "dataset",
        "criterion": "method",
        "auc": "ours",
        "low": "ci_low",
        "high": "ci_high",
        "seeds": "n",
    }
    note = "chance that a needed weight scores above an idle one; 0.5 is chance"
    return row_cells(table.rename(columns=names), paper="causal", table="planted_networks", note=note, profile=profile)


def auc(score: Mapping[str, Tensor], idle: Mapping[str, Tensor]) -> float:
    """Return the probability that a random needed weight has a higher score than a random idle one; ties count half.

    Parameters
    ----------
    score : mapping of parameter name to Tensor
        Scores, larger = keep.
    idle : mapping of parameter name to bool Tensor
        True for idle weights.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If names or shapes differ, a score is NaN, or no weight or every weight is idle.

    Examples
    --------
    >>> idle = {"weight": torch.tensor([True, True, False])}
    >>> auc({"weight": torch.tensor([0.1, 0.7, 0.5])}, idle)
    0.5
    """
    return _area(*_curve(score, idle))


def _score_criteria(
    problem: Problem, question: Question, names: list[str], steps: int, seed: int
) -> Iterator[tuple[str, str, dict[str, Tensor]]]:
    """Yield state, criterion and scores."""
    model, size = copy.deepcopy(problem.model), question.batch_size
    optimizer = SGD(model.parameters(), lr=question.lr)
    batches = Shuffled(problem.x, problem.y, size, seed=1_000 * seed)
    # LEGCNet has the authors' smallest range; the library's criterion has no unit.
    options = {"legcnet": {"min_range": AUTHORS_MIN_RANGE}} if "legcnet" in names else None
    with criteria.Recording(model, optimizer, names, options=options) as recording:
        epochs = max(1, round(steps * size / len(problem.x)))
        fit(model, batches, epochs=epochs, optimizer=optimizer, loss=problem.loss, recorder=recording)
    states: dict[str, nn.Module] = dict(zip(STATES, (problem.model, model), strict=True))
    for state, network in states.items():
        for name in names:
            store = recording.stores.get(name)
            if state == "start" and store is not None:
                continue
            given: dict[str, Any] = {"x": problem.x, "y": problem.y, "loss": problem.loss, "lr": question.lr}
            # Not the problem's seed: random scores from the same numbers would depend on the idle weights' positions.
            yield state, name, criteria.score(name, network, **given, seed=_RANDOM + seed, store=store)


def _curve(score: Mapping[str, Tensor], idle: Mapping[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Return the shares of needed and of idle weights at or below each score, from (0, 0) to (1, 1)."""
    expected, got = ({name: tuple(value.shape) for name, value in each.items()} for each in (idle, score))
    if got != expected:
        raise ValueError(f"score must have the names and shapes {expected}, got {got}")
    truth = torch.cat([value.flatten() for value in idle.values()]).cpu().numpy()
    if truth.all() or not truth.any():
        raise ValueError(f"idle must be True for some weights and False for others, got {truth[0]} for all")
    # In float64; low scores should identify the idle weights, because they are pruned first.
    ranked = torch.cat([score[name].detach().flatten().double().cpu() for name in idle]).numpy()
    if np.isnan(ranked).any():
        raise ValueError("score must not be NaN, got NaN for at least one weight")
    # Ranks replace the scores, so that infinite scores are permitted.
    ranked = np.unique(ranked, return_inverse=True)[1]
    pruned_needed, pruned_idle, _ = roc_curve(truth, -ranked)
    return pruned_needed, pruned_idle


def _area(pruned_needed: np.ndarray, pruned_idle: np.ndarray) -> float:
    return float(area_under(pruned_needed, pruned_idle))


def _name_key(key: tuple[str, str, str, int]) -> dict[str, str | int]:
    return dict(zip(("problem", "state", "criterion", "seed"), key, strict=True))
