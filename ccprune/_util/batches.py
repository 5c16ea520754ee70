"""Mini-batches of tensors, in an order that can be drawn again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Callable that returns the mini-batches of an epoch in a random order.

    The order of epoch e follows from seed + e alone, is drawn on the CPU and is the same on every device. Each epoch
    has every sample once. Its last mini-batch may be smaller; a single sample that is left over is added to the one
    before, because batch norm cannot be trained on one sample.

    Parameters
    ----------
    x, y : Tensor, shapes (n, ...)
    batch_size : int
    seed : int
    """

    x: Tensor
    y: Tensor
    batch_size: int
    seed: int

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.seed + epoch)
        order = torch.randperm(len(self.x), generator=generator).to(self.x.device)
        parts = list(order.split(self.batch_size))
        if self.batch_size > 1 and len(parts) > 1 and len(parts[-1]) == 1:
            parts[-2:] = [torch.cat(parts[-2:])]
        for rows in parts:
            yield self.x[rows], self.y[rows]

    def after(self, epochs: int) -> "Shuffled":
        """Return the mini-batches of the epochs that follow the first `epochs`."""
        return replace(self, seed=self.seed + epochs)
