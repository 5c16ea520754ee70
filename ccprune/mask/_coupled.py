"""Attention heads and channels with all weights that are coupled to them, which are pruned as one."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ccprune._util.checks import at_least, listed
from ccprune._util.inputs import call, tensors
from ccprune._util.modes import copied, eval_mode, replaced
from ccprune.mask._kinds import axes_of, kind_of
from ccprune.mask._names import owners, unwrap
from ccprune.mask._prunable import candidates, prunable

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
    """Units, such as attention heads, each with all of its weights.

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
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {NORMS}, got {norm!r}")
    parts = {part.parameter for group in groups.values() for part in (*group.outputs, *group.inputs)}
    if not groups or parts - scores.keys():
        raise ValueError(f"scores must name all parameters of groups, missing {listed(sorted(parts - scores.keys()))}")
    if norm == "sum":
        found = {name: group.sums(scores) for name, group in groups.items()}
    else:
        squares = {name: scores[name].double().square() for name in parts}
        found = {name: group.sums(squares).sqrt() for name, group in groups.items()}
    for name, total in found.items():
        if bool(total.isnan().any()):
            raise ValueError(f"scores of {name!r} have channels with both inf and -inf: their sum is not a number")
    return found


def attention_heads(model: nn.Module, x: Any, heads: Mapping[str, int]) -> dict[str, Group]:
    """Group the query, key and value rows of each attention head with its columns of the output projection.

    Parameters
    ----------
    model : Module
    x : Tensor, tuple or mapping
        Example inputs, on which the groups are tested.
    heads : {name: int}
        Number of heads of each attention module; with grouped queries, that of the keys and values. The module's
        weights are those of the input projections, and last those of the output projection. One parameter for several
        projections has all queries first, then all keys, then all values.

    Returns
    -------
    {name: Group}
        One group for each module, for `Mask.from_channels`.

    Raises
    ------
    ValueError
        For a module without such weights, for a number that does not divide their sizes, and if the model's outputs
        depend on heads whose output columns are zero, because the weights of a head are then others.

    Examples
    --------
    >>> from ccprune import Mask, score
    >>> model = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, batch_first=True)
    >>> heads = attention_heads(model, torch.randn(1, 3, 8), {"self_attn": 2})
    >>> mask = Mask.from_channels(score("magnitude", model), share=0.5, groups=heads)
    >>> mask.counts["self_attn.in_proj_weight"], mask.counts["self_attn.out_proj.weight"]
    (96, 32)
    """
    model = unwrap(model)
    weights, places = prunable(model, frozen=True), owners(model)
    found = {}
    for module, count in heads.items():
        at_least(1, **{f"heads[{module!r}]": count})
        names = [name for name in weights if not module or name.startswith(f"{module}.")]
        if len(names) < 2:
            raise ValueError(f"heads must name modules with input and output projections, got {module!r}")
        axes = [axes_of(*places[name]) for name in names]
        chosen = [axis.output for axis in axes[:-1]] + [axes[-1].input]
        sizes = [weights[name].shape[axis] for name, axis in zip(names, chosen, strict=True)]
        parts = []
        for name, axis, size in zip(names, chosen, sizes, strict=True):
            block = size if size % sizes[-1] else sizes[-1]  # of one projection
            if block % count:
                raise ValueError(f"heads[{module!r}] must divide the size {block} of {name!r}, got {count}")
            parts.append(Slices(name, axis, torch.arange(size) % block * count // block))
        found[module] = Group(count, tuple(parts[:-1]), tuple(parts[-1:]))
    wrong = found.keys() - _removable(model, x, found)
    if wrong:
        raise ValueError(
            "heads must name modules of that many heads whose last weight is the output projection, got "
            f"{listed(sorted(wrong))}: heads without it influence the outputs"
        )
    return found


def coupled_channels(model: nn.Module, x: Any) -> dict[str, Group]:
    """Group output channels with the channels that they are added to or multiplied by, and the weights that use them.

    torch-pruning finds the couplings [1]_: the rows or filters of layers that residual connections add, depthwise
    convolutions, and the inputs of the next layers, also behind batch norm, pooling and flattening. A channel whose
    group is pruned has no influence on the outputs, whatever the biases and norms. This is tested on `x`, with random
    weights. Groups that fail are left out: channels that reach the outputs, and those that pass operations which mix
    them, such as layer norm and attention.

    Parameters
    ----------
    model : Module
        It is not changed.
    x : Tensor, tuple or mapping
        Example inputs.

    Returns
    -------
    {name: Group}
        Groups for `Mask.from_channels`, by the name of the first parameter whose channels they have.

    Raises
    ------
    ImportError
        If torch-pruning is not installed.
    ValueError
        If torch-pruning cannot trace the model, and for layers that it does not know, such as the transposed layers of
        GPT-2 and experts in one parameter. For their attention there is `attention_heads`.

    References
    ----------
    .. [1] Fang et al. (2023), "DepGraph: towards any structural pruning".
    """
    _, groups = traced(copied(unwrap(model)), x)
    return {group.outputs[0].parameter: group for _, group in groups if group is not None}


def traced(network: nn.Module, x: Any) -> tuple[Any, list[tuple[Any, Group | None]]]:
    """Return torch-pruning's graph of a network and its groups, each with the Group if its channels can be removed.

    All parameters get `requires_grad`, because torch-pruning follows gradients.
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise ImportError("coupled channels are found by torch-pruning: pip install torch-pruning") from error
    # These would be taken for elementwise operations, with wrong groups or without end. Recurrent layers are tested.
    unknown = [
        f"{name} of {type(module).__name__}"
        for name, (module, *_) in candidates(network).items()
        if torch_pruning.ops.module2type(module) == torch_pruning.ops.OPTYPE.ELEMENTWISE
        and not isinstance(module, nn.RNNBase | nn.RNNCellBase)
    ]
    if unknown:
        raise ValueError(f"model must have layers that torch-pruning knows, it does not know {listed(unknown)}")
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    graph = torch_pruning.DependencyGraph()

    def outputs(network: nn.Module, x: Any) -> list[Tensor]:
        return [value for value in tensors(call(network, x)) if value.grad_fn is not None]

    with warnings.catch_warnings(), torch.enable_grad(), eval_mode(network):
        warnings.simplefilter("ignore")
        try:
            graph.build_dependency(network, example_inputs=x, forward_fn=outputs, verbose=False)
            found = [*graph.get_all_groups()]
        except Exception as error:  # of any type, because torch-pruning runs the model and traverses the autograd graph
            raise ValueError(f"model cannot be traced by torch-pruning: {type(error).__name__}: {error}") from error
    names = {id(module._parameters.get(key)): name for name, (module, key, used) in candidates(network).items() if used}
    groups = [_group(items, names, graph.is_out_channel_pruning_fn) for items in found]
    good = _removable(network, x, {group.outputs[0].parameter: group for group in groups if group is not None})
    return graph, [
        (items, group if group is not None and group.outputs[0].parameter in good else None)
        for items, group in zip(found, groups, strict=True)
    ]


def _group(items: Any, names: Mapping[int, str], is_output: Callable[[Any], bool]) -> Group | None:
    """Return torch-pruning's group, or None without weights that compute and weights that use at least two units."""
    count = len(items[0].idxs)
    outputs: list[Slices] = []
    inputs: list[Slices] = []
    for item in items:
        module, depthwise = item.dep.target.module, item.dep.target.type.name == "DEPTHWISE_CONV"
        name = names.get(id(getattr(module, "weight", None)))
        if name is None or kind_of(module) is None:
            continue
        made, axes = depthwise or is_output(item.dep.handler), axes_of(module, "weight")
        axis = 0 if depthwise else axes.output if made else axes.input
        if (getattr(module, "groups", 1) > 1 and not depthwise) or max(item.idxs) >= module.weight.shape[axis]:
            return None
        units = torch.full((module.weight.shape[axis],), count)
        units[torch.tensor(item.idxs)] = torch.tensor(item.root_idxs)
        (outputs if made else inputs).append(Slices(name, axis, units))
    return Group(count, tuple(outputs), tuple(inputs)) if outputs and inputs and count > 1 else None


def _removable(model: nn.Module, x: Any, groups: Mapping[str, Group]) -> set[str]:
    """Return the groups with units that have no influence on the outputs where the weights that use them are zero.

    Every second unit is tested, because an operation that mixes units shows only with others in place. All parameters
    are random, because zeros would hide an influence.
    """
    generator = torch.Generator().manual_seed(0)
    weights = {name: getattr(*place) for name, place in owners(model).items()}

    def draw(weight: Tensor) -> Tensor:
        if weight.ndim < 2:
            return (0.5 + torch.rand(weight.shape, generator=generator)).to(weight)
        return (torch.randn(weight.shape, generator=generator) / max(1, weight[0].numel()) ** 0.5).to(weight)

    drawn = {name: draw(weight) for name, weight in weights.items() if weight.is_floating_point()}

    def run(group: Group, values: dict[str, Tensor], stays: Tensor) -> list[Tensor]:
        for part in group.inputs:
            value = values[part.parameter]
            values = values | {part.parameter: value * part.spread(stays, value.ndim).to(value.device)}
        with replaced(model, {id(weights[name]): value for name, value in values.items()}):
            return tensors(call(model, x))

    found = set()
    with torch.no_grad(), eval_mode(model):
        for key, group in groups.items():
            stays, other = torch.arange(group.units) % 2 == 1, dict(drawn)
            for part in group.outputs:
                value = other[part.parameter]
                other[part.parameter] = torch.where(part.spread(stays, value.ndim).to(value.device), value, draw(value))
            pairs = zip(run(group, drawn, stays), run(group, other, stays), strict=True)
            if all(torch.allclose(one, two, rtol=1e-4, atol=1e-5 * float(one.abs().max())) for one, two in pairs):
                found.add(key)
    return found
