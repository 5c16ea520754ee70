"""The part of every prunable weight that each rank has, and collectives over these ranks.

A part is a range of entries in row-major order. For a tensor sharded by `fully_shard` it is the rank's shard, whole
rows of dimension 0. For a replicated tensor (DDP) it is an equal share of the entries, so that nothing is stored twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.nn.parallel import DistributedDataParallel

from ccprune._util.checks import join_first
from ccprune.distributed._agreement import agree
from ccprune.mask import prunable
from ccprune.mask._names import parameters_of
from ccprune.mask._prunable import Chosen


@dataclass(frozen=True)
class Part:
    """Entries start to stop - 1 of a tensor, which a rank has; an attribute of `Layout`.

    Attributes
    ----------
    shape : torch.Size
        Shape of the whole tensor.
    start, stop : int
        First entry of the part, and the entry after it, in row-major order.
    chunk : int
        Largest number of entries of any rank.
    """

    shape: torch.Size
    start: int
    stop: int
    chunk: int


@dataclass(frozen=True, eq=False)
class Layout:
    """The part of each prunable weight that the rank has; made by `Layout.from_model`.

    Attributes
    ----------
    parts : mapping of name in the plain model to Part
    sharded : bool
        Whether the rank holds only its shards (FSDP2), or whole tensors (DDP).
    group : ProcessGroup
        Ranks among which each tensor is divided, in the order of their parts.
    meshes : tuple of ProcessGroup
        One for each dimension of the device mesh; together all ranks that train together.
    device : torch.device
        Device of the weights and of what is sent.

    Examples
    --------
    >>> layout = Layout.from_model(nn.Linear(4, 2))  # after dist.init_process_group
    >>> layout.parts["weight"].stop, layout.sharded  # one rank has all weights
    (8, False)
    """

    parts: Mapping[str, Part]
    sharded: bool
    group: dist.ProcessGroup
    meshes: tuple[dist.ProcessGroup, ...]
    device: torch.device

    @classmethod
    def from_model(cls, model: nn.Module, *, only: Chosen | None = None, skip: Chosen = ()) -> "Layout":
        """Create the layout of a model under `fully_shard`, under DDP, or replicated manually; every rank must call it.

        With a mesh of two dimensions (replicas of sharded models) the parts are those of the shards. `only` and `skip`
        name the modules or parameters whose weights are chosen, and those whose weights are not.

        Raises
        ------
        ValueError
            If no process group was initialised; if only some weights are sharded, or on several dimensions, another one
            than 0 or different meshes; if replicated weights or the choice of weights differ between ranks; and as in
            `mask.prunable`.
        """
        if not dist.is_initialized():
            raise ValueError("model needs a process group: call torch.distributed.init_process_group first")
        everything = [*reshard(model).parameters()]
        mesh = next((weight.device_mesh for weight in everything if isinstance(weight, DTensor)), None)
        if mesh is None:
            parallel = [module for module in model.modules() if isinstance(module, DistributedDataParallel)]
            meshes = (parallel[0].process_group if parallel else dist.group.WORLD,)
        else:
            meshes = tuple(mesh.get_group(dim) for dim in range(mesh.ndim))
        weights: dict[str, nn.Parameter] = {}
        parts: dict[str, Part] = {}
        group, device = meshes[0], everything[0].device

        def check() -> dict[str, Any]:
            nonlocal group
            weights.update(prunable(model, only=only, skip=skip))
            group = meshes[_sharded_over(weights) or 0]
            for name, weight in weights.items():
                parts[name] = part = _part(weight, group)
                if isinstance(weight, DTensor) and (held := _local(weight).numel()) != part.stop - part.start:
                    raise ValueError(
                        f"model's {name!r} must be sharded like torch.chunk, got {held} entries for {part}"
                    )
            return {"weights that only and skip choose": [(name, tuple(w.shape)) for name, w in weights.items()]}

        agree(meshes, device, check)
        sharded = isinstance(next(iter(weights.values())), DTensor)
        if not sharded:
            _check_equal(weights, group)
        return cls(parts, sharded, group, meshes, device)

    def agree(self, check: Callable[[], Mapping[str, Any]]) -> None:
        """Raise an error on every rank if `check` raises one on any, or if its results, by name, differ."""
        agree(self.meshes, self.device, check)

    def weights(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the model's weights of the layout, or raise ValueError that names those that it lacks."""
        found = parameters_of(reshard(model))
        if lacking := self.parts.keys() - found.keys():
            raise ValueError(f"model must have the weights of the layout, it lacks {join_first(sorted(lacking))}")
        return {name: found[name] for name in self.parts}

    def local_tensors(self, model: nn.Module) -> dict[str, Tensor]:
        """Return this rank's data of each weight, its shard or the whole replicated tensor, or raise ValueError."""
        weights = self.weights(model)
        for name, weight in weights.items():
            part = self.parts[name]
            if weight.shape != part.shape or isinstance(weight, DTensor) != self.sharded:
                raise ValueError(
                    f"model's {name!r} must be {'sharded' if self.sharded else 'replicated'} as in the layout, {part}; "
                    f"got {type(weight).__name__} of shape {tuple(weight.shape)}"
                )
        with torch.no_grad():
            return {name: _local(weight) for name, weight in weights.items()}

    def local_parts(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the rank's part of each weight: its shard, or its share of the entries as a vector."""
        return {name: self.local_part(name, weight) for name, weight in self.local_tensors(model).items()}

    def local_part(self, name: str, weight: Tensor) -> Tensor:
        """Return the rank's part of a weight, or of a tensor of its shape that is sharded or replicated like it."""
        if self.sharded:
            return _local(weight)
        return weight.flatten()[self.parts[name].start : self.parts[name].stop]

    def gather(self, name: str, part: Tensor) -> Tensor:
        """Gather the parts of all ranks to the whole tensor on every rank; every rank must call it.

        ValueError is raised on every rank if the name or a part is not that of the layout, or the names differ.
        """
        self.agree(lambda: {"name": self.check({name: part}, "part")})
        return self.gather_unchecked(name, part)

    def check(self, parts: Mapping[str, Tensor], argument: str) -> list[str]:
        """Return the names, or raise ValueError for none and for a part that is not this rank's."""
        if not parts:
            raise ValueError(f"{argument} must name at least one parameter")
        for name, found in parts.items():
            own = self.parts.get(name)
            if own is None or found.numel() != own.stop - own.start:
                raise ValueError(f"{argument}[{name!r}] must be of this rank's {own}, got shape {tuple(found.shape)}")
        return [*parts]

    def gather_unchecked(self, name: str, part: Tensor) -> Tensor:
        """Gather the parts, which have been checked, of all ranks to the whole tensor on every rank."""
        own = self.parts[name]
        padded = part.new_zeros(own.chunk)
        padded[: part.numel()] = part.flatten()
        found = part.new_empty(dist.get_world_size(self.group), own.chunk)
        dist.all_gather(list(found), padded, group=self.group)
        return found.flatten()[: own.shape.numel()].reshape(own.shape)

    def total(self, values: Tensor) -> Tensor:
        """Sum over the ranks among which the tensors are divided; every rank must call it."""
        values = values.to(self.device, copy=True)
        dist.all_reduce(values, group=self.group)
        return values

    def mean(self, value: Tensor) -> Tensor:
        """Average over all ranks that train together; every rank must call it."""
        value = value.to(self.device, copy=True)
        for group in self.meshes:
            dist.all_reduce(value, group=group)
            value /= dist.get_world_size(group)
        return value


def reshard(model: nn.Module) -> nn.Module:
    """Return the model with the sharded parameters of FSDP2, which the optimiser holds."""
    # A forward pass without a backward pass leaves the parameters of the outermost module unsharded.
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    return model


def _local(weight: Tensor) -> Tensor:
    return weight.to_local() if isinstance(weight, DTensor) else weight


def _sharded_over(weights: Mapping[str, Tensor]) -> int | None:
    """Return the dimension of the mesh over which rows are sharded, None without shards, or raise ValueError."""
    name, first = next(iter(weights.items()))
    for other, weight in weights.items():
        if isinstance(weight, DTensor) != isinstance(first, DTensor):
            raise ValueError(f"model's weights must be all sharded or all replicated, got {name!r} and {other!r}")
        if isinstance(weight, DTensor) and (weight.device_mesh, weight.placements) != (
            first.device_mesh,
            first.placements,
        ):
            raise ValueError(
                f"model's {other!r} must be sharded as {name!r} over {first.device_mesh}, {first.placements}; "
                f"got {weight.device_mesh}, {weight.placements}"
            )
    if not isinstance(first, DTensor):
        return None
    mesh, over = first.device_mesh, [dim for dim, one in enumerate(first.placements) if not isinstance(one, Replicate)]
    # The type is compared exactly, because a strided shard (of tensor-parallel models) has no contiguous rows.
    if len(over) != 1 or type(first.placements[over[0]]) is not Shard or first.placements[over[0]].dim != 0:
        raise ValueError(f"model's {name!r} must be sharded once, on dimension 0, got {first.placements}")
    if mesh.get_local_rank(over[0]) != dist.get_rank(mesh.get_group(over[0])):
        raise ValueError(f"model's mesh must list ranks in the order of their group, got {mesh}")
    return over[0]


def _part(weight: Tensor, group: dist.ProcessGroup) -> Part:
    """Return the part of a rank in rows (sharded) or entries (replicated), divided as by `torch.chunk` and `Shard`."""
    units = len(weight) if isinstance(weight, DTensor) else weight.numel()
    chunk = -(-units // dist.get_world_size(group))
    start = min(units, dist.get_rank(group) * chunk)
    size = weight.numel() // units if units else 0  # entries per unit
    return Part(weight.shape, start * size, min(units, start + chunk) * size, chunk * size)


def _check_equal(weights: Mapping[str, Tensor], group: dist.ProcessGroup) -> None:
    """Compare the sums of the bits as integers, which are exact in any order; one all-reduce. ValueError if unequal."""
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = torch.stack([w.detach().contiguous().view(kinds[w.element_size()]).sum() for w in weights.values()])
    ends = torch.cat([sums, -sums])
    dist.all_reduce(ends, op=dist.ReduceOp.MAX, group=group)
    highest, lowest = ends.chunk(2)
    for name, differs in zip(weights, (highest != -lowest).tolist(), strict=True):
        if differs:
            raise ValueError(f"model's {name!r} must be sharded by fully_shard or the same on all ranks; ranks differ")
