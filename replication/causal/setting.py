"""How paper B's networks are trained, whatever prunes them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ccprune.mask import Mask
from ccprune.recording import Recorder
from ccprune.training import History, fit
from replication.data.images import Images, batches

_ORDER = 7919  # keeps the order of mini-batches apart from other uses of the same seed


@dataclass(frozen=True)
class Setting:
    """Settings by which paper B's networks are trained: the follow-up's values, except for the learning rate.

    Networks without batch normalisation collapse at the follow-up's learning rate.

    Attributes
    ----------
    batch_size : int, default 256
        Number of images of a mini-batch.
    lr, momentum, weight_decay : float, default 0.01, 0.9, 5e-4
        Arguments of SGD.
    label_smoothing : float, default 0.1
        As in torch's `cross_entropy`.
    augment : str, default "none"
        As in `images.batches`.
    precision : dtype, optional
        Type of autocast; None does not use autocast.
    channels_last : bool, default False
        Whether the weights, and so the layers, have the memory format channels_last.
    """

    batch_size: int = 256
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    augment: str = "none"
    precision: torch.dtype | None = None
    channels_last: bool = False

    def sgd(self, model: nn.Module) -> SGD:
        """Return the optimiser of the setting.

        Parameters
        ----------
        model : Module
            The network.

        Returns
        -------
        SGD
        """
        return SGD(model.parameters(), lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)

    def place(self, model: nn.Module, images: Images) -> nn.Module:
        """Move a network to the device of the images, in the setting's memory format.

        Parameters
        ----------
        model : Module
            The network, which is changed in place.
        images : Images
            Images on the device.

        Returns
        -------
        Module
        """
        if self.channels_last:
            return model.to(images.x_train.device, memory_format=torch.channels_last)
        return model.to(images.x_train.device)

    def train(
        self,
        model: nn.Module,
        images: Images,
        *,
        epochs: int,
        optimizer: Optimizer,
        seed: int,
        first: int = 0,
        scheduler: LRScheduler | None = None,
        mask: Mask | None = None,
        recorder: Recorder | None = None,
        stop: Callable[[Sequence[float]], bool] | None = None,
    ) -> History:
        """Train a network in place with the loss and the mini-batches of the setting.

        Parameters
        ----------
        model : Module
            The network.
        images : Images
            Training images.
        epochs : int
            Number of epochs.
        optimizer : Optimizer
            For example that of `sgd`.
        seed : int
            Seed of the order of the mini-batches, and of dropout.
        first : int, default 0
            Number of the first epoch. Epoch i of this call has the mini-batches of (seed, first + i).
        scheduler : LRScheduler, optional
            As in `ccprune.training.fit`.
        mask : Mask, optional
            As in `ccprune.training.fit`.
        recorder : Recorder, optional
            As in `ccprune.training.fit`.
        stop : callable, optional
            As in `ccprune.training.fit`.

        Returns
        -------
        History
            As returned by `ccprune.training.fit`.
        """

        def epoch(number: int) -> Iterator[tuple[Tensor, Tensor]]:
            return batches(
                images,
                batch_size=self.batch_size,
                seed=seed + _ORDER,
                epoch=first + number,
                augment=self.augment,
            )

        def loss(outputs: Tensor, labels: Tensor) -> Tensor:
            return cross_entropy(outputs, labels, label_smoothing=self.label_smoothing)

        return fit(
            model,
            epoch,
            epochs=epochs,
            optimizer=optimizer,
            loss=loss,
            scheduler=scheduler,
            mask=mask,
            recorder=recorder,
            autocast=self.precision,
            stop=stop,
            seed=seed + first,  # another stretch of training, other dropout
        )
