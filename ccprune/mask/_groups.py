"""Units of several weights that are pruned as one, and their scores."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ccprune._util.checks import join_first, require_one_of

NORMS = ("sum", "l2")


@dataclass(frozen=True, eq=False)
class Slices:
    """Units of the indices of one axis of a parameter, (size of the axis,); an index of no unit has their number."""

    parameter: str
    axis: int
    units: Tensor

    def spread(self, flags: Tensor, ndim: int) -> Tensor:
        """Return flags of the units in a shape that broadcasts to the parameter's; they are True for no unit."""
        of_index = torch.cat([flags, flags.new_ones(1)])[self.units.to(flags.device)]
        return of_index.reshape([-1 if axis == self.axis else 1 for axis in range(ndim)])


@dataclass(frozen=True, eq=False)
class Group:
    """Units, such as attention heads, each with all of its weights; from `attention_heads` and `coupled_channels`.

    Attributes
    ----------
    units : int
        Number of units.
    outputs, inputs : tuple of Slices
        Weights that compute the units, and weights that multiply them.
    """

    units: int
    outputs: tuple[Slices, ...]
    inputs: tuple[Slices, ...] = ()

    def sums(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the sums (units,) of values {parameter: Tensor} over the weights of each unit, in float64."""
        total = torch.zeros(self.units + 1, dtype=torch.float64, device=values[self.outputs[0].parameter].device)
        for part in (*self.outputs, *self.inputs):
            of_index = values[part.parameter].double().movedim(part.axis, 0).flatten(1).sum(1)
            total.index_add_(0, part.units.to(total.device), of_index.to(total.device))
        return total[:-1]


def rows(scores: Mapping[str, Tensor]) -> dict[str, Group]:
    """Return the output channels (dimension 0) of each tensor as a group, without what is coupled to them."""
    return {name: Group(len(s), (Slices(name, 0, torch.arange(len(s))),)) for name, s in scores.items()}


def unit_scores(scores: Mapping[str, Tensor], groups: Mapping[str, Group], norm: str) -> dict[str, Tensor]:
    """Return {group: Tensor (units,)}, the sum or Euclidean norm over the weights of each unit, in float64."""
    require_one_of(NORMS, norm=norm)
    parts = {part.parameter for group in groups.values() for part in (*group.outputs, *group.inputs)}
    if not groups or parts - scores.keys():
        raise ValueError(
            f"scores must name all parameters of groups, missing {join_first(sorted(parts - scores.keys()))}"
        )
    if norm == "sum":
        found = {name: group.sums(scores) for name, group in groups.items()}
    else:
        squares = {name: scores[name].double().square() for name in parts}
        found = {name: group.sums(squares).sqrt() for name, group in groups.items()}
    for name, total in found.items():
        if bool(total.isnan().any()):
            raise ValueError(f"scores of {name!r} have channels with both inf and -inf: their sum is not a number")
    return found
