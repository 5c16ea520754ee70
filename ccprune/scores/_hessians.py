"""Hessians X X^T of the reconstruction errors |dW X|^2 of layers with inputs X."""

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ccprune._util.checks import join_first
from ccprune._util.modes import capture_inputs, replaced
from ccprune.mask import Axes, prunable
from ccprune.mask._kinds import axes_of, kind_of
from ccprune.scores._functional import FunctionalModel, eager_eval, require_called, widened_batches

_ELEMENTS = 2**24  # of the inputs that are multiplied at once
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Hessians:
    """Hessians of the layers of these weights, one at a time, with the values that `look.weights` has at that moment.

    A weight is a stack of matrices (groups, outputs, inputs) here. The inputs of a convolution are those of the linear
    layer on its patches: positions of the kernel, and at each position the channels of the group. `order` has the names
    in the order in which the model uses them first. Arguments and errors are those of `reconstruct`.
    """

    def __init__(self, model: nn.Module, x: Any, names: Collection[str], damping: float) -> None:
        if not 0 <= damping < math.inf:
            raise ValueError(f"damping must be a number of at least 0, got {damping!r}")
        self.look, parameters = FunctionalModel(model), prunable(model)
        self._damping = damping
        self._layers = _layers(self.look.model, {id(parameters[name]): name for name in names})
        self._views = {name: _view(layer, attribute) for layer, (name, attribute) in self._layers.items()}
        self._batches = [inputs for inputs, _ in widened_batches(x)]  # a list, because it is read once a layer
        met: dict[nn.Module, str] = {}

        def meet(layer: Any, inputs: Tensor) -> None:
            if layer not in met:
                met[layer] = self._layers[layer][0]
                self._require_product(layer, inputs)

        self._pass(self._layers, meet, self._batches[:1])
        self.order = [*dict.fromkeys(met.values())]
        require_called(names, self.order)

    def matrices(self, name: str, value: Tensor) -> Tensor:
        """Return a tensor of the weight's shape as (groups, outputs, inputs)."""
        axes, groups = self._views[name]
        return value.movedim((axes.output, axes.input), (0, -1)).flatten(1).unflatten(0, (groups, -1))

    def tensor(self, name: str, value: Tensor) -> Tensor:
        """Return matrices (groups, outputs, inputs) as a tensor of the weight's shape."""
        ends = self._views[name][0].output, self._views[name][0].input
        shape = self.look.weights[name].movedim(ends, (0, -1)).shape
        return value.reshape(shape).movedim((0, -1), ends).contiguous()

    def damped_hessians(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return a copy of the weight, its damped Hessians (groups, inputs, inputs), and dead inputs (groups, inputs).

        Weight and Hessians are float64. Dead inputs are 0 in all samples, and independent here, as in SparseGPT's code.
        """
        total: list[Tensor] = []

        def note(layer: nn.Module, inputs: Tensor) -> None:
            for patches in _patches(layer, inputs):
                one = patches.double().transpose(0, 1)
                total[:] = [one.mT @ one + sum(total)]

        self._pass([layer for layer, (used, _) in self._layers.items() if used == name], note, self._batches)
        hessian = total[0]
        if not bool(hessian.isfinite().all() and self.look.weights[name].isfinite().all()):
            raise ValueError(f"model's {name!r} and the inputs of its layer must be finite")
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        dead = diagonal == 0
        mean = diagonal.sum(1, keepdim=True) / (~dead).sum(1, keepdim=True).clamp_min(1)
        diagonal += torch.where(mean > 0, mean, 1.0) * (self._damping + dead.double())
        return self.matrices(name, self.look.weights[name]).to(torch.float64, copy=True), hessian, dead

    def _pass(self, layers: Collection[nn.Module], note: Callable[..., None], batches: Collection[Any]) -> None:
        with capture_inputs(layers, note), eager_eval(self.look.model), torch.no_grad():
            for inputs in batches:
                self.look(self.look.weights, inputs)

    def _require_product(self, layer: Any, inputs: Tensor) -> None:
        """Raise ValueError unless the layer multiplies its inputs by its weight."""
        name, attribute = self._layers[layer]
        weight = layer._parameters[attribute]
        expected = torch.einsum("pgi,goi->pgo", next(_patches(layer, inputs)), self.matrices(name, weight)).flatten(1)
        found = type(layer).forward(layer, inputs)  # without the layer's hooks, one of which calls this function
        with replaced(layer, {id(weight): torch.zeros_like(weight)}):
            found = found - type(layer).forward(layer, inputs)
        if isinstance(layer, _CONVOLUTIONS):
            found = found.movedim(-1 - len(layer.kernel_size), -1)
        found = found.reshape(-1, found.shape[-1])[: len(expected)]
        # The margin is that of a GPU's multiplications in short formats.
        if bool((found - expected).abs().max() > 0.01 * expected.abs().max()):
            raise ValueError(f"the layer of {name!r} must multiply its inputs by its weight: leave it out with skip")


def cholesky(name: str, matrix: Tensor) -> Tensor:
    """Return the lower triangular factor of a Hessian of this weight, or raise ValueError if it is singular."""
    lower, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        raise ValueError(f"damping must be larger: inputs of the layer of {name!r} are linearly dependent")
    return lower


def _layers(model: nn.Module, names: dict[int, str]) -> dict[nn.Module, tuple[str, str]]:
    """Return {layer: (name, attribute)} of weights by id, or raise ValueError for weights of layers of other kinds."""
    found, unserved = {}, set()
    views: dict[str, tuple[Axes, int]] = {}
    for layer in model.modules():
        kind = kind_of(layer)
        for attribute, weight in layer._parameters.items():
            if weight is None or id(weight) not in names:
                continue
            name, view = names[id(weight)], _view(layer, attribute)
            linear = kind is not None and kind.linear and attribute in kind.weights(layer)
            matrix = weight.is_floating_point() and (weight.ndim == 2 or isinstance(layer, _CONVOLUTIONS))
            if linear and matrix and views.setdefault(name, view) == view:
                found[layer] = name, attribute
            else:
                unserved.add(f"{name} of {type(layer).__name__}")
    if unserved:
        raise ValueError(
            "weights must be used in linear layers and convolutions only to be reconstructed, got "
            f"{join_first(sorted(unserved))}: leave them out with skip"
        )
    return found


def _view(layer: Any, attribute: str) -> tuple[Axes, int]:
    return axes_of(layer, attribute), layer.groups if isinstance(layer, _CONVOLUTIONS) else 1


def _patches(layer: Any, x: Tensor) -> Iterator[Tensor]:
    """Yield the inputs (positions, groups, inputs) that the matrices of the layer's weight multiply, in parts."""
    kernel = layer.kernel_size if isinstance(layer, _CONVOLUTIONS) else ()
    x = x.reshape(-1, *x.shape[-1 - len(kernel) :])
    for part in x.split(max(1, _ELEMENTS // max(1, x[:1].numel() * math.prod(kernel)))):
        if not kernel:
            yield part[:, None]
            continue
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        cut = functional.pad(part, layer._reversed_padding_repeated_twice, mode=mode)
        for axis, (size, step, dilation) in enumerate(zip(kernel, layer.stride, layer.dilation, strict=True), 2):
            cut = cut.unfold(axis, dilation * (size - 1) + 1, step)[..., ::dilation]
        # (samples, groups, channels, *positions, *kernel) to (samples, *positions, groups, *kernel, channels)
        cut = cut.unflatten(1, (layer.groups, -1)).movedim(2, -1).movedim(1, 1 + len(kernel))
        yield cut.flatten(0, len(kernel)).flatten(2)
