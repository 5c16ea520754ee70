"""Channels that are coupled, as torch-pruning finds them, and the test that they can be removed."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ccprune._util.checks import join_first
from ccprune._util.inputs import call, tensors
from ccprune._util.modes import eval_mode, replaced
from ccprune.mask._groups import Group, Slices
from ccprune.mask._kinds import axes_of, kind_of
from ccprune.mask._names import parameters_of
from ccprune.mask._prunable import candidates


def trace(network: nn.Module, x: Any) -> tuple[Any, list[tuple[Any, Group | None]]]:
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
        raise ValueError(f"model must have only layers that torch-pruning supports, got {join_first(unknown)}")
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
    good = removable(network, x, {group.outputs[0].parameter: group for group in groups if group is not None})
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


def removable(model: nn.Module, x: Any, groups: Mapping[str, Group]) -> set[str]:
    """Return the groups with units that have no influence on the outputs where the weights that use them are zero.

    Every second unit is tested, because an operation that mixes units shows only with others in place. All parameters
    are random, because zeros would hide an influence.
    """
    generator = torch.Generator().manual_seed(0)
    weights = parameters_of(model)

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
