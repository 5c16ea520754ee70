"""Wanda, a score from the magnitudes of the weights and of their inputs."""

from typing import Any

import torch
from torch import Tensor, nn

from ccprune._util.checks import listed
from ccprune._util.inputs import Inputs
from ccprune._util.modes import capture_inputs
from ccprune.mask import prunable
from ccprune.mask._names import Layer
from ccprune.scores._functional import FunctionalModel, eager_eval, finite, widened_batches


def wanda(model: nn.Module, x: Inputs) -> dict[str, Tensor]:
    """|theta_ij| ||x_j||_2, where x_j is the layer's input j over all samples (Wanda: Sun et al., 2024, eq. 1).

    The paper compares scores within each output row only. Use `ranks(wanda(model, x), within="row")` for its masks.
    Compared over whole layers or the network, the same scores are another criterion.

    Parameters
    ----------
    model : Module
        Forward hooks on its layers record one pass and are removed afterwards. Every weight must be used by calling its
        layer.
    x : Tensor (n, ...), tuple, mapping, or iterable of batches
        Calibration inputs, as in `snip`. Labels are not used.

    Returns
    -------
    {name: Tensor}
        Scores in the weights' precision, float32 at least. In a linear layer, all positions before the last dimension
        are samples. A convolution is treated as the linear layer on its patches, where input j is a channel at one
        position of the kernel, over all samples and positions. If a layer is called twice, or layers share a weight,
        the inputs of all calls count.

    Raises
    ------
    ValueError
        If there is no sample, if a score is not finite, or if the layer of a weight was not called, with the name of
        the weight (`nn.MultiheadAttention` uses its output projection's weight without calling the layer).
    """
    look = FunctionalModel(model)
    weights = look.weights
    names = {id(weight): name for name, weight in prunable(model).items()}
    used = {
        layer: names[id(layer.weight)]
        for layer in model.modules()
        if isinstance(layer, Layer) and id(layer.weight) in names
    }
    energies: dict[str, Tensor] = {}

    def note(layer: Layer, inputs: Tensor) -> None:
        name, energy = used[layer], _energy(layer, inputs)
        energies[name] = energies[name] + energy if name in energies else energy

    with capture_inputs(used, note), eager_eval(model), torch.no_grad():
        for inputs, _ in widened_batches(x):
            look(weights, inputs)
    silent = [name for name in weights if name not in energies]
    if silent:
        raise ValueError(f"model's {listed(silent)} were not used by calling their layers: their inputs are not seen")
    return finite({name: weight.abs() * energies[name].sqrt().to(weight.dtype) for name, weight in weights.items()})


def _energy(layer: Any, x: Tensor) -> Tensor:
    """Return the sum of squares of every input of the layer, float64, in a shape that broadcasts with its weight."""
    squares = x.detach().square()
    if isinstance(layer, nn.Linear):
        return squares.flatten(0, -2).sum(0, dtype=torch.float64) if x.ndim > 1 else squares.double()
    # The gradient of the summed convolution of the squares with respect to the kernel is the sum of the squares at each
    # position of the kernel. Strides, padding, dilation and groups are thereby handled by the layer.
    kernel = torch.zeros_like(layer.weight, requires_grad=True)
    with torch.enable_grad():
        total = layer._conv_forward(squares, kernel, None).sum()
    return torch.autograd.grad(total, kernel)[0].double()
