"""Problems whose idle weights are known: does a score find them, and does the fit drop where they end?"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch.optim import SGD

from ccprune import lasso, scores
from ccprune._util.batches import Shuffled
from ccprune.mask import Mask
from ccprune.recording import Recorder, SquaredUpdates
from ccprune.training import fit
from replication.causal.methods import Scores
from replication.causal.phase_shift.change_point import change_point
from replication.causal.phase_shift.choice import one_standard_error
from replication.data.synthetic import Problem, idle_quadratic, teacher_network

SPARSITIES = (0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.85, 0.9, 0.95)
_STEPS = 500


@dataclass(frozen=True)
class Question:
    """A problem whose idle weights are known, and how it is trained, in about `_STEPS` steps.

    Attributes
    ----------
    make : callable
        Maps a seed to a problem.
    lr : float
        Learning rate.
    batch_size : int, default 32
        Number of samples of a mini-batch.
    """

    make: Callable[[int], Problem]
    lr: float
    batch_size: int = 32


@dataclass(frozen=True)
class Answer:
    """Result of `ask`.

    Attributes
    ----------
    curves : DataFrame
        Columns seed, method, sparsity and r2 (of the pruned model).
    table : DataFrame
        One row per score, named by it. auc: area under the ROC curve of needed against idle weights, mean over seeds;
        0.5 is chance. critical_sparsity, low, high, abrupt and lost_before: as in `change_point`. p_value: the larger
        of those against a line and a smooth curve. one_se: sparsity that the one-standard-error rule chooses.
    idle_fraction : float
        Share of idle weights.
    """

    curves: pd.DataFrame
    table: pd.DataFrame
    idle_fraction: float


def questions() -> dict[str, Question]:
    """Return problems with half of the weights idle, or with a teacher network's idle units.

    The idle weights of the first three are dead or get noise only, and the needed ones are alike or not.

    Returns
    -------
    dict of Question
    """
    quadratic = partial(idle_quadratic, 200, 100)
    return {
        "dead": Question(lambda seed: quadratic(kind="dead", seed=seed), 0.1),
        "dead, unequal needs": Question(lambda seed: quadratic(kind="dead", spread=30, seed=seed), 0.3),
        "noise only": Question(lambda seed: quadratic(kind="noise_only", seed=seed), 0.1),
        "teacher network": Question(
            lambda seed: teacher_network(20, 16, 8, 4, start="near", samples=2048, seed=seed), 0.05, 64
        ),
    }


def ask(question: Question, *, seeds: int) -> Answer:
    """Train by plain SGD, record every step, and prune once by each score without retraining.

    Parameters
    ----------
    question : Question
        The problem.
    seeds : int
        Number of problems, with the seeds 0 to `seeds` - 1.

    Returns
    -------
    Answer
    """
    rows, areas = [], {}
    for seed in range(seeds):
        problem = question.make(seed)
        model, found = _train_and_score(problem, question, seed)
        needed = ~torch.cat([value.flatten() for value in problem.idle.values()])
        for name, score in found.items():
            ranked = torch.cat([value.flatten() for value in score.values()])
            areas.setdefault(name, []).append(roc_auc_score(needed.cpu(), ranked.cpu()))
            for sparsity in SPARSITIES:
                pruned = Mask.from_scores(score, sparsity=sparsity).apply_(copy.deepcopy(model))
                rows.append((seed, name, sparsity, problem.r_squared(pruned)))
    curves = pd.DataFrame(rows, columns=["seed", "method", "sparsity", "r2"])
    table = {}
    for name, area in areas.items():
        values = curves[curves.method == name].pivot(index="seed", columns="sparsity", values="r2").to_numpy()
        point = change_point(SPARSITIES, values)
        table[name] = {
            "auc": float(np.mean(area)),
            "critical_sparsity": point.critical_sparsity,
            "low": point.low,
            "high": point.high,
            "abrupt": point.abrupt,
            "p_value": max(point.p_line, point.p_smooth),
            "lost_before": point.lost_before,
            "one_se": one_standard_error(SPARSITIES, values),
        }
    return Answer(curves, pd.DataFrame(table).T, problem.idle_fraction)


def _train_and_score(problem: Problem, question: Question, seed: int) -> tuple[torch.nn.Module, dict[str, Scores]]:
    """The trained model, and its scores by name; both pairings from the same steps."""
    size = question.batch_size
    epochs = max(1, round(_STEPS * size / len(problem.x)))

    batches = Shuffled(problem.x, problem.y, size, seed=1_000 * seed)
    found: dict[str, Scores] = {}
    for pairing in ("same_batch", "consecutive"):
        model = copy.deepcopy(problem.model)
        optimizer = SGD(model.parameters(), lr=question.lr)
        screen, squares = lasso.Screen(), SquaredUpdates()
        with Recorder(model, optimizer, [screen, squares], pairing=pairing) as recorder:
            fit(model, batches, epochs=epochs, optimizer=optimizer, loss=problem.loss, recorder=recorder)
        found[f"causal, {pairing.replace('_', ' ')}"] = screen.scores
    found["squared updates"] = squares.scores
    found["magnitude"] = scores.magnitude(model)
    found["random"] = scores.random(model, seed=seed)
    return model, found
