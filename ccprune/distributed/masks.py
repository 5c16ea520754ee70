"""Masks with an exact number of pruned weights where the scores lie on several ranks and stay there."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune.distributed._selection import drop_lowest
from ccprune.distributed.layout import Layout
from ccprune.mask import SCOPES, Enforcement, Mask
from ccprune.mask._select import pruned_count


@dataclass(frozen=True, eq=False)
class ShardedMask:
    """Which weights stay, as far as this rank needs to know; `gather` makes an ordinary `Mask` of it.

    Attributes
    ----------
    keep : {name: bool Tensor}
        True = keep. Of this rank's shard, in its shape; of a replicated weight the whole tensor.
    counts : {name: int}
        Number of weights that stay in each whole tensor.
    layout : Layout
    """

    keep: Mapping[str, Tensor]
    counts: Mapping[str, int]
    layout: Layout

    @classmethod
    def from_scores(
        cls, scores: Mapping[str, Tensor], layout: Layout, *, sparsity: float, scope: str = "global"
    ) -> "ShardedMask":
        """The mask that `Mask.from_scores` makes of the whole scores, ties included. Every rank must call it.

        Parameters
        ----------
        scores : {name: Tensor}
            Of this rank's parts: `scores` of a store fed by `distributed.Recorder`, or made from `layout.own(model)`.
        sparsity, scope
            As in `Mask.from_scores`.

        Raises
        ------
        ValueError
            As `Mask.from_scores`, and for scores of another size than the part; NaN on one rank is an error on all.
        """
        if isinstance(sparsity, bool) or not 0 <= sparsity <= 1:
            raise ValueError(f"sparsity must lie in [0, 1], got {sparsity!r}")
        if scope not in SCOPES:
            raise ValueError(f"scope must be one of {SCOPES}, got {scope!r}")
        _check(scores, layout)
        families = [list(scores)] if scope == "global" else [[name] for name in scores]
        counts = [
            (names, pruned_count(sparsity, sum(layout.parts[name].shape.numel() for name in names)))
            for names in families
        ]
        return cls.from_parts(drop_lowest(scores, counts, layout), layout)

    @classmethod
    def from_parts(cls, keep: Mapping[str, Tensor], layout: Layout) -> "ShardedMask":
        """From {name: bool Tensor} of this rank's parts. Every rank must call it.

        Replicated weights' parts are gathered, one byte per weight: each rank masks whole tensors.
        """
        kept = layout.total(torch.stack([part.sum() for part in keep.values()])).tolist()
        if layout.sharded:
            keep = {name: part.reshape(-1, *layout.parts[name].shape[1:]) for name, part in keep.items()}
        else:
            keep = {name: layout.whole(name, part.to(torch.uint8)).bool() for name, part in keep.items()}
        return cls(keep, dict(zip(keep, kept, strict=True)), layout)

    @classmethod
    def from_mask(cls, mask: Mask, layout: Layout) -> "ShardedMask":
        """The rank's part of an ordinary mask, which every rank has: the inverse of `gather`. Nothing is sent.

        Raises ValueError for a name or shape that is not in the layout.
        """
        keep = {}
        for name, whole in mask.keep.items():
            part = layout.parts.get(name)
            if part is None or whole.shape != part.shape:
                raise ValueError(f"mask's {name!r} must be as in the layout, {part}, got shape {tuple(whole.shape)}")
            flat = whole.to(layout.device).flatten()
            keep[name] = flat[part.start : part.stop].reshape(-1, *part.shape[1:]) if layout.sharded else whole
        return cls(keep, mask.counts, layout)

    @property
    def total(self) -> int:
        """Number of prunable weights, of all ranks."""
        return sum(self.layout.parts[name].shape.numel() for name in self.keep)

    @property
    def kept(self) -> int:
        """Number of weights that stay, of all ranks."""
        return sum(self.counts.values())

    @property
    def sparsity(self) -> float:
        """Pruned fraction of prunable weights, of all ranks."""
        return 1.0 - self.kept / self.total

    def apply_(self, model: nn.Module) -> nn.Module:
        """Sets pruned weights to zero in place, this rank those that it holds, and returns the model.

        Raises ValueError when a weight is missing or not as in the layout; then nothing has been changed.
        """
        held = self.layout.held(model)
        with torch.no_grad():
            for name, keep in self.keep.items():
                held[name].masked_fill_(~keep.to(held[name].device), 0.0)
        return model

    def enforce(self, model: nn.Module, optimizer: Optimizer) -> Enforcement:
        """Applies the mask now and again after every step of the optimiser, until removed, as `Mask.enforce`.

        On every rank; nothing is sent.
        """
        self.apply_(model)
        return Enforcement(optimizer.register_step_post_hook(lambda *_: self.apply_(model)))

    def gather(self) -> Mask:
        """The mask of the whole tensors, on every rank: one byte per weight. Every rank must call it."""
        if not self.layout.sharded:
            return Mask(self.keep)
        return Mask({name: self.layout.whole(name, keep.to(torch.uint8)).bool() for name, keep in self.keep.items()})


def _check(scores: Mapping[str, Tensor], layout: Layout) -> None:
    if not scores:
        raise ValueError("scores must name at least one parameter")
    for name, score in scores.items():
        part = layout.parts.get(name)
        if part is None or score.numel() != part.stop - part.start:
            raise ValueError(f"scores[{name!r}] must be of this rank's {part}, got shape {tuple(score.shape)}")
    # Asked on all ranks before any raises, so that none is left waiting for another.
    bad = layout.total(torch.stack([score.isnan().sum() for score in scores.values()])).tolist()
    for name, count in zip(scores, bad, strict=True):
        if count:
            raise ValueError(f"scores[{name!r}] holds NaN")
