"""Sums over the records for `ccprune.lasso.Screen`, computed one block of weights at a time.

Features are computed in float64 in a buffer of the size of a block: those of all weights at once would need more memory
than the sums and would not fit in the processor's cache. A block may span several tensors, so that many small tensors
need few calls. A compiled kernel was no faster.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

# Weights per block. On the CPU the features and sums of a block stay in the cache (1 MiB each). On other devices the
# cost is dominated by kernel launches.
_BLOCK, _BLOCK_ELSEWHERE = 2**17, 2**22
# Factor of float32 sums; a power of two, so the multiplication is exact. dL times a squared change is 1e-20 in training
# and can be far smaller; float32 has its full precision from 1e-38 to 1e38.
_UNIT = 2.0**64


@dataclass(eq=False)
class _Block:
    """Weights on one device and of one dtype; each of `pieces` is (index of the tensor, slice of its weights)."""

    pieces: list[tuple[int, slice]]
    sums: Tensor  # (features, weights)
    previous: Tensor | None  # (weights,), the change of the previous step

    def split(self, values: Tensor) -> list[Tensor]:
        """Split values (weights,) of the block into its pieces."""
        return list(values.split([piece.stop - piece.start for _, piece in self.pieces]))

    def gather(self, flat: list[Tensor], out: Tensor) -> None:
        """Copy the block's weights from the flat tensors to `out` (weights,)."""
        torch._foreach_copy_(self.split(out), [flat[index][piece] for index, piece in self.pieces])


class Blocks:
    """sum_t dL_t x_t for the features x of every weight, and the previous change where features need it.

    With three features, they are the square of the previous change, the square of the current change, and the product
    of the two changes. With one feature, it is the square of the current change. `shapes`, devices and the layout in
    memory are those of the first changes.
    """

    def __init__(self, changes: Mapping[str, Tensor], *, features: int, dtype: torch.dtype) -> None:
        self.shapes = {name: tuple(change.shape) for name, change in changes.items()}
        self.follows = False  # whether the change of the previous step is stored
        self._devices = [change.device for change in changes.values()]
        # Weights are numbered in the order of memory (channels last, for instance), so that a flat view needs no copy.
        self._orders = [sorted(range(change.ndim), key=change.stride, reverse=True) for change in changes.values()]
        self._unit = _UNIT if dtype == torch.float32 else 1.0
        self._blocks = []
        for device, kind, pieces in _plan(changes):
            size = sum(piece.stop - piece.start for _, piece in pieces)
            sums = torch.zeros(features, size, dtype=dtype, device=device)
            previous = torch.zeros(size, dtype=kind, device=device) if features > 1 else None
            self._blocks.append(_Block(pieces, sums, previous))
        places = [index for block in self._blocks for _ in range(features) for index, _ in block.pieces]
        # The tensor of each piece, feature by feature.
        self._places = torch.tensor(places, dtype=torch.int64, device=self._devices[0])

    @property
    def sums(self) -> list[Tensor]:
        """Sums (features, weights) of each block."""
        return [block.sums for block in self._blocks]

    def remember(self, changes: Mapping[str, Tensor]) -> None:
        """Store the changes as those of the previous step without adding a record."""
        flat = self._flat(changes)
        for block in self._blocks:
            block.gather(flat, block.previous)
        self.follows = True

    def norms(self, changes: Mapping[str, Tensor]) -> Tensor:
        """Return ||x||_2 (tensors,) of each tensor's features, on the device of the first tensor."""
        squares = []
        for block, features in self._features(changes):
            parts = [part for feature in features for part in block.split(feature)]
            if features.device.type == "cpu":
                squares.append(torch.stack([part.dot(part) for part in parts]))  # faster than computing norms
            else:
                squares.append(torch.stack(torch._foreach_norm(parts)).square_())
        # In distributed training a rank may hold no weight at all.
        none = torch.zeros(0, dtype=torch.float64, device=self._places.device)
        found = torch.cat([none, *(square.to(self._places.device) for square in squares)])
        return found.new_zeros(len(self.shapes)).index_add_(0, self._places, found).sqrt_()

    def add(self, changes: Mapping[str, Tensor], loss: Tensor, finite: Tensor | None) -> None:
        """Add loss (0-d, float64) times the features; add 0 if `finite` (0-d) is given and False."""
        factor = loss * self._unit
        number = float(factor) if finite is None else 1.0
        for block, features in self._features(changes):
            if finite is not None:  # on an asynchronous device the values are not known on the host
                features.mul_(factor.to(features.device)).masked_fill_(~finite.to(features.device), 0.0)
            if block.sums.dtype == features.dtype:
                block.sums.add_(features, alpha=number)
            else:  # only the sum is rounded to float32, not the term that is added
                block.sums.copy_(block.sums.to(features.dtype).add_(features, alpha=number))
        if self.follows:
            self.remember(changes)

    def largest(self, records: int) -> dict[str, Tensor]:
        """Return the largest |sum| / records of each weight's features, float64; raise ValueError if not finite."""
        return self._laid_out(records, torch.float64, lambda score: score)

    def exceeds(self, records: int, threshold: float) -> dict[str, Tensor]:
        """Return where `largest` exceeds the threshold, one block in memory at a time; raises as `largest`."""
        return self._laid_out(records, torch.bool, lambda score: score > threshold)

    def _laid_out(self, records: int, dtype: torch.dtype, made: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Apply `made` to each weight's largest |sum| / records; results have the weights' shapes and layout."""
        found, flat = {}, []
        for (name, shape), order, device in zip(self.shapes.items(), self._orders, self._devices, strict=True):
            laid_out = torch.empty([shape[axis] for axis in order], dtype=dtype, device=device)
            found[name] = laid_out.permute([order.index(axis) for axis in range(len(order))])
            flat.append(laid_out.view(-1))
        for block in self._blocks:
            score = block.sums.abs().amax(0).to(torch.float64).div_(self._unit * records)
            if not bool(torch.isfinite(score).all()):
                raise ValueError(f"sums must be finite, dL times squared changes overflowed {block.sums.dtype}")
            for (index, piece), part in zip(block.pieces, block.split(made(score)), strict=True):
                flat[index][piece] = part
        return found

    def _flat(self, changes: Mapping[str, Tensor]) -> list[Tensor]:
        """Return each tensor's values (weights,), a view if its memory layout is that of the first changes."""
        return [
            change.detach().permute(order).reshape(-1)
            for change, order in zip(changes.values(), self._orders, strict=True)
        ]

    def _features(self, changes: Mapping[str, Tensor]) -> Iterator[tuple[_Block, Tensor]]:
        """Yield each block and its features (features, weights), float64, in a buffer the next block overwrites."""
        flat, buffers = self._flat(changes), {}
        for block in self._blocks:
            device, size = block.sums.device, block.sums.numel()
            if device not in buffers:
                largest = max(other.sums.numel() for other in self._blocks if other.sums.device == device)
                buffers[device] = torch.empty(largest, dtype=torch.float64, device=device)
            features = buffers[device][:size].view_as(block.sums)
            if block.previous is None:
                block.gather(flat, features[0])
            else:
                block.gather(flat, features[1])
                features[0].copy_(block.previous)
                torch.mul(features[0], features[1], out=features[2])
            features[:2].square_()
            yield block, features


def _plan(changes: Mapping[str, Tensor]) -> list[tuple[torch.device, torch.dtype, list[tuple[int, slice]]]]:
    """Return each block's device, dtype of the changes, and pieces: weights in order, in blocks as large as allowed."""
    plan: list[tuple[torch.device, torch.dtype, list[tuple[int, slice]]]] = []
    room = 0
    for index, change in enumerate(changes.values()):
        first = 0
        while first < change.numel():
            if room == 0 or plan[-1][:2] != (change.device, change.dtype):
                plan.append((change.device, change.dtype, []))
                room = _BLOCK if change.device.type == "cpu" else _BLOCK_ELSEWHERE
            last = min(change.numel(), first + room)
            plan[-1][2].append((index, slice(first, last)))
            room -= last - first
            first = last
    return plan
