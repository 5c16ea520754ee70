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
    """How networks are trained: the follow-up's values, but for its learning rate, at which networks without batch norm
    collapse.

    Attributes: batch_size; lr, momentum, weight_decay (of SGD); label_smoothing; augment (as `images.batches`);
    precision (autocast's type, None for none); channels_last (memory format of the weights; layers follow it).
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
        """SGD as the setting says."""
        return SGD(model.parameters(), lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)

    def place(self, model: nn.Module, images: Images) -> nn.Module:
        """The network where the images are, in the setting's memory format."""
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
        """Trains in place; its epoch i sees the mini-batches that belong to (seed, first + i). As `minibatch.fit`."""

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
