"""The follow-up's protocol of paper B, step by step, for every way to choose weights.

Train; then, for each cut, train again (except before the first cut), keep the whole state, record plain SGD, fit, put
the state back, and prune; finally train under the last mask. The recorded steps are thus undone, while the training is
never rewound. This is what the authors' code does from June 2025 on. `protocols.prune_gradually` is a cheaper variant
that records the training itself.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from torch import nn
from torch.optim import SGD

from ccprune import scores
from ccprune.mask import Mask
from replication.causal.follow_up.checkpoint import Checkpoint
from replication.causal.follow_up.protocols import METHODS, RECORDED, Cut, Protocol, Run
from replication.causal.follow_up.records import record
from replication.causal.methods import Scores
from replication.causal.setting import Setting
from replication.data.images import Images


def follow_up(
    model: nn.Module,
    images: Images,
    held: Images | None,
    setting: Setting,
    protocol: Protocol,
    *,
    total: float,
    method: str | None = None,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> Run:
    """Train and prune a copy of the network by a protocol.

    All methods of a seed see the same mini-batches in training and have the same number of epochs and of pruned
    weights. One optimiser lives through all stages, so that momentum is carried from one to the next.

    Parameters
    ----------
    model : Module
        The network to begin with. It is not changed.
    images, held : Images
        As from `runs.hold_out`: images to train on and test with; held-out images as the test part of `held`. None
        where all training images are trained on, as in the authors' runs.
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
    checkpoint : Checkpoint, optional
        Written after each trained epoch. If it has a state, the run resumes from it, and its result is that of an
        uninterrupted run, bit for bit where the layers are deterministic. Recordings start anew.

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
    walk = _Walk(model, images, held, setting, protocol, seed, checkpoint or Checkpoint(None))
    for iteration, pruned in enumerate(protocol.counts(walk.mask.total, total)):
        if iteration < walk.stage:
            continue  # done before the run was interrupted
        walk.train(iteration)
        if method != "dense" and not walk.cut(method, iteration, pruned):
            break
    walk.finish()
    return walk.run(method)


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
    `torch.optim.lr_scheduler.CosineAnnealingLR`.

    Parameters
    ----------
    model : Module
        The network.
    optimizer : SGD
        Its optimiser, whose learning rate is set in each epoch.
    images : Images
        Training images.
    setting : Setting
        Settings of the training.
    epochs : int
        Number of epochs of the stage.
    first : int
        Number of epochs of the earlier stages.
    lr_min : float or None
        Learning rate at the end of the cosine. With None the learning rate is constant.
    seed : int
        Seed of the order of the mini-batches.
    mask : Mask, optional
        Weights that stay 0.
    done : int, default 0
        Number of epochs of this stage that the network was already trained.
    after_epoch : callable, optional
        Called after each epoch with the number of finished epochs of this stage.

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


class _Walk:
    """The state of one run between its stages, of which the last is the final training."""

    def __init__(
        self,
        model: nn.Module,
        images: Images,
        held: Images | None,
        setting: Setting,
        protocol: Protocol,
        seed: int,
        checkpoint: Checkpoint,
    ) -> None:
        self._images, self._held, self._setting, self._seed = images, held, setting, seed
        self._protocol, self._checkpoint = protocol, checkpoint
        self.model = setting.place(copy.deepcopy(model), images)
        self.mask, self.cuts = Mask.ones_like(self.model), []
        self._optimizer = setting.sgd(self.model)
        self.stage = self._done = 0  # the stage in progress, and the epochs of it that are done
        self._test, self._valid, self._before, self._best = [], [], None, None
        if (found := checkpoint.read()) is not None:
            self.model.load_state_dict(found["model"])
            self._optimizer.load_state_dict(found["optimizer"])
            self.mask = Mask({name: found["mask"][name].to(keep.device) for name, keep in self.mask.keep.items()})
            self.cuts = [Cut(**cut) for cut in found["cuts"]]
            self.stage, self._done, self._before = found["stage"], found["done"], found["before"]
            self._test, self._valid, self._best = found["test"], found["valid"], found["best"]

    def train(self, stage: int) -> None:
        done = self._done if stage == self.stage else 0
        self.stage = stage
        options = {"epochs": self._protocol.stages[stage], "first": sum(self._protocol.stages[:stage]), "done": done}
        options |= {"lr_min": self._protocol.lr_min, "seed": self._seed, "after_epoch": self._after_epoch}
        train_stage(self.model, self._optimizer, self._images, self._setting, mask=self.mask, **options)

    def cut(self, method: str, iteration: int, pruned: int) -> bool:
        """Prune up to a number of weights, and return False if a fit had no coefficients, so that nothing is pruned."""
        found, facts = _scores(
            method,
            self.model,
            self._images,
            self._setting,
            self._protocol,
            self.mask,
            iteration=iteration,
            seed=self._seed,
        )
        if found is not None:
            self.mask = Mask.from_scores(found, sparsity=pruned / self.mask.total, previous=self.mask)
            self.mask.apply_(self.model)
        self.cuts.append(Cut(self.mask.total - self.mask.kept, **facts))
        return found is not None

    def finish(self) -> None:
        if self._before is None:
            self._before = self._images.evaluate(self.model).accuracy
        if not self._ended:
            self.train(self._protocol.iterations)

    def run(self, method: str) -> Run:
        epochs = sum(self._protocol.stages[: len(self.cuts)]) if self._ended else self._protocol.epochs
        recorded = self._protocol.recorded * len(self.cuts) if method in RECORDED else 0
        measured = {"before_final": self._before, "test": tuple(self._test), "valid": tuple(self._valid)}
        measured |= {"epochs": epochs, "recorded": recorded, "best": self._best}
        return Run(method, self.model, self.mask, tuple(self.cuts), **measured)

    @property
    def _ended(self) -> bool:
        return bool(self.cuts) and not self.cuts[-1].fitted

    def _after_epoch(self, done: int) -> None:
        if self.stage == self._protocol.iterations:
            accuracy = self._images.evaluate(self.model).accuracy
            if accuracy > max(self._test, default=-1.0):
                self._best = copy.deepcopy(self.model.state_dict())
            self._test.append(accuracy)
            if self._held is not None:
                self._valid.append(self._held.evaluate(self.model).accuracy)
        self._checkpoint.write(
            model=self.model.state_dict(),
            optimizer=self._optimizer.state_dict(),
            mask=dict(self.mask.keep),
            cuts=[asdict(cut) for cut in self.cuts],
            stage=self.stage,
            done=done,
            before=self._before,
            test=self._test,
            valid=self._valid,
            best=self._best,
        )


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
