"""Wanda: weights by the size of what they are multiplied with."""

from typing import Any

import torch
from torch import Tensor, nn

from ccprune._util.modes import capture_inputs
from ccprune.mask import prunable
from ccprune.mask._names import Layer
from ccprune.scores._functional import FunctionalModel, eager_eval, finite, widened


def wanda(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """|theta_ij| ||x_j||_2, x_j being the layer's input j over all samples (Wanda: Sun et al., 2024, eq. 1).

    The paper compares scores within each output row only: use `ranks(wanda(model, x), within="row")` for its masks.
    Over whole layers or the network the same numbers make another criterion.

    Parameters
    ----------
    model : Module
        Layers are seen through forward hooks, put on for one pass and taken off again. Every weight must be used by
        calling its layer.
    x : Tensor (n, ...)
        Calibration inputs, all in one pass; no labels are needed.

    Returns
    -------
    {name: Tensor}
        In the weights' precision, float32 at least. In a linear layer all positions before the last dimension are
        samples. A convolution is the linear layer on its patches: input j is a channel at one place of the kernel, over
        all samples and positions. Of a layer called twice, or a weight that layers share, all calls' inputs count.

    Raises
    ------
    ValueError
        Without a sample; for a weight whose layer was not called, naming it (`nn.MultiheadAttention` uses its output
        projection's weight without calling the layer); when a score is not finite.
    """
    if len(x) == 0:
        raise ValueError("x must hold at least one sample")
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
        look(weights, widened(x))
    silent = [name for name in weights if name not in energies]
    if silent:
        raise ValueError(f"model's {silent} were not used by calling their layers: their inputs are not seen")
    return finite({name: weight.abs() * energies[name].sqrt().to(weight.dtype) for name, weight in weights.items()})


def _energy(layer: Any, x: Tensor) -> Tensor:
    """Sums of squares, float64, of every input of the layer, in a shape that its weight can be multiplied with."""
    squares = x.detach().square()
    if isinstance(layer, nn.Linear):
        return squares.flatten(0, -2).sum(0, dtype=torch.float64) if x.ndim > 1 else squares.double()
    # The sum over positions of the squares under each place of the kernel is what the sum of the convolution of the
    # squares has as gradient in the kernel: strides, padding, dilation and groups are the layer's own affair.
    kernel = torch.zeros_like(layer.weight, requires_grad=True)
    with torch.enable_grad():
        total = layer._conv_forward(squares, kernel, None).sum()
    return torch.autograd.grad(total, kernel)[0].double()
