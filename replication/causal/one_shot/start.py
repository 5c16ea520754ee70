"""The trained network that a study begins with, whose training resumes at the last finished epoch, and its records."""

import copy
from functools import cached_property

import torch
from torch import Tensor, nn

from ccprune.mask import Mask
from replication.causal.follow_up.checkpoint import Checkpoint
from replication.causal.follow_up.fits import Fit
from replication.causal.follow_up.procedure import train_stage
from replication.causal.follow_up.records import Records, record
from replication.causal.runs import Network
from replication.causal.setting import Setting
from replication.data.images import Images

#: Loss changes that a fit can be given: those recorded, the same in another order, and their mean in every record.
TARGETS = ("recorded", "shuffled", "constant")


def train(
    model: nn.Module,
    images: Images,
    setting: Setting,
    *,
    epochs: int,
    lr_min: float | None,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> nn.Module:
    """Train a copy of the network for one stage of `procedure.train_stage`.

    Parameters
    ----------
    model, images, setting, epochs, lr_min, seed
        As in `train_stage`.
    checkpoint : Checkpoint, optional
        Written after each epoch. If it has a state, training resumes from it, and the result is that of an
        uninterrupted training, bit for bit where the layers are deterministic.

    Returns
    -------
    Module
    """
    checkpoint = Checkpoint(None) if checkpoint is None else checkpoint
    model = setting.place(copy.deepcopy(model), images)
    optimizer, found = setting.sgd(model), checkpoint.read()
    if found is not None:
        model.load_state_dict(found["model"])
        optimizer.load_state_dict(found["optimizer"])

    def after_epoch(done: int) -> None:
        checkpoint.write(done=done, model=model.state_dict(), optimizer=optimizer.state_dict())

    done = 0 if found is None else found["done"]
    options = {"first": 0, "done": done, "lr_min": lr_min, "seed": seed, "after_epoch": after_epoch}
    train_stage(model, optimizer, images, setting, epochs=epochs, **options)
    return model


class Start:
    """A trained network with its records, both made when they are first used.

    Parameters
    ----------
    network : callable
        Maps the seed to the network before training.
    images, setting
        As in `train`.
    epochs, lr_min, checkpoint
        As in `train`.
    recorded, record_lr
        Recorded epochs of plain SGD from the trained network, on a copy, and their learning rate.
    seed : int
    """

    def __init__(
        self,
        network: Network,
        images: Images,
        setting: Setting,
        *,
        epochs: int,
        lr_min: float | None,
        recorded: int,
        record_lr: float,
        seed: int,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self._network, self._images, self._setting, self._seed = network, images, setting, seed
        self._training = {"epochs": epochs, "lr_min": lr_min, "seed": seed, "checkpoint": checkpoint}
        self._recording = {"epochs": recorded, "lr": record_lr, "seed": seed}
        self._fits: dict[tuple[str, str], Fit] = {}

    @cached_property
    def model(self) -> nn.Module:
        """The trained network."""
        return train(self._network(self._seed), self._images, self._setting, **self._training)

    @cached_property
    def records(self) -> Records:
        """Records of plain SGD from the trained network."""
        mask = Mask.ones_like(self.model)
        return record(copy.deepcopy(self.model), self._images, self._setting, mask=mask, **self._recording)

    def fit(self, name: str, target: str = "recorded") -> Fit:
        """Return a causal fit of the records, with the loss changes of one of `TARGETS`; each fit is made once."""
        if (name, target) not in self._fits:
            y = None if target == "recorded" else self._other(self.records.used_by(name)[1], target)
            self._fits[name, target] = self.records.fit(name, y=y, seed=self._seed)
        return self._fits[name, target]

    def _other(self, y: Tensor, target: str) -> Tensor:
        if target == "constant":
            return y.mean().expand(len(y)).clone()
        if target == "shuffled":
            order = torch.randperm(len(y), generator=torch.Generator().manual_seed(self._seed))
            return y[order.to(y.device)]
        raise ValueError(f"target must be one of {TARGETS}, got {target!r}")
