"""The Hessian of a landscape in its remaining weights, as a linear operator."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ccprune._util.checks import require_one_of
from ccprune._util.inputs import count_samples
from ccprune._util.modes import decompose_layers, second_derivatives
from ccprune.flatness._landscape import Landscape, Loss, Weights


def without_jit_warnings() -> warnings.catch_warnings:
    """Ignore the deprecation of torch.jit.script, called by imports of curvlinops and first use of forward mode."""
    return warnings.catch_warnings(action="ignore", category=DeprecationWarning)


with without_jit_warnings():
    from curvlinops import HessianLinearOperator

# Vectors per pass. For a LeNet on the CPU, 4 vectors take about 3 times as long as 1, with 4 copies of the activations.
COLUMNS = 4
_BATCH = "batch"  # key under which curvlinops, which takes tensors and mappings only, holds inputs and targets


class Hessian:
    """H, or D H D with the filter norms D, restricted to the remaining weights; symmetric, (size, size)."""

    def __init__(self, landscape: Landscape, scale: str) -> None:
        require_one_of(("none", "filter"), scale=scale)
        self._landscape = landscape
        self._full = HessianLinearOperator(
            _Anchored(landscape),
            _MeanLoss(landscape.loss),
            list(landscape.parameters.values()),
            [({_BATCH: batch}, torch.empty(0)) for batch in landscape.batches],
            num_data=landscape.samples,
            batch_size_fn=lambda batch: count_samples(batch[_BATCH][0]),
            check_deterministic=False,  # done by the landscape; this one would use the global random generator
        )
        self._free = torch.cat([keep.flatten() for keep in landscape.keep.values()]).nonzero()[:, 0]
        self._scale: Tensor | None = None
        if scale == "filter":
            norms = [landscape.norms[name].expand_as(weight).flatten() for name, weight in landscape.weights.items()]
            self._scale = torch.cat(norms)[self._free, None]
        self.size = len(self._free)
        self.products = 0

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Multiply by vectors (size, b); raises ValueError if the product is not finite."""
        image = torch.cat([self._product(part) for part in vectors.split(COLUMNS, 1)], 1)
        if not bool(torch.isfinite(image).all()):
            raise ValueError("loss must have a finite Hessian at the model's weights, got NaN or infinite products")
        return image

    def draw(self, kind: str, count: int, generator: torch.Generator) -> Tensor:
        """Draw vectors (size, count), "signs" or "gaussian"; the value of a weight does not depend on the mask."""
        total = self._full.shape[1]
        columns = []
        for _ in range(count):
            if kind == "signs":
                column = torch.randint(0, 2, (total,), generator=generator).mul_(2).sub_(1)
            else:
                column = torch.randn(total, generator=generator, dtype=torch.float64)
            columns.append(column.to(self._landscape.device, self._landscape.dtype)[self._free])
        return torch.stack(columns, 1)

    def split_by_name(self, vector: Tensor) -> Weights:
        """Convert a vector (size,) to one tensor per parameter, 0 at pruned weights."""
        weights = self._landscape.weights
        full = vector.new_zeros(self._full.shape[1]).index_copy_(0, self._free, vector)
        parts = full.split([weight.numel() for weight in weights.values()])
        return {name: part.reshape(weight.shape) for (name, weight), part in zip(weights.items(), parts, strict=True)}

    def _product(self, vectors: Tensor) -> Tensor:
        self.products += vectors.shape[1]
        if self._scale is not None:
            vectors = vectors * self._scale
        full = vectors.new_zeros(self._full.shape[1], vectors.shape[1]).index_copy_(0, self._free, vectors)
        with without_jit_warnings(), decompose_layers(self._landscape.model), second_derivatives():
            image = (self._full @ full)[self._free]
        return image if self._scale is None else image * self._scale


class _Anchored(nn.Module):
    """The model with a second output, a zero that depends on every weight and whose second derivatives are zero.

    curvlinops multiplies by several vectors with `vmap`, which fails for a weight in which the loss is linear or
    constant, because there a product does not depend on the vectors. With the second output every product does.
    """

    def __init__(self, landscape: Landscape) -> None:
        super().__init__()
        self._landscape = landscape
        # The weights are parameters of this module under one name each. The model is not a part of it, because
        # curvlinops would replace a weight under one of its names in the model only.
        for number, weight in enumerate(landscape.parameters.values()):
            self.register_parameter(str(number), weight)

    def forward(self, batch: dict[str, tuple[Any, Any]]) -> tuple[Any, Any, Tensor]:
        weights = dict(zip(self._landscape.weights, self._parameters.values(), strict=True))
        x, y = batch[_BATCH]
        return self._landscape.outputs(weights, x), y, 0 * sum(weight.square().sum() for weight in weights.values())


class _MeanLoss(nn.Module):
    """The loss of the outputs of `_Anchored`, as a module with a reduction, which curvlinops requires."""

    reduction = "mean"

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        self._loss = loss

    def forward(self, outputs: tuple[Any, Any, Tensor], _: Tensor) -> Tensor:
        output, target, zero = outputs
        return self._loss(output, target) + zero
