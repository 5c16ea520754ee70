"""The mean loss as a function of the remaining prunable weights; the model itself is not changed."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad

from ccprune._util.checks import differing
from ccprune._util.inputs import batches, call, count_samples, is_inputs, map_tensors
from ccprune._util.modes import eval_mode, replaced
from ccprune.mask import Axes, Mask, prunable
from ccprune.mask._kinds import axes_of
from ccprune.mask._names import owners
from ccprune.mask._prunable import Chosen

Loss = Callable[[Any, Any], Tensor]
Data = tuple[Any, Any] | Iterable[Any]
Weights = dict[str, Tensor]


class Landscape:
    """A loss as a function of offsets from the present weights, on fixed data; created by `measuring`.

    Only the prunable `weights` are perturbed, by name. `keep` is True for those that remain. `norms` (out, 1, ...) are
    those of the remaining weights of each filter: the weights into one neuron of a linear layer, or into one channel of
    a convolution (Li et al., 2018, section 4).
    """

    def __init__(
        self, model: nn.Module, loss: Loss, data: Data, mask: Mask | None, only: Chosen | None, skip: Chosen
    ) -> None:
        self.model, self.loss = model, loss
        parameters = self.parameters = prunable(model, frozen=True, only=only, skip=skip)
        places = owners(model)
        self._axes = {name: axes_of(*places[name]) for name in parameters}
        self.weights = {name: weight.detach() for name, weight in parameters.items()}
        self._ids = {name: id(weight) for name, weight in parameters.items()}
        # Detached, so that no graph is built for parameters that are not perturbed.
        self._still = {id(parameter): parameter.detach() for parameter in model.parameters()}
        self._still |= {id(buffer): buffer.clone() for buffer in model.buffers()}
        first = next(iter(self.weights.values()))
        self.device, self.dtype = first.device, first.dtype
        kinds = sorted({f"{weight.dtype} on {weight.device}" for weight in self.weights.values()})
        if len(kinds) > 1 or self.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"model must have float32 or float64 weights of one kind on one device, got {kinds}")
        self.keep = _keep(self.weights, mask, {name for name, weight in parameters.items() if not weight.requires_grad})
        self.norms = {name: self._filter_norm(name, weight) for name, weight in self.weights.items()}
        self.batches = [map_tensors(lambda value: value.to(self.device), batch) for batch in _batches(data)]
        self.samples = sum(count_samples(x) for x, _ in self.batches)
        once, again = (self._mean(self.batches[:1], {}) for _ in range(2))
        if not math.isclose(once, again, rel_tol=1e-5, abs_tol=1e-8):
            raise ValueError(f"loss must be the same in two passes over the same data, got {once:.8g} and {again:.8g}")

    @property
    def size(self) -> int:
        """Number of remaining weights."""
        return sum(int(keep.sum()) for keep in self.keep.values())

    def value(self, offset: Mapping[str, Tensor]) -> float:
        """Mean loss at weights + offset; a missing name is an offset of 0. Raises ValueError if it is not finite."""
        return self._mean(self.batches, offset)

    def gradient(self, offset: Mapping[str, Tensor]) -> Weights:
        """Gradient of the mean loss at weights + offset with respect to all prunable weights."""
        moved = self._move(offset)
        slope = {name: torch.zeros_like(weight) for name, weight in moved.items()}
        for x, y in self.batches:
            for name, part in grad(self._batch_loss)(moved, x, y).items():
                slope[name].add_(part, alpha=count_samples(x) / self.samples)
        return slope

    def random_direction(self, generator: torch.Generator) -> Weights:
        """Draw a filter-normalised Gaussian direction, independent of the mask, the device and the dtype."""
        return self.filter_normalised(
            {
                name: torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(self.device, self.dtype)
                for name, weight in self.weights.items()
            }
        )

    def filter_normalised(self, direction: Weights) -> Weights:
        """Restrict a direction to the remaining weights and scale each filter's non-zero part to the filter's norm."""
        scaled = {}
        for name, step in direction.items():
            # The step is first divided by its largest entry, because a gradient of 1e-40 would make the ratio infinite.
            peak = self._filters(name, step).abs().amax(1).reshape(self.norms[name].shape)
            step = step / torch.where(peak > 0, peak, 1.0)
            length = self._filter_norm(name, step)
            ratio = torch.where(length > 0, self.norms[name] / torch.where(length > 0, length, 1.0), 0.0)
            scaled[name] = torch.where(self.keep[name], step, 0.0) * ratio
        return scaled

    def outputs(self, weights: Mapping[str, Tensor], x: Any) -> Any:
        """Outputs of the model with these prunable weights."""
        moving = {self._ids[name]: weight for name, weight in weights.items()}
        with replaced(self.model, self._still | moving):
            return call(self.model, x)

    def _filters(self, name: str, values: Tensor) -> Tensor:
        """Return the values of the remaining weights, one row per filter."""
        left, axes = torch.where(self.keep[name], values, 0.0), _filter_axes(self._axes[name])
        return left.movedim(axes, tuple(range(len(axes)))).reshape(math.prod(left.shape[axis] for axis in axes), -1)

    def _filter_norm(self, name: str, values: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(self._filters(name, values), dim=1, dtype=torch.float64).to(values.dtype)
        axes = _filter_axes(self._axes[name])
        return norm.reshape([size if axis in axes else 1 for axis, size in enumerate(values.shape)])

    def _mean(self, data: list[tuple[Any, Any]], offset: Mapping[str, Tensor]) -> float:
        count = sum(count_samples(x) for x, _ in data)
        with torch.no_grad():
            moved = self._move(offset)
            total = sum(count_samples(x) * float(self._batch_loss(moved, x, y)) for x, y in data)
        if not math.isfinite(total):
            where = ": try a smaller radius" if offset else ""
            raise ValueError(f"loss must be finite, got {total / count} on {count} samples{where}")
        return total / count

    def _move(self, offset: Mapping[str, Tensor]) -> Weights:
        return {name: weight + offset[name] if name in offset else weight for name, weight in self.weights.items()}

    def _batch_loss(self, moved: Weights, x: Any, y: Any) -> Tensor:
        value = self.loss(self.outputs(moved, x), y)
        if not isinstance(value, Tensor) or value.ndim:
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"loss must return a batch's mean loss as a 0-d Tensor, got {got}")
        return value


@contextmanager
def measuring(
    model: nn.Module, loss: Loss, data: Data, mask: Mask | None, only: Chosen | None = None, skip: Chosen = ()
) -> Iterator[Landscape]:
    """Yield a `Landscape` with the model in eval mode, and restore the model at the end."""
    with eval_mode(model):
        yield Landscape(model, loss, data, mask, only, skip)


def _keep(weights: Weights, mask: Mask | None, frozen: set[str]) -> dict[str, Tensor]:
    """Return the mask of all weights; frozen weights that the mask does not name are kept."""
    whole = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    if mask is None:
        return whole
    got = {name: tuple(keep.shape) for name, keep in mask.keep.items()}
    expected = {name: tuple(weight.shape) for name, weight in weights.items() if name in got or name not in frozen}
    if got != expected:
        raise ValueError(f"mask must cover exactly the model's prunable weights; differing: {differing(expected, got)}")
    if mask.kept == 0:
        raise ValueError("mask must keep at least one weight, got none: there is nothing left to measure")
    return whole | {name: keep.to(weights[name].device) for name, keep in mask.keep.items()}


def _filter_axes(axes: Axes) -> tuple[int, ...]:
    return (axes.output,) if axes.batch is None else tuple(sorted((axes.batch, axes.output)))


def _batches(data: Data) -> list[tuple[Any, Any]]:
    """Return the batches (inputs, targets). A pair whose second part holds no inputs of its own is one batch."""
    pair = isinstance(data, tuple | list) and len(data) == 2 and is_inputs(data[0])
    if pair and (data[1] is None or isinstance(data[1], Tensor | Mapping)):
        return list(batches(*data, name="data"))
    return list(batches(list(data), name="data"))
