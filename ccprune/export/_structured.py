"""Removal of whole channels, which gives a smaller dense model that is faster with any kernel."""

import warnings
from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from ccprune._util.inputs import Inputs, first_inputs, map_tensors
from ccprune.export import _constants as constants
from ccprune.export._exported import Exported, masked_copy, outputs
from ccprune.mask import Mask
from ccprune.mask._kinds import Axes, axes_of
from ccprune.mask._names import Layer, layers, owners
from ccprune.mask._traced import trace


def to_structured(model: nn.Module, mask: Mask, example: Inputs, *, tol: float = 1e-5) -> Exported:
    """Copy a masked model without its empty channels, which torch-pruning (Fang et al., 2023) removes.

    A channel without weights still has a constant output, which is folded into the biases of the next layers. Where
    this is impossible (a convolution that pads with zeros receives another value at the edge), the channel stays.
    Channels also stay if they reach the model's output or pass an operation that mixes channels, such as layer norm or
    attention; one channel of an empty layer stays, and so do the channels of layers with shared weights or more than
    one call. Channels that no layer uses are removed as well.

    Parameters
    ----------
    model : Module
    mask : Mask
        Preferably from `Mask.from_channels` with the output layer protected.
    example : Tensor (n, ...), tuple or mapping
        Batch for tracing the model; the outputs are checked on it and on other values of the same shape.
    tol : float, default 1e-5
        Largest allowed difference of outputs, absolute and relative; the default is for float32.

    Returns
    -------
    Exported
        Columns of `layers`: channels, empty (channels without weights), removed, and reason (why not all empty
        channels were removed).

    Raises
    ------
    ImportError
        If torch-pruning is not installed.
    ValueError
        If the mask does not fit the model, torch-pruning cannot trace the model, or the outputs change.

    Examples
    --------
    >>> from ccprune import score
    >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(3, 4)
    >>> mask = Mask.from_channels(score("magnitude", model), share=0.5, protect=["2"])
    >>> to_structured(model, mask, x).model[0]  # without half of all 10 channels, which are all from this layer
    Linear(in_features=4, out_features=3, bias=True)
    """
    example = first_inputs(example, name="example")
    network = masked_copy(model, mask)
    examples = (example, map_tensors(constants.other, example))
    before = [outputs(network, x) for x in examples]
    seen = constants.record_inputs(network, examples)
    trainable = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    rows = {id(module): _Row(name, module.weight, Axes()) for name, module in layers(network).items()}
    places, known = owners(network), layers(network)
    for name in [name for name in mask.keep if name not in known]:
        module, attribute = places[name]
        reason = f"channels of {type(module).__name__} cannot be removed"
        rows[id(name)] = _Row(name, getattr(module, attribute), axes_of(module, attribute), reason)
    graph, groups = trace(network, example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # All decisions are made before the first removal, because removals renumber channels.
        for root, channels in [*_choose_channels(graph, groups, network, seen, rows)]:
            graph.get_pruning_group(root, graph.get_pruner_of_module(root).prune_out_channels, channels).prune()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(trainable.get(name, False))
    for x, expected in zip(examples, before, strict=True):
        found = outputs(network, x)
        pairs = zip(found, expected, strict=True)
        if not all(one.shape == two.shape and torch.allclose(one, two, tol, tol) for one, two in pairs):
            raise ValueError(
                "model's outputs change with the channels removed, so that something in it must mix channels where "
                "torch-pruning sees no layer that does (or tol is too small for the precision)"
            )
    columns = ["channels", "empty", "removed", "reason"]
    table = {row.name: (row.channels, row.empty, row.removed, row.reason) for row in rows.values()}
    return Exported(network, pd.DataFrame.from_dict(table, orient="index", columns=columns).rename_axis("parameter"))


_CALLED = ("CONV", "DEPTHWISE_CONV", "LINEAR")


class _Row:
    def __init__(self, name: str, weight: Tensor, axes: Axes, reason: str = "") -> None:
        empty = (weight.detach() == 0).movedim(axes.output, 0).flatten(1).all(1)
        self.name, self.channels, self.empty = name, len(empty), int(empty.sum())
        self.removed, self.reason = 0, reason if self.empty else ""


def _choose_channels(
    graph: Any, groups: list[Any], network: nn.Module, seen: dict[nn.Module, constants.Inputs], rows: dict[int, _Row]
) -> Iterator[tuple[nn.Module, list[int]]]:
    """Yield a layer and its removable output channels for each group of coupled layers; constants are folded."""
    shared = constants.shared_modules(network)
    for group, removable in groups:
        coupled = [item for item in group if isinstance(item.dep.target.module, Layer)]
        whole = [item for item in coupled if item.dep.target.type.name != "DEPTHWISE_CONV"]
        made = [item for item in whole if graph.is_out_channel_pruning_fn(item.dep.handler)]
        read = [item for item in whole if not graph.is_out_channel_pruning_fn(item.dep.handler)]
        producers = [rows[id(item.dep.target.module)] for item in coupled if item not in read]
        count = len(group[0].idxs)
        reason = _obstacle(group, seen, shared, bool(read))
        if not reason and removable is None and count > 1:
            reason = "passes an operation that mixes channels"
        if not reason:
            empty = torch.ones(count, dtype=torch.bool)
            for item in made:
                empty &= _over_root(item, constants.no_weights(item.dep.target.module, 0).cpu(), count)
            gone = torch.ones(count, dtype=torch.bool)
            for item in read:
                layer = item.dep.target.module
                gone &= _over_root(item, constants.no_weights(layer, 1).cpu(), count) | (
                    empty & _over_root(item, constants.foldable(layer, seen[layer]).cpu(), count)
                )
            if bool(gone.all()):
                gone[0], reason = False, "one channel stays, for a layer cannot have none"
            elif bool((empty & ~gone).any()):
                reason = "not the same constant wherever it is read (padding with zeros, or channels mixed)"
            elif any(row.empty > int((empty & gone).sum()) for row in producers):
                reason = "coupled to channels of other layers that are not empty"
            for item in read:
                own = [own for own, root in zip(item.idxs, item.root_idxs, strict=True) if gone[root]]
                constants.fold_(item.dep.target.module, own, seen[item.dep.target.module])
            channels = gone.nonzero().flatten().tolist()
            for row in producers:
                row.removed = len(channels)
            if channels:
                yield group[0].dep.target.module, channels
        for row in producers:
            if row.empty > row.removed or (row.removed and row.empty == row.channels):
                row.reason = reason


def _obstacle(group: Any, seen: dict[nn.Module, constants.Inputs], shared: set[nn.Module], is_read: bool) -> str:
    """Return the reason why no channel of a group can be removed, or an empty string."""
    for item in group:
        node = item.dep.target
        module = node.module
        if node.type.name == "OUTPUT":
            return "reaches the model's output"
        if node.type.name not in (*_CALLED, "BN", "PRELU", "ELEMENTWISE", "RESHAPE", "CONCAT"):
            return f"passes {node.type.name}, which may mix channels"
        if node.type.name == "CONV" and (module.groups > 1 or module.transposed):
            return "passes a grouped or transposed convolution"
        if node.type.name in _CALLED and (module not in seen or seen[module].calls != 1):
            return "passes a layer that is not called once"
        if module in shared:
            return "passes a layer that shares its weights"
    return "" if is_read else "reaches the model's output"


def _over_root(item: Any, of_item: Tensor, count: int) -> Tensor:
    """Whether all channels of an item that belong to a channel of the group's root have the property."""
    found = torch.ones(count, dtype=torch.bool)
    for own, root in zip(item.idxs, item.root_idxs, strict=True):
        found[root] &= of_item[own]
    return found
