"""The follow-up's protocol of paper B, step by step, for every way to choose weights.

Train; then, for each cut, train again (except before the first cut), keep the whole state, record plain SGD, fit, put
the state back, and prune; finally train under the last mask. The recorded steps are thus undone, while the training is
never rewound. This is what the authors' code does from June 2025 on. `protocols.gradual` is a cheaper variant that
records the training itself.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import SGD

from ccprune import scores
from ccprune.mask import Mask
from ccprune.training import evaluate
from replication.causal.fits_records import record
from replication.causal.follow_up_protocols import METHODS, RECORDED, Cut, Protocol, Run
from replication.causal.methods import Scores
from replication.causal.setting import Setting
from replication.data.images import Images


def follow_up(
    model: nn.Module,
    images: Images,
    held: Images,
    setting: Setting,
    protocol: Protocol,
    *,
    total: float,
    method: str | None = None,
    seed: int,
) -> Run:
    """Train and prune a copy of the network by a protocol.

    All methods of a seed see the same mini-batches in training and have the same number of epochs and of pruned
    weights. One optimiser lives through all stages, so that momentum is carried from one to the next.

    Parameters
    ----------
    model : Module
        The network to begin with. It is not changed.
    images, held : Images
        As from `runs.hold_out`: images to train on and test with; held-out images as the test part of `held`.
    setting : Setting
        How the network is trained; the recorded steps have its batch size, label smoothing and augmentation.
    protocol : Protocol
        One of `PROTOCOLS`, possibly with other lengths (`dataclasses.replace`).
    total : float
        Pruned share of the prunable weights after the last cut, in [0, 1).
    method : str, optional
        One of `METHODS`. None: the protocol's fit. With "fisher", magnitude or random only the choice of the weights
        differs, and the schedule is the protocol's.
    seed : int
        Seed of the mini-batches, of the order of the records and of random scores.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        For an unknown method, a total outside [0, 1), or a loss that is not finite.
    """
    method = protocol.fit if method is None else method
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    if not 0 <= total < 1:
        raise ValueError(f"total must lie in [0, 1), got {total!r}")
    model = setting.place(copy.deepcopy(model), images)
    optimizer, mask = setting.sgd(model), Mask.ones_like(model)
    options = {"lr_min": protocol.lr_min, "seed": seed}
    epochs, cuts = 0, []
    for iteration, pruned in enumerate(protocol.counts(mask.total, total)):
        length = protocol.between if iteration else protocol.pre
        train_stage(model, optimizer, images, setting, epochs=length, first=epochs, mask=mask, **options)
        epochs += length
        if method == "dense":
            continue
        found, facts = _scores(method, model, images, setting, protocol, mask, iteration=iteration, seed=seed)
        if found is not None:
            mask = Mask.from_scores(found, sparsity=pruned / mask.total, previous=mask)
            mask.apply_(model)
        cuts.append(Cut(mask.total - mask.kept, **facts))
        if found is None:
            break
    before, test, valid = _accuracy(model, images), [], []
    if not cuts or cuts[-1].fitted:

        def after_epoch(_: int) -> None:
            test.append(_accuracy(model, images))
            valid.append(_accuracy(model, held))

        final = {"epochs": protocol.final, "first": epochs, "after_epoch": after_epoch}
        train_stage(model, optimizer, images, setting, mask=mask, **final, **options)
        epochs += protocol.final
    recorded = protocol.recorded * len(cuts) if method in RECORDED else 0
    return Run(method, model, mask, tuple(cuts), before, tuple(test), tuple(valid), epochs, recorded)


def train_stage(
    model: nn.Module,
    optimizer: SGD,
    images: Images,
    setting: Setting,
    *,
    epochs: int,
    first: int,
    lr_min: float | None,
    seed: int,
    mask: Mask | None = None,
    done: int = 0,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train the network in place for one stage, whose learning rate falls by a cosine, one step per epoch.

    Epoch e of n has the rate lr_min + (lr - lr_min) (1 + cos(pi e / n)) / 2 with the setting's lr, which is that of
    `torch.optim.lr_scheduler.CosineAnnealingLR`; the constant lr if `lr_min` is None. `first` is the number of epochs
    of the earlier stages, `done` the number of epochs of this stage that the network has behind it, and `after_epoch`
    is called with that number after each epoch.

    Raises
    ------
    ValueError
        If `lr_min` exceeds the setting's rate, or for a loss that is not finite.
    """
    if lr_min is not None and not 0 <= lr_min <= setting.lr:
        raise ValueError(f"lr_min must lie in [0, {setting.lr}], the setting's rate, got {lr_min!r}")
    for epoch in range(done, epochs):
        fall = 0.0 if lr_min is None else (setting.lr - lr_min) * (1 - math.cos(math.pi * epoch / epochs)) / 2
        for group in optimizer.param_groups:
            group["lr"] = setting.lr - fall
        setting.train(model, images, epochs=1, optimizer=optimizer, seed=seed, first=first + epoch, mask=mask)
        if after_epoch is not None:
            after_epoch(epoch + 1)


def _scores(
    method: str,
    model: nn.Module,
    images: Images,
    setting: Setting,
    protocol: Protocol,
    mask: Mask,
    *,
    iteration: int,
    seed: int,
) -> tuple[Scores | None, dict[str, Any]]:
    """Return scores of the weights, None where a fit has no coefficients, and facts of the cut; the model stays."""
    if method == "magnitude":
        return scores.magnitude(model), {}
    if method == "random":
        return scores.random(model, seed=seed), {}
    state = copy.deepcopy(model.state_dict())
    options = {"epochs": protocol.recorded, "lr": protocol.record_lr, "first": iteration * protocol.recorded}
    records = record(model, images, setting, seed=seed, mask=mask, **options)
    model.load_state_dict(state)
    facts = {"records": len(records.y)}
    if method == "fisher":
        return records.as_scores(records.mean_squared_gradient), facts
    found = records.fit(method, seed=seed)
    facts |= {name: getattr(found, name) for name in ("outcome", "passes", "explained", "zeros")}
    return None if found.gamma is None else records.as_scores(found.gamma), facts


def _accuracy(model: nn.Module, images: Images) -> float:
    """Accuracy on the test part of the images."""
    return evaluate(model, images.x_test, images.y_test, normalise=images.normalise).accuracy
