"""Wanda, a score from the magnitudes of the weights and of their inputs."""

from typing import Any

import torch
from torch import Tensor, nn

from ccprune._util.checks import join_first
from ccprune._util.inputs import Inputs
from ccprune._util.modes import capture_inputs, replaced
from ccprune.mask import prunable
from ccprune.mask._kinds import kind_of
from ccprune.scores._functional import FunctionalModel, eager_eval, finite, require_called, widened_batches


def wanda(model: nn.Module, x: Inputs) -> dict[str, Tensor]:
    """|theta_ij| ||x_j||_2, where x_j is the layer's input j over all samples (Wanda: Sun et al., 2024, eq. 1).

    The paper compares scores within each output row only; the criterion "wanda_row" does so.

    Parameters
    ----------
    model : Module
        Every weight must be used by calling its layer.
    x : Tensor (n, ...), tuple, mapping, or iterable of batches
        Calibration inputs: those of the model, or batches (inputs, targets), of which the targets are not used.

    Returns
    -------
    {name: Tensor}
        Scores in the weights' precision, float32 at least. In a linear layer, all positions before the last dimension
        are samples. A convolution is treated as the linear layer on its patches, where input j is a channel at one
        position of the kernel. If a layer is called twice, or layers share a weight, the inputs of all calls count.

    Raises
    ------
    ValueError
        If there is no sample, if a score is not finite, or, with its name, for a weight whose layer was not called
        (`nn.MultiheadAttention` uses its output projection's weight so).

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[2.0, 1.0]])
    >>> wanda(layer, torch.tensor([[3.0, 0.0], [4.0, 1.0]]))  # the norms of the inputs are 5 and 1
    {'weight': tensor([[10.,  1.]])}
    """
    look = FunctionalModel(model)
    weights = look.weights
    names = {id(weight): name for name, weight in prunable(model).items()}
    used: dict[nn.Module, tuple[str, str]] = {}
    unserved = dict.fromkeys(weights, "a parameter of no layer")
    for layer in model.modules():
        kind = kind_of(layer)
        for attribute, weight in layer._parameters.items():
            if id(weight) not in names:
                continue
            if kind is not None and kind.linear and attribute in kind.weights(layer):
                used[layer] = names[id(weight)], attribute
                unserved.pop(names[id(weight)], None)
            elif names[id(weight)] in unserved:
                unserved[names[id(weight)]] = type(layer).__name__
    if unserved:
        got = join_first([f"{name} of {kind}" for name, kind in unserved.items()])
        raise ValueError(
            f"wanda cannot score weights of layers that are not linear, got {got}: leave them out with skip"
        )
    energies: dict[str, Tensor] = {}

    def note(layer: nn.Module, inputs: Tensor) -> None:
        name, attribute = used[layer]
        energy = _energy(layer, attribute, inputs)
        energies[name] = energies[name] + energy if name in energies else energy

    with capture_inputs(used, note), eager_eval(model), torch.no_grad():
        for inputs, _ in widened_batches(x):
            look(weights, inputs)
    require_called(weights, energies)
    return finite({name: weight.abs() * energies[name].sqrt().to(weight.dtype) for name, weight in weights.items()})


def _energy(layer: Any, attribute: str, x: Tensor) -> Tensor:
    """Return the sum of squares of every input of the layer, float64, in a shape that broadcasts with its weight."""
    squares = x.detach().square()
    if isinstance(layer, nn.Linear):
        return squares.flatten(0, -2).sum(0, dtype=torch.float64) if x.ndim > 1 else squares.double()
    # The gradient of the summed output for the squares with respect to the weight is the sum of the squares that each
    # weight multiplies. Strides, padding, dilation and groups are thereby handled by the layer.
    weight = layer._parameters[attribute]
    kernel = torch.zeros_like(weight, requires_grad=True)
    with torch.enable_grad():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            total = layer._conv_forward(squares, kernel, None).sum()
        else:
            with replaced(layer, {id(weight): kernel}):
                # The layer itself, without its hooks, because this function is called by one of them.
                total = type(layer).forward(layer, squares).sum()
    return torch.autograd.grad(total, kernel)[0].double()
