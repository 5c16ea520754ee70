"""Channels with the same value for every input, and folding of that value into the biases of the next layers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ccprune._util.modes import capture_inputs
from ccprune.export._exported import outputs
from ccprune.mask._names import Layer


@dataclass
class Inputs:
    """Smallest and largest input value (channels,) over all examples, and calls per example."""

    low: Tensor
    high: Tensor
    calls: int = 0

    @property
    def constant(self) -> Tensor:
        """Whether a channel had one value up to rounding, since a mean of equal numbers need not equal them exactly."""
        slack = 8 * torch.finfo(self.low.dtype).eps * self.low.abs().clamp_min(self.high.abs())
        return self.high - self.low <= slack


def other(example: Tensor) -> Tensor:
    """Return another example of the same dtype and shape with different values."""
    if not example.is_floating_point():
        return example.roll(1, -1)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(example.shape, generator=generator, dtype=torch.float64).to(example)
    return example.flip(0) + noise * example.std(correction=0)


def record_inputs(network: nn.Module, examples: Sequence[Any]) -> dict[nn.Module, Inputs]:
    """Record the inputs of each linear and convolution layer."""
    seen: dict[nn.Module, Inputs] = {}
    calls: Counter[nn.Module] = Counter()

    def note(module: Layer, x: Tensor) -> None:
        x = x.detach()
        flat = (x if isinstance(module, nn.Linear) else x.movedim(1, -1)).reshape(-1, _channels(module))
        low, high = flat.amin(0), flat.amax(0)
        calls[module] += 1
        if module in seen:
            low, high = low.minimum(seen[module].low), high.maximum(seen[module].high)
        seen[module] = Inputs(low, high)

    with capture_inputs([module for module in network.modules() if isinstance(module, Layer)], note):
        for example in examples:
            outputs(network, example)
    for module, inputs in seen.items():
        inputs.calls = calls[module] // len(examples)
    return seen


def no_weights(layer: Layer, dimension: int) -> Tensor:
    """Whether all weights of an output (0) or input (1) channel are zero: (channels,)."""
    return (layer.weight.detach() == 0).movedim(dimension, 0).flatten(1).all(1)


def foldable(layer: Layer, inputs: Inputs) -> Tensor:
    """Whether an input channel adds the same value to the layer's outputs at all positions: (channels,)."""
    if _pads_with_zeros(layer):
        return (inputs.low == 0) & (inputs.high == 0)
    return inputs.constant


def fold_(layer: Layer, channels: Sequence[int], inputs: Inputs) -> None:
    """Add the contribution of constant input channels to the bias; create a bias if there is none."""
    with torch.no_grad():
        weight = layer.weight[:, channels].flatten(2).sum(2) if layer.weight.ndim > 2 else layer.weight[:, channels]
        # Channels whose weights are all zero may have any value.
        value = torch.where((weight == 0).all(0), 0, (inputs.low[channels] + inputs.high[channels]) / 2)
        added = (weight.double() @ value.double()).to(weight.dtype)
        if layer.bias is not None:
            layer.bias += added
        elif bool(added.any()):
            layer.bias = nn.Parameter(added)


def shared_modules(network: nn.Module) -> set[nn.Module]:
    """Return the modules that share a parameter with another module."""
    holders: dict[int, list[nn.Module]] = {}
    for module in network.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                holders.setdefault(id(parameter), []).append(module)
    return {module for modules in holders.values() if len(modules) > 1 for module in modules}


def _channels(layer: Layer) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def _pads_with_zeros(layer: Layer) -> bool:
    if isinstance(layer, nn.Linear) or layer.padding_mode != "zeros":
        return False
    if isinstance(layer.padding, str):
        return layer.padding == "same" and any(size > 1 for size in layer.kernel_size)
    return any(pad > 0 for pad in layer.padding)
