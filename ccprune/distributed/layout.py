"""Which rank has which part of every prunable weight, and the collectives over those ranks.

A part is a run of entries in row-major order. Of a tensor sharded by `fully_shard` it is the rank's shard, whole rows
of dimension 0; of a replicated tensor (DDP) it is an equal share of the entries, so that nothing is kept twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.nn.parallel import DistributedDataParallel

from ccprune.mask import prunable


@dataclass(frozen=True)
class Part:
    """Entries start to stop - 1, in row-major order, of a tensor of this shape; each rank has `chunk` or fewer."""

    shape: torch.Size
    start: int
    stop: int
    chunk: int


@dataclass(frozen=True, eq=False)
class Layout:
    """What part of each prunable weight the rank has. Names are those of the plain model.

    Attributes
    ----------
    parts : {name: Part}
    sharded : bool
        True: the rank holds its shards only (FSDP2). False: it holds whole tensors (DDP).
    group : ProcessGroup
        The ranks among which each tensor is divided, in the order of their parts.
    meshes : tuple of ProcessGroup
        The groups of each dimension of the device mesh: all ranks that train together.
    device : device
        Of the weights, and of what is sent.
    """

    parts: Mapping[str, Part]
    sharded: bool
    group: dist.ProcessGroup
    meshes: tuple[dist.ProcessGroup, ...]
    device: torch.device

    @classmethod
    def of(cls, model: nn.Module) -> "Layout":
        """The layout of a model under `fully_shard`, under DDP, or replicated by hand. Every rank must call it.

        With a mesh of two dimensions (replicas of sharded models) the parts are those of the shards.

        Raises
        ------
        ValueError
            Naming the weight: where no process group was initialised, some prunable weights are sharded and some not,
            are sharded on another dimension than 0 or on several, lie on different meshes, or are replicated and
            differ between ranks.
        """
        if not dist.is_initialized():
            raise ValueError("model needs a process group: call torch.distributed.init_process_group first")
        weights = prunable(resharded(model))
        name, first = next(iter(weights.items()))
        sharded = isinstance(first, DTensor)
        for other, weight in weights.items():
            if isinstance(weight, DTensor) != sharded:
                raise ValueError(f"model's weights must be all sharded or all replicated, got {name!r} and {other!r}")
        if not sharded:
            parallel = [module for module in model.modules() if isinstance(module, DistributedDataParallel)]
            group = parallel[0].process_group if parallel else dist.group.WORLD
            _check_equal(weights, group)
            parts = {name: _part(weight, group, weight.numel()) for name, weight in weights.items()}
            return cls(parts, False, group, (group,), first.device)
        mesh = first.device_mesh
        for other, weight in weights.items():
            if weight.device_mesh != mesh or weight.placements != first.placements:
                raise ValueError(
                    f"model's {other!r} must be sharded as {name!r} over {mesh}, {first.placements}; "
                    f"got {weight.device_mesh}, {weight.placements}"
                )
        over = [dim for dim, placement in enumerate(first.placements) if not isinstance(placement, Replicate)]
        # Not isinstance: a strided shard, as of tensor-parallel models, has no contiguous rows.
        if len(over) != 1 or type(first.placements[over[0]]) is not Shard or first.placements[over[0]].dim != 0:
            raise ValueError(f"model's {name!r} must be sharded once, on dimension 0, got {first.placements}")
        group = mesh.get_group(over[0])
        if mesh.get_local_rank(over[0]) != dist.get_rank(group):
            raise ValueError(f"model's mesh must list ranks in the order of their group, got {mesh}")
        parts = {name: _part(weight, group, weight.shape[0]) for name, weight in weights.items()}
        for name, part in parts.items():
            held = weights[name].to_local().numel()
            if held != part.stop - part.start:
                raise ValueError(f"model's {name!r} must be sharded like torch.chunk, got {held} entries for {part}")
        meshes = tuple(mesh.get_group(dim) for dim in range(mesh.ndim))
        return cls(parts, True, group, meshes, first.to_local().device)

    def held(self, model: nn.Module) -> dict[str, Tensor]:
        """What this rank holds of each weight, sharing memory: its shard, or the whole replicated tensor.

        Raises ValueError for weights that are not those the layout was made of, naming them.
        """
        weights = prunable(resharded(model))
        if weights.keys() != self.parts.keys():
            raise ValueError(f"model's prunable weights must be {sorted(self.parts)}, got {sorted(weights)}")
        for name, part in self.parts.items():
            weight = weights[name]
            if weight.shape != part.shape or isinstance(weight, DTensor) != self.sharded:
                raise ValueError(
                    f"model's {name!r} must be {'sharded' if self.sharded else 'replicated'} as in the layout, {part}; "
                    f"got {type(weight).__name__} of shape {tuple(weight.shape)}"
                )
        with torch.no_grad():
            return {name: self._local(weights[name]) for name in self.parts}

    def own(self, model: nn.Module) -> dict[str, Tensor]:
        """The rank's part of each weight: its shard, or its share of the entries as a vector. Errors as in `held`.

        For scores of one's own: `{name: part.abs() for name, part in layout.own(model).items()}`.
        """
        return {name: self.cut(name, weight) for name, weight in self.held(model).items()}

    def cut(self, name: str, weight: Tensor) -> Tensor:
        """The rank's part of a weight, or of anything of its shape that is sharded or replicated as it is."""
        if self.sharded:
            return self._local(weight)
        return weight.flatten()[self.parts[name].start : self.parts[name].stop]

    def whole(self, name: str, part: Tensor) -> Tensor:
        """The tensor made of all ranks' parts, on every rank. Every rank must call it.

        Raises ValueError for a part of another size than this rank's.
        """
        own = self.parts[name]
        if part.numel() != own.stop - own.start:
            raise ValueError(f"part of {name!r} must be this rank's of {own}, got shape {tuple(part.shape)}")
        padded = part.new_zeros(own.chunk)
        padded[: part.numel()] = part.flatten()
        found = part.new_empty(dist.get_world_size(self.group), own.chunk)
        dist.all_gather(list(found), padded, group=self.group)
        return found.flatten()[: own.shape.numel()].reshape(own.shape)

    def total(self, values: Tensor) -> Tensor:
        """The sum over the ranks that the tensors are divided among. Every rank must call it."""
        values = values.to(self.device, copy=True)
        dist.all_reduce(values, group=self.group)
        return values

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all ranks that train together. Every rank must call it."""
        value = value.to(self.device, copy=True)
        for group in self.meshes:
            dist.all_reduce(value, group=group)
            value /= dist.get_world_size(group)
        return value

    def _local(self, weight: Tensor) -> Tensor:
        return weight.to_local() if isinstance(weight, DTensor) else weight


def resharded(model: nn.Module) -> nn.Module:
    """The model; under FSDP2 its modules have their sharded parameters again.

    A forward pass without a backward leaves those of the outermost module whole; the optimiser knows only the sharded.
    """
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    return model


def _part(weight: Tensor, group: dist.ProcessGroup, units: int) -> Part:
    """Units are rows of a sharded tensor, entries of a replicated one; divided as `torch.chunk` does, and so Shard."""
    chunk = -(-units // dist.get_world_size(group))
    start = min(units, dist.get_rank(group) * chunk)
    size = weight.numel() // units if units else 0  # entries of a unit
    return Part(weight.shape, start * size, min(units, start + chunk) * size, chunk * size)


def _check_equal(weights: Mapping[str, Tensor], group: dist.ProcessGroup) -> None:
    """By the sum of their bits as integers, which is exact in any order; one all-reduce."""
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = torch.stack([w.detach().contiguous().view(kinds[w.element_size()]).sum() for w in weights.values()])
    ends = torch.cat([sums, -sums])
    dist.all_reduce(ends, op=dist.ReduceOp.MAX, group=group)
    highest, lowest = ends.chunk(2)
    for name, differs in zip(weights, (highest != -lowest).tolist(), strict=True):
        if differs:
            raise ValueError(f"model's {name!r} must be sharded by fully_shard or the same on all ranks; ranks differ")
