"""Which criterion finds the weights that matter? ROC curves on networks where they are known."""

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
from ccprune._util.checks import at_least
from ccprune.stats import mean_interval
from ccprune.training import fit
from replication.causal.known_answers import Question, questions
from replication.data.synthetic import Problem

STATES = ("start", "trained")
_STEPS = 500
_RANDOM = 10_000  # added to the seed of random scores


@dataclass(frozen=True)
class Roc:
    """How well each criterion tells needed weights from idle ones, on each problem and in each state of the network.

    `state` is "start", the network before training, or "trained"; criteria that record training are there only in the
    latter. A score without any knowledge has an area of 0.5, one that ranks every needed weight above every idle one
    has 1.

    Attributes
    ----------
    table : DataFrame
        problem, state, criterion, auc (mean over seeds), low, high (bootstrap interval), seeds.
    areas : DataFrame
        problem, state, criterion, seed, auc.
    curves : DataFrame
        problem, state, criterion, seed, pruned_idle, pruned_needed: as scores rise, the share of idle and of needed
        weights that lie at or below. A criterion that knows all goes through (1, 0).
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
    confidence_level: float = 0.95,
) -> Roc:
    """Trains each problem's network by plain SGD and asks every criterion which weights are needed.

    Parameters
    ----------
    problems : {name: Question}, optional
        Networks with known idle weights, and how they are trained; `causal.known_answers.questions()` if None: dead
        inputs, dead inputs beside unequal needs, inputs that bring noise only, and a teacher's idle units.
    names : collection of str, optional
        Criteria; all that are registered if None.
    seeds : int
        At least 2; problem, mini-batches and random scores differ between them.
    steps : int
        Of training, rounded to whole epochs.
    confidence_level : float
        Of the intervals.

    Returns
    -------
    Roc
        Criteria that take a batch get all of a problem's data as one: their score without the noise of sampling.

    Raises
    ------
    ValueError
        Naming the argument; also when a problem has no idle weight or no needed one.
    """
    at_least(2, seeds=seeds)
    at_least(1, steps=steps)
    chosen = list(criteria.registered()) if names is None else list(names)
    areas, curves = [], []
    for problem_name, question in (questions() if problems is None else problems).items():
        for seed in range(seeds):
            problem = question.make(seed)
            for state, name, score in _scored(problem, question, chosen, steps, seed):
                key = (problem_name, state, name, seed)
                pruned_needed, pruned_idle = _curve(score, problem.idle)
                areas.append((*key, _area(pruned_needed, pruned_idle)))
                curves.append(
                    pd.DataFrame({"pruned_idle": pruned_idle, "pruned_needed": pruned_needed}).assign(**_named(key))
                )
    found = pd.DataFrame(areas, columns=["problem", "state", "criterion", "seed", "auc"])
    rows = []
    for group, part in found.groupby(["problem", "state", "criterion"], sort=False):
        interval = mean_interval(part.auc, confidence_level=confidence_level)
        rows.append((*group, interval.estimate, interval.low, interval.high, interval.n))
    table = pd.DataFrame(rows, columns=["problem", "state", "criterion", "auc", "low", "high", "seeds"])
    order = ["problem", "state", "criterion", "seed", "pruned_idle", "pruned_needed"]
    return Roc(table, found, pd.concat(curves, ignore_index=True)[order])


def auc(score: Mapping[str, Tensor], idle: Mapping[str, Tensor]) -> float:
    """Chance that a needed weight scores higher than an idle one, drawn at random; a tie counts half.

    Raises ValueError for other names or shapes, for NaN, and when no weight, or every one, is idle.

    >>> idle = {"weight": torch.tensor([True, True, False])}
    >>> auc({"weight": torch.tensor([0.1, 0.7, 0.5])}, idle)
    0.5
    """
    return _area(*_curve(score, idle))


def _scored(
    problem: Problem, question: Question, names: list[str], steps: int, seed: int
) -> Iterator[tuple[str, str, dict[str, Tensor]]]:
    """State, criterion and scores."""
    model, size = copy.deepcopy(problem.model), question.batch_size
    optimizer = SGD(model.parameters(), lr=question.lr)
    batches = Shuffled(problem.x, problem.y, size, seed=1_000 * seed)
    with criteria.Recording(model, optimizer, names) as recording:
        epochs = max(1, round(steps * size / len(problem.x)))
        fit(model, batches, epochs=epochs, optimizer=optimizer, loss=problem.loss, recorder=recording)
    states: dict[str, nn.Module] = dict(zip(STATES, (problem.model, model), strict=True))
    for state, network in states.items():
        for name in names:
            store = recording.stores.get(name)
            if state == "start" and store is not None:
                continue
            given: dict[str, Any] = {"x": problem.x, "y": problem.y, "loss": problem.loss, "lr": question.lr}
            # Not the seed that placed the idle weights: from the same numbers a random score would know of them.
            yield state, name, criteria.score(name, network, **given, seed=_RANDOM + seed, store=store)


def _curve(score: Mapping[str, Tensor], idle: Mapping[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Shares of needed and of idle weights at or below each score, from (0, 0) to (1, 1)."""
    expected, got = ({name: tuple(value.shape) for name, value in each.items()} for each in (idle, score))
    if got != expected:
        raise ValueError(f"score must have the names and shapes {expected}, got {got}")
    truth = torch.cat([value.flatten() for value in idle.values()]).cpu().numpy()
    if truth.all() or not truth.any():
        raise ValueError("idle must name some weights and not all: there is nothing to tell apart")
    # In float64, and the idle ones are to be found by a low score: what is pruned first.
    ranked = torch.cat([score[name].detach().flatten().double().cpu() for name in idle]).numpy()
    if np.isnan(ranked).any():
        raise ValueError("score must not hold NaN")
    # Ranks stand for the scores: infinite ones have a place too.
    ranked = np.unique(ranked, return_inverse=True)[1]
    pruned_needed, pruned_idle, _ = roc_curve(truth, -ranked)
    return pruned_needed, pruned_idle


def _area(pruned_needed: np.ndarray, pruned_idle: np.ndarray) -> float:
    return float(area_under(pruned_needed, pruned_idle))


def _named(key: tuple[str, str, str, int]) -> dict[str, str | int]:
    return dict(zip(("problem", "state", "criterion", "seed"), key, strict=True))
