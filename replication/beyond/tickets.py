"""Lottery tickets: masks of one trained network, trained again from its earlier weights, and their controls."""

import copy
from collections.abc import Sequence

import pandas as pd
import torch
from torch import nn

from ccprune import criteria
from ccprune.mask import Mask, geometric
from ccprune.recording import Recorder
from ccprune.scores import WeightExponents
from ccprune.stats import paired_difference
from replication import ledger
from replication.causal.released.text import list_kinds
from replication.causal.setting import Setting
from replication.data.images import Images

_WINDOW = 15  # steps; with LEGCNet's 5 lags this needs 16 windows, of which one starts every 13 steps
#: Questions to a mask: the start whose accuracy is compared, and the one without the ingredient.
QUESTIONS = {
    "mask - shuffled, initial": ("initial", "shuffled"),
    "mask - shuffled, early": ("early", "early shuffled"),
    "initial - reinitialised": ("initial", "reinitialised"),
}
_ROUNDS = 20  # of SynFlow, which removes whole layers in a single round (Tanaka et al., 2020)


def train_child(
    saved: nn.Module,
    images: Images,
    setting: Setting,
    *,
    mask: Mask | None = None,
    epochs: int,
    seed: int,
    stores: Sequence[object] = (),
) -> nn.Module:
    """Return a copy of the saved network after training by SGD under a mask, if any.

    Parameters
    ----------
    saved : Module
        The saved network, which is not changed.
    images : Images
        Training images.
    setting : Setting
        Learning rate, momentum and mini-batch size.
    mask : Mask, optional
        Weights that stay 0.
    epochs : int
        Number of epochs.
    seed : int
        Seed of the order of the mini-batches.
    stores : sequence of Store, default ()
        Stores that record the training, with pairing "consecutive".

    Returns
    -------
    Module
        The trained copy.
    """
    model = copy.deepcopy(saved)
    if mask is not None:
        mask.apply_(model)
    optimizer = setting.sgd(model)
    recorder = Recorder(model, optimizer, stores, pairing="consecutive") if stores else None
    setting.train(model, images, epochs=epochs, optimizer=optimizer, seed=seed, mask=mask, recorder=recorder)
    if recorder is not None:
        recorder.close()
    return model


def ticket_masks(
    initial: nn.Module,
    images: Images,
    setting: Setting,
    names: Sequence[str],
    *,
    sparsity: float,
    epochs: int,
    seed: int,
) -> tuple[nn.Module, dict[str, Mask]]:
    """Return the trained dense network and one mask for each criterion, all with the same number of weights.

    SNIP, SynFlow and random scores are those of the initial network, SynFlow's in 20 rounds. Magnitudes are those of
    the trained network. Criteria with a store score one recording of the whole training.

    Parameters
    ----------
    initial : Module
        The network, which is not changed.
    images : Images
        Training images.
    setting : Setting
        Learning rate, momentum and mini-batch size.
    names : sequence of str
        Criteria of `ccprune.criteria.list_criteria()` that need no pairing "same_batch".
    sparsity : float
        Pruned fraction.
    epochs : int
        Number of epochs.
    seed : int
        Seed of the order of the mini-batches, of the sample of images and of random scores.

    Returns
    -------
    trained : Module
        The dense network after training.
    masks : dict of Mask
        One by name of its criterion.

    Raises
    ------
    ValueError
        If a criterion must be recorded with pairing "same_batch".
    """
    known = {name: criteria.get(name) for name in names}
    stores = {}
    for name, criterion in known.items():
        if criterion.store is not None:
            if criterion.pairing != "consecutive":
                raise ValueError(f"names must hold no criterion with pairing {criterion.pairing!r}, got {name!r}")
            legcnet = name == "legcnet"
            stores[name] = WeightExponents(initial, window=_WINDOW) if legcnet else criterion.store(initial)
    trained = train_child(initial, images, setting, epochs=epochs, seed=seed, stores=list(stores.values()))
    x, y = images.sample(min(1000, len(images.x_train)), seed=seed)
    masks = {}
    for name in names:
        if name == "synflow":
            pruned, mask = copy.deepcopy(initial), Mask.ones_like(initial)
            for level in geometric(sparsity, iterations=_ROUNDS):
                found = criteria.score(name, mask.apply_(pruned), x=x)
                mask = Mask.from_scores(found, sparsity=level, previous=mask)
            masks[name] = mask
            continue
        scored = initial if name in ("snip", "random") else trained
        found = criteria.score(name, scored, x=x, y=y, store=stores.get(name), seed=seed)
        masks[name] = Mask.from_scores(found, sparsity=sparsity)
    return trained, masks


def error_barrier(first: nn.Module, second: nn.Module, images: Images, *, points: int = 5) -> float:
    """Return the largest rise of the test error on the line between two networks, above the mean of its ends.

    Frankle, Dziugaite, Roy and Carbin (2020), section 2. Networks whose barrier is near 0 are stable to the noise of
    SGD: they reached the same basin.

    Parameters
    ----------
    first, second : Module
        Networks of one architecture without batch normalisation, whose statistics would have to be computed again.
    images : Images
    points : int, default 5
        Number of points between the ends.

    Returns
    -------
    float
        In [-1, 1]; negative if the error is smaller everywhere between the ends.
    """
    between = copy.deepcopy(first)
    ends = [dict(model.named_parameters()) for model in (first, second)]

    def error(share: float) -> float:
        with torch.no_grad():
            for name, parameter in between.named_parameters():
                parameter.copy_(torch.lerp(ends[0][name], ends[1][name], share))
        return 1 - images.evaluate(between).accuracy

    inner = max(error((i + 1) / (points + 1)) for i in range(points))
    return inner - (error(0.0) + error(1.0)) / 2


def ticket_differences(accuracies: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the accuracy that each ingredient of a ticket adds, paired by seed.

    Parameters
    ----------
    accuracies : DataFrame
        Columns seed, method, start, accuracy of at least 2 seeds.
    names : sequence of str
        Criteria.

    Returns
    -------
    DataFrame
        Columns method, question (of `QUESTIONS`), difference, low, high, verdict ("better", "worse" or "not shown").
    """
    wide = accuracies.pivot(index="seed", columns=["method", "start"], values="accuracy")
    rows = []
    for name in names:
        for question, (whole, without) in QUESTIONS.items():
            found = paired_difference(wide[name, whole], wide[name, without])
            verdict = "better" if found.low > 0 else "worse" if found.high < 0 else "not shown"
            rows.append((name, question, found.estimate, found.low, found.high, verdict))
    return pd.DataFrame(rows, columns=["method", "question", "difference", "low", "high", "verdict"])


def ticket_sentences(differences: pd.DataFrame, *, seeds: int) -> list[str]:
    """Name the criteria whose mask is better, worse or not shown to differ, one sentence for each question.

    Parameters
    ----------
    differences : DataFrame
        Table of `ticket_differences`.
    seeds : int
        Number of seeds.

    Returns
    -------
    list of str
        Markdown.
    """
    found = []
    for question, part in differences.groupby("question", sort=False):
        names = {kind: part.method[part.verdict == kind] for kind in ("better", "worse", "not shown")}
        found.append(f"**{question}** ({seeds} seeds). {list_kinds(names)}.")
    return found


def ticket_cells(
    accuracies: pd.DataFrame, barriers: pd.DataFrame, *, sparsity: float, dataset: str, profile: str
) -> list[ledger.Cell]:
    """Return the mean accuracies and error barriers of the lesson on lottery tickets as cells.

    Parameters
    ----------
    accuracies, barriers : DataFrame
        Columns seed, method, start, and accuracy or barrier.
    sparsity : float
    dataset, profile : str

    Returns
    -------
    list of Cell
    """
    fields = {"paper": "causal", "table": "tickets", "dataset": dataset, "profile": profile, "sparsity": sparsity}
    value = accuracies.assign(quantity="test accuracy, " + accuracies.start).drop(columns=["seed", "start"])
    value.loc[value.method == "dense", "quantity"] = "test accuracy"
    rise = barriers.assign(quantity="error barrier, " + barriers.start).drop(columns=["seed", "start"])
    return ledger.sample_cells(value, "accuracy", **fields) + ledger.sample_cells(rise, "barrier", **fields)
