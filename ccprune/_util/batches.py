"""Mini-batches of tensors, in an order that can be drawn again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ccprune._util.inputs import count_samples, rows, tensors


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Callable that returns the mini-batches of an epoch, of (n, ...) tensors, tuples or mappings, in a random order.

    The order of epoch e follows from seed + e alone and is the same on every device. The last mini-batch may be
    smaller; a single sample that is left over is added to the one before, because batch norm needs two.
    """

    x: Any
    y: Any
    batch_size: int
    seed: int

    def __call__(self, epoch: int) -> Iterator[tuple[Any, Any]]:
        generator = torch.Generator().manual_seed(self.seed + epoch)
        count = count_samples(self.x)
        order = torch.randperm(count, generator=generator).to(tensors(self.x)[0].device)
        parts = list(order.split(self.batch_size))
        if self.batch_size > 1 and len(parts) > 1 and len(parts[-1]) == 1:
            parts[-2:] = [torch.cat(parts[-2:])]
        for part in parts:
            yield rows(self.x, part, count=count), rows(self.y, part, count=count)
