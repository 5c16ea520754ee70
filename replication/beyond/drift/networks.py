"""Rankings of weights, and accuracy after pruning, when the training is disturbed."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy
from torch.optim.lr_scheduler import LambdaLR

from ccprune import criteria
from ccprune.mask import Mask
from ccprune.stats import paired_difference
from ccprune.training import fit
from replication import ledger
from replication.causal.evidence import rank_correlations, top_overlaps
from replication.causal.robustness import mislabel
from replication.causal.setting import Setting
from replication.data.images import Images, batches

REFERENCE, ANOTHER_ORDER = "undisturbed", "another order"
_WINDOW = 15  # steps; with LEGCNet's 5 lags this needs 17 windows, of which one starts every 13 steps
_ORDER = 500_000  # added to the seed of every run but the reference, for another order of the mini-batches
_RARE = 0.2  # share of the images of a class that are drawn out of its season
_QUARTERS = (1.0, 3.0, 0.3, 1.0)  # factors of the learning rate

Scores = dict[str, Tensor]


@dataclass(frozen=True)
class Disturbance:
    """A change of the training.

    Attributes
    ----------
    images : callable, optional
        Maps the images, the share of the training that is over, and a seed to the images of the next epoch. Pruned
        networks are tested on the test images of the end. By default the images do not change.
    lr : callable, optional
        Maps the share of the training that is over to a factor of the learning rate, 1 by default.
    noise : float, default 0
        Scale of the noise added to each gradient, relative to the gradient's root mean square.
    tail : float, default 2
        Index of the noise's symmetric stable distribution, at most 2. With 2 it is normal, below 2 it has no variance.
    """

    images: Callable[[Images, float, int], Images] = lambda images, share, seed: images
    lr: Callable[[float], float] = lambda share: 1.0
    noise: float = 0.0
    tail: float = 2.0


def _rename_labels(images: Images) -> Images:
    """Return the set with every label replaced by the next class."""
    return replace(images, y_train=(images.y_train + 1) % images.classes, y_test=(images.y_test + 1) % images.classes)


def _turn(images: Images) -> Images:
    """Return the set with all images turned by a right angle."""
    return replace(images, x_train=images.x_train.rot90(1, (2, 3)), x_test=images.x_test.rot90(1, (2, 3)))


def _seasonal(images: Images, share: float, seed: int) -> Images:
    """Return the set with images drawn again, so that each half of the classes is rare in every other quarter."""
    early = images.y_train < images.classes // 2
    common = early if int(4 * share) % 2 else ~early
    generator = torch.Generator().manual_seed(seed + int(4 * share))
    weights = torch.where(common, 1.0, _RARE)
    rows = torch.multinomial(weights, len(weights), replacement=True, generator=generator)
    return replace(images, x_train=images.x_train[rows], y_train=images.y_train[rows])


#: Disturbances by name. "another order" changes only the order of the mini-batches, as all the others do too.
DISTURBANCES: dict[str, Disturbance] = {
    ANOTHER_ORDER: Disturbance(),
    "20% wrong labels": Disturbance(lambda images, share, seed: mislabel(images, share=0.2, seed=seed)),
    "normal gradient noise": Disturbance(noise=0.3),
    "heavy-tailed gradient noise": Disturbance(noise=0.3, tail=1.5),
    "learning-rate jumps": Disturbance(lr=lambda share: _QUARTERS[min(int(4 * share), 3)]),
    "inputs turned half-way": Disturbance(lambda images, share, seed: _turn(images) if share >= 0.5 else images),
    "labels renamed half-way": Disturbance(
        lambda images, share, seed: _rename_labels(images) if share >= 0.5 else images
    ),
    "seasonal classes": Disturbance(_seasonal),
}


def halve_resolution(images: Images) -> Images:
    """Return the set with each 2 x 2 pixels replaced by their mean, which leaves a quarter of a network's inputs.

    Parameters
    ----------
    images : Images
        A set with an even number of rows and columns.

    Returns
    -------
    Images
        Pixels are rounded to uint8.
    """
    train, test = (avg_pool2d(x.float(), 2).round().to(torch.uint8) for x in (images.x_train, images.x_test))
    labels = images.y_train, images.y_test
    return Images.from_tensors(
        images.name, train, labels[0], test, labels[1], classes=images.classes, source=images.source
    )


def stable_noise(count: int, *, tail: float, generator: torch.Generator) -> Tensor:
    """Return numbers of the symmetric stable distribution with scale 1.

    With tail 2 it is N(0, 2).

    Parameters
    ----------
    count : int
        Number of values.
    tail : float
        Index of the distribution, above 0 and at most 2.
    generator : Generator
        Generator of the random numbers.

    Returns
    -------
    Tensor (count,), float64

    References
    ----------
    Chambers, Mallows and Stuck (1976), equation 2.3 with skewness 0.
    Simsekli, Sagun and Gurbuzbalaban (2019) describe the noise of stochastic gradients by this distribution.
    """
    angle = math.pi * (torch.rand(count, generator=generator, dtype=torch.float64) - 0.5)
    waiting = torch.empty_like(angle).exponential_(generator=generator)
    head = torch.sin(tail * angle) / torch.cos(angle) ** (1 / tail)
    return head * (torch.cos((1 - tail) * angle) / waiting) ** ((1 - tail) / tail)


def disturbed_scores(
    initial: nn.Module,
    images: Images,
    setting: Setting,
    disturbance: Disturbance,
    names: Sequence[str],
    *,
    epochs: int,
    seed: int,
    order: int,
    draw: int,
) -> tuple[nn.Module, dict[str, Scores], Images]:
    """Train a copy of the network under a disturbance, and score its weights.

    Parameters
    ----------
    initial : Module
        The network, which is not changed.
    images : Images
        The undisturbed set.
    setting : Setting
        Learning rate, momentum and mini-batch size.
    disturbance : Disturbance
        The change of the training.
    names : sequence of str
        Criteria of `ccprune.criteria.list_criteria()`.
    epochs : int
        Number of epochs.
    seed : int
        Seed of the disturbance.
    order : int
        Seed of the order of the mini-batches, and of the batch that criteria use.
    draw : int
        Seed of random scores.

    Returns
    -------
    model : Module
    scores : mapping of criterion to {parameter name: Tensor}
    images : Images
        Images of the end.
    """
    model, generator = copy.deepcopy(initial), torch.Generator().manual_seed(seed)
    optimizer = setting.sgd(model)
    steps = epochs * math.ceil(len(images.x_train) / setting.batch_size)
    scheduler = LambdaLR(optimizer, lambda step: disturbance.lr(step / steps))

    def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        current = disturbance.images(images, number / epochs, seed)
        return batches(current, batch_size=setting.batch_size, seed=order, epoch=number)

    def noisy(gradient: Tensor) -> Tensor:
        drawn = stable_noise(gradient.numel(), tail=disturbance.tail, generator=generator).to(gradient.dtype)
        return gradient + disturbance.noise * gradient.square().mean().sqrt() * drawn.view_as(gradient)

    hooks = [parameter.register_hook(noisy) for parameter in model.parameters() if disturbance.noise]
    options = {"legcnet": {"window": _WINDOW}} if "legcnet" in names else None
    with criteria.Recording(model, optimizer, names, options=options) as recording:
        fit(model, epoch, epochs=epochs, optimizer=optimizer, scheduler=scheduler, recorder=recording, seed=order)
    for hook in hooks:
        hook.remove()
    last = disturbance.images(images, (epochs - 1) / epochs, seed)
    x, y = last.sample(min(1000, len(last.x_train)), seed=order)
    given = {"x": x, "y": y, "loss": cross_entropy, "lr": setting.lr, "seed": draw}
    scores = {name: criteria.score(name, model, **given, store=recording.stores.get(name)) for name in names}
    return model, scores, last


def drift_runs(
    network: Callable[[int], nn.Module],
    images: Images,
    setting: Setting,
    names: Sequence[str],
    *,
    sparsities: Sequence[float],
    epochs: int,
    seeds: Sequence[int],
    disturbances: Mapping[str, Disturbance] = DISTURBANCES,
) -> pd.DataFrame:
    """Compare every criterion's ranking after a disturbed training with that after an undisturbed one.

    All runs of a seed start at the same initial weights. All but the reference share an order of the mini-batches that
    the reference does not have, so that a disturbance without effect gives what "another order" gives. Networks with
    other initial weights are not compared, because their units do not correspond.

    Parameters
    ----------
    network : callable
        Maps a seed to an initial network.
    images : Images
        The undisturbed set.
    setting : Setting
        Learning rate, momentum and mini-batch size.
    names : sequence of str
        Criteria of `ccprune.criteria.list_criteria()`.
    sparsities : sequence of float
        Pruned fractions.
    epochs : int
        Number of epochs.
    seeds : sequence of int
        One initial network each.
    disturbances : mapping of name to Disturbance, optional
        By default `DISTURBANCES`.

    Returns
    -------
    DataFrame
        Columns seed, disturbance, method, sparsity, quantity, value. Quantities are "rank correlation" (Spearman's) and
        "overlap" (share of the kept weights) with the undisturbed ranking, and "accuracy" after pruning, without
        fine-tuning, on the test images of the end; of method "dense" without pruning.
    """
    rows: list[tuple] = []
    for seed in seeds:
        initial = network(seed)
        reference: dict[str, Scores] = {}
        for number, (name, disturbance) in enumerate({REFERENCE: Disturbance(), **disturbances}.items()):
            draws = {"seed": seed, "order": seed + _ORDER * (name != REFERENCE), "draw": 1000 * seed + number}
            model, scores, last = disturbed_scores(initial, images, setting, disturbance, names, epochs=epochs, **draws)
            rows.append((seed, name, "dense", None, "accuracy", last.evaluate(model).accuracy))
            for method, score in scores.items():
                if name != REFERENCE:
                    both = {"a": reference[method], "b": score}
                    rows.append((seed, name, method, None, "rank correlation", rank_correlations(both).iloc[0, 1]))
                for sparsity in sparsities:
                    if name != REFERENCE:
                        common = top_overlaps(both, share=1 - sparsity).loc["a", "b"]
                        rows.append((seed, name, method, sparsity, "overlap", common))
                    pruned = Mask.from_scores(score, sparsity=sparsity).apply_(copy.deepcopy(model))
                    rows.append((seed, name, method, sparsity, "accuracy", last.evaluate(pruned).accuracy))
            reference = reference or scores
    return pd.DataFrame(rows, columns=["seed", "disturbance", "method", "sparsity", "quantity", "value"])


def drift_effects(runs: pd.DataFrame, quantity: str, *, sparsity: float | None = None) -> pd.DataFrame:
    """Return the effect of each disturbance: the difference from "another order", paired by seed, with its interval.

    Parameters
    ----------
    runs : DataFrame
        Table of `drift_runs` with at least 2 seeds.
    quantity : str
        One of the quantities in `runs`.
    sparsity : float, optional
        Pruned fraction; None for "rank correlation".

    Returns
    -------
    DataFrame
        Columns disturbance, method, value (mean under the disturbance), difference, low, high.
    """
    at = runs["sparsity"].isna() if sparsity is None else runs["sparsity"] == sparsity
    wide = runs[(runs["quantity"] == quantity) & at].pivot(
        index="seed", columns=["disturbance", "method"], values="value"
    )
    rows = []
    for name, method in wide.columns:
        if name not in (REFERENCE, ANOTHER_ORDER):
            found = paired_difference(wide[name, method], wide[ANOTHER_ORDER, method])
            rows.append((name, method, wide[name, method].mean(), found.estimate, found.low, found.high))
    return pd.DataFrame(rows, columns=["disturbance", "method", "value", "difference", "low", "high"])


def drift_cells(runs: pd.DataFrame, dataset: str, profile: str) -> list[ledger.Cell]:
    """Return the means over seeds, with their intervals, as cells of the table "drift".

    Parameters
    ----------
    runs : DataFrame
        Table of `drift_runs`.
    dataset : str
        Name of the data set.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    samples = runs.assign(quantity=runs["quantity"] + ", " + runs["disturbance"]).drop(columns=["seed", "disturbance"])
    return ledger.sample_cells(samples, paper="causal", table="drift", dataset=dataset, profile=profile)
