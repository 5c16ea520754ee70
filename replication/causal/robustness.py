"""Does the causal score, and the sparsity chosen with it, stay the same when training does not?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import nn

from ccprune.mask import jaccard_kept
from replication.causal.evidence import rank_correlations
from replication.causal.methods import Method
from replication.causal.phase_shift.choice import one_standard_error
from replication.causal.protocols import Point, prune_gradually, start
from replication.causal.runs import curve_row
from replication.causal.setting import Setting
from replication.data.images import Images

Change = Callable[[Images, Setting], tuple[Images, Setting]]


def mislabel(images: Images, *, share: float, seed: int) -> Images:
    """Return the set with a share of the training labels replaced by another class, drawn at random.

    Parameters
    ----------
    images : Images
        The set, which is not changed.
    share : float
        Share of the replaced labels, in [0, 1].
    seed : int
        Seed of the draw.

    Returns
    -------
    Images
    """
    generator = torch.Generator().manual_seed(seed)
    wrong = torch.randperm(len(images.y_train), generator=generator)[: round(share * len(images.y_train))]
    labels = images.y_train.clone()
    offset = torch.randint(1, images.classes, (len(wrong),), generator=generator).to(labels.device)
    labels[wrong] = (labels[wrong] + offset) % images.classes
    return replace(images, y_train=labels)


def invert(images: Images) -> Images:
    """Return the set with black and white exchanged, a shift of the data that keeps the labels.

    Parameters
    ----------
    images : Images
        The set, which is not changed.

    Returns
    -------
    Images
    """
    return replace(images, x_train=255 - images.x_train, x_test=255 - images.x_test)


@dataclass(frozen=True)
class Condition:
    """A change of the training, and a change of the data from the recording on.

    Attributes
    ----------
    before : callable, optional
        Maps images and setting to those of the training from its start. By default they do not change.
    after : callable, optional
        Maps images to those from the recording on. By default they do not change.
    """

    before: Change = lambda images, setting: (images, setting)
    after: Callable[[Images], Images] = lambda images: images


def conditions(*, seed: int) -> dict[str, Condition]:
    """Return the ways in which training is changed, the unchanged one first.

    Parameters
    ----------
    seed : int
        Seed of wrong labels.

    Returns
    -------
    dict of Condition
    """

    def setting(**changes: Callable[[Setting], float]) -> Condition:
        def change(images: Images, now: Setting) -> tuple[Images, Setting]:
            return images, replace(now, **{name: value(now) for name, value in changes.items()})

        return Condition(change)

    return {
        "as it is": Condition(),
        "another order": Condition(),
        "batch / 4": setting(batch_size=lambda now: now.batch_size // 4),
        "batch x 4": setting(batch_size=lambda now: now.batch_size * 4),
        "rate / 3": setting(lr=lambda now: now.lr / 3),
        "rate x 3": setting(lr=lambda now: now.lr * 3),
        "20% wrong labels": Condition(lambda images, now: (mislabel(images, share=0.2, seed=seed), now)),
        "inverted half-way": Condition(after=invert),
    }


def run(
    network: Callable[[int], nn.Module],
    images: Images,
    held: Images,
    setting: Setting,
    method: Method,
    *,
    levels: Sequence[float],
    before: int,
    between: int,
    after: int,
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Prune by `protocols.prune_gradually` under every condition, and compare with the unchanged training.

    The condition "another order" changes only the order of the mini-batches, so that its differences are noise.

    Parameters
    ----------
    network : callable
        Maps a seed to an initial network.
    images : Images
        Training and test images.
    held : Images
        Held-out images in their test part, as returned by `runs.hold_out`.
    setting : Setting
        The unchanged setting.
    method : Method
        The score by which weights are pruned.
    levels : sequence of float
        Rising sparsities.
    before, between, after : int
        Epochs before the first recording, before each cut, and after it, as in `protocols.prune_gradually`.
    seeds : sequence of int
        One initial network each.

    Returns
    -------
    DataFrame
        One row per seed, condition and sparsity, with the columns of `runs.curve_row`, condition instead of method.
        rank_correlation: Spearman's, of this sparsity's scores with those of the unchanged training from the same
        initial weights. jaccard_kept: Jaccard index of the weights that the two masks keep.
    """
    found = []
    for seed in seeds:
        reference: dict[float, Point] = {}
        for name, condition in conditions(seed=seed).items():
            order = seed + 500_000 if name == "another order" else seed
            changed, now = condition.before(images, setting)
            begin = start(network(seed), changed, now, epochs=before, seed=order)
            changed, changed_held = condition.after(changed), condition.after(held)
            schedule = {"levels": levels, "between": between, "after": after, "seed": order}
            for point in prune_gradually(begin, changed, now, method, **schedule):
                first = reference.setdefault(point.level, point)
                agreement = rank_correlations({"reference": first.scores, "here": point.scores}).iloc[0, 1]
                row = curve_row(seed, name, point, changed, changed_held) | {
                    "rank_correlation": float(agreement),
                    "jaccard_kept": jaccard_kept(first.mask, point.mask),
                }
                found.append(row)
    return pd.DataFrame(found).rename(columns={"method": "condition"})


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return one row per condition: agreement with the unchanged training, and the chosen sparsity.

    Parameters
    ----------
    found : DataFrame
        Table of `run`.

    Returns
    -------
    DataFrame
        Rank correlation of the scores at the first sparsity and Jaccard index of the masks at the last, means over
        seeds; chosen sparsity, by the one-standard-error rule on held-out images; test accuracy there; seeds (their
        number).
    """
    rows = {}
    for name, part in found.groupby("condition", sort=False):
        valid = part.pivot(index="seed", columns="level", values="valid_accuracy")
        chosen = one_standard_error(valid.columns.to_numpy(), valid.to_numpy())
        first, last = part[part.level == valid.columns[0]], part[part.level == valid.columns[-1]]
        rows[name] = {
            "rank correlation": first.rank_correlation.mean(),
            "Jaccard": last.jaccard_kept.mean(),
            "chosen sparsity": chosen,
            "test accuracy there": part[part.level == chosen].test_accuracy.mean(),
            "seeds": len(valid),
        }
    return pd.DataFrame(rows).T
