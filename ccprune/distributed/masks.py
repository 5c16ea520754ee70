"""Masks with an exact number of pruned weights when the scores are distributed over several ranks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune._util.checks import require_fraction, require_one_of
from ccprune._util.inputs import raw_bytes
from ccprune.distributed._selection import drop_lowest
from ccprune.distributed.layout import Layout, Part
from ccprune.mask import ALLOCATIONS, Enforcement, Mask
from ccprune.mask._enforcement import after_steps
from ccprune.mask._select import check_scores, pruned_count


@dataclass(frozen=True, eq=False)
class ShardedMask:
    """The part of a mask that this rank needs; `gather` returns an ordinary `Mask`.

    Attributes
    ----------
    keep : mapping of name to bool Tensor
        True = keep, of the shape of this rank's shard or of the whole replicated tensor.
    counts : mapping of name to int
        Number of kept weights in each whole tensor.
    layout : Layout

    Examples
    --------
    >>> model = nn.Linear(4, 2)
    >>> layout = Layout.from_model(model)
    >>> scores = {name: part.detach().abs() for name, part in layout.local_parts(model).items()}
    >>> mask = ShardedMask.from_scores(scores, layout, sparsity=0.75)
    >>> mask.kept, mask.gather().kept
    (2, 2)
    """

    keep: Mapping[str, Tensor]
    counts: Mapping[str, int]
    layout: Layout

    @classmethod
    def from_scores(
        cls, scores: Mapping[str, Tensor], layout: Layout, *, sparsity: float, allocation: str = "global"
    ) -> "ShardedMask":
        """Create the same mask, ties included, as `Mask.from_scores` with the whole scores; every rank must call it.

        Parameters
        ----------
        scores : mapping of name to Tensor
            Scores of this rank's parts: `scores` of a store of `distributed.Recorder`, or computed from
            `layout.local_parts(model)`.
        layout : Layout
            Layout of the model.
        sparsity : float
        allocation : str
            "global", for which all weights are compared, or "uniform", for the same share of every tensor.

        Raises
        ------
        ValueError
            For an invalid argument, if the size of scores is not that of the part, and for arguments that differ
            between ranks. An error on one rank is one on all.
        """

        def check() -> dict[str, Any]:
            require_fraction("sparsity", sparsity)
            require_one_of(ALLOCATIONS[:2], allocation=allocation)
            names = layout.check(scores, "scores")
            check_scores(scores)
            return {"sparsity": float(sparsity), "allocation": allocation, "names of scores": names}

        layout.agree(check)
        families = [list(scores)] if allocation == "global" else [[name] for name in scores]
        counts = [
            (names, pruned_count(sparsity, sum(layout.parts[name].shape.numel() for name in names)))
            for names in families
        ]
        return cls._gather_mask(drop_lowest(scores, counts, layout), layout)

    @classmethod
    def _gather_mask(cls, keep: Mapping[str, Tensor], layout: Layout) -> "ShardedMask":
        """Create the mask from this rank's parts; those of replicated weights are gathered, one byte per weight."""
        kept = layout.total(torch.stack([part.sum() for part in keep.values()])).tolist()
        if layout.sharded:
            keep = {name: part.reshape(-1, *layout.parts[name].shape[1:]) for name, part in keep.items()}
        else:
            keep = {name: layout.gather_unchecked(name, part.to(torch.uint8)).bool() for name, part in keep.items()}
        return cls(keep, dict(zip(keep, kept, strict=True)), layout)

    @classmethod
    def from_mask(cls, mask: Mask, layout: Layout) -> "ShardedMask":
        """Create the rank's part of an ordinary mask; every rank must call it with the same one. Inverse of `gather`.

        ValueError is raised on every rank for a name or shape that is not in the layout, and for different masks.
        """

        def check() -> dict[str, Any]:
            for name, whole in mask.keep.items():
                if name not in layout.parts or whole.shape != layout.parts[name].shape:
                    raise ValueError(f"mask's {name!r} must be as in the layout, got shape {tuple(whole.shape)}")
            digests = {name: hashlib.sha256(raw_bytes(whole)).hexdigest() for name, whole in mask.keep.items()}
            return {"names of mask": [*digests], "mask": digests}

        layout.agree(check)
        keep = mask.keep
        if layout.sharded:
            keep = {name: _rows(whole.to(layout.device), layout.parts[name]) for name, whole in keep.items()}
        return cls(keep, mask.counts, layout)

    @property
    def total(self) -> int:
        """Number of prunable weights of all ranks."""
        return sum(self.layout.parts[name].shape.numel() for name in self.keep)

    @property
    def kept(self) -> int:
        """Number of kept weights of all ranks."""
        return sum(self.counts.values())

    @property
    def sparsity(self) -> float:
        """Pruned fraction of the prunable weights of all ranks."""
        return 1.0 - self.kept / self.total

    def apply_(self, model: nn.Module) -> nn.Module:
        """Set the pruned weights that this rank holds to zero in place, and return the model.

        ValueError is raised if a weight is missing or not as in the layout; the model is then unchanged.
        """
        held = self.layout.local_tensors(model)
        with torch.no_grad():
            for name, keep in self.keep.items():
                held[name].masked_fill_(~keep.to(held[name].device), 0.0)
        return model

    def enforce(self, model: nn.Module, *optimizers: Optimizer) -> Enforcement:
        """Apply the mask now and after every step of the optimisers, until removed, as `Mask.enforce`.

        Call it on every rank, with at least one optimiser; there is no communication.
        """
        if not optimizers:
            raise ValueError("optimizers must be all that train pruned weights, got none")
        weights = self.layout.weights(model)
        pruned = {name: weights[name] for name, keep in self.keep.items() if not bool(keep.all())}
        handles = after_steps(optimizers, partial(self.apply_, model), pruned)
        self.apply_(model)
        return Enforcement(handles, partial(self._violations, model))

    def _violations(self, model: nn.Module) -> dict[str, int]:
        held = self.layout.local_tensors(model)
        return {name: int(((held[name] != 0) & ~keep.to(held[name].device)).sum()) for name, keep in self.keep.items()}

    def gather(self) -> Mask:
        """Gather the mask of the whole tensors on every rank, one byte per weight; every rank must call it."""
        if not self.layout.sharded:
            return Mask(self.keep)
        return Mask(
            {name: self.layout.gather_unchecked(name, keep.to(torch.uint8)).bool() for name, keep in self.keep.items()}
        )


def _rows(whole: Tensor, part: Part) -> Tensor:
    return whole.flatten()[part.start : part.stop].reshape(-1, *part.shape[1:])
