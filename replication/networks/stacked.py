"""Many copies of one torch model, trained at once on the same mini-batches; their weights, masks or both differ."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from ccprune.mask import prunable

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class ModelBatch:
    """B models of one shape.

    Attributes: parameters ({name: Tensor (B, *shape)}, biases among them), template (the model without its values, on
    the meta device), prunable (names of the weights that can be pruned, in order).
    """

    parameters: dict[str, Tensor]
    template: nn.Module
    prunable: tuple[str, ...]

    def __len__(self) -> int:
        return len(next(iter(self.parameters.values())))

    @property
    def weights(self) -> Tensor:
        """All prunable weights (B, M), tensor by tensor in row-major order."""
        return torch.cat([self.parameters[name].flatten(1) for name in self.prunable], 1)

    def select(self, index: Sequence[int] | Tensor) -> "ModelBatch":
        """The models at `index` (any repetition allowed), as a copy."""
        index = torch.as_tensor(index, device=next(iter(self.parameters.values())).device)
        return replace(self, parameters={name: value[index] for name, value in self.parameters.items()})

    def model(self, index: int) -> nn.Module:
        """One of the models, with parameters of its own."""
        values = {name: value[index].clone() for name, value in self.parameters.items()}
        model = copy.deepcopy(self.template).to_empty(device=next(iter(values.values())).device)
        model.load_state_dict(values)
        return model

    def outputs(self, x: Tensor) -> Tensor:
        """Outputs (B, n, ...) on one batch x (n, ...)."""
        return vmap(lambda values: functional_call(self.template, values, (x,)))(self.parameters)

    def split(self, weights: Tensor) -> dict[str, Tensor]:
        """(B, M) back to {name: (B, *shape)}, the inverse of `weights`."""
        shapes = {name: self.parameters[name].shape for name in self.prunable}
        parts = weights.split([shape[1:].numel() for shape in shapes.values()], dim=1)
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    def apply_(self, keep: Tensor) -> None:
        """Sets weights to zero, in place, where `keep` (B, M) bool is False. Raises ValueError for another shape."""
        expected = (len(self), sum(self.parameters[name][0].numel() for name in self.prunable))
        if keep.dtype != torch.bool or tuple(keep.shape) != expected:
            raise ValueError(f"keep must be bool of shape {expected}, got {keep.dtype} {tuple(keep.shape)}")
        self._zero(self.split(keep))

    def sgd_(self, x: Tensor, y: Tensor, *, loss: Loss, lr: float, keep: Mapping[str, Tensor] | None = None) -> None:
        """One step of plain SGD of every model on the same mini-batch, in place; then `keep` (`split`) is enforced.

        `loss`: (outputs, y) -> mean loss of one model. Dropout and other random layers are refused by vmap.
        """

        def of(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return loss(functional_call(self.template, values, (x,)), y)

        slopes = vmap(grad(of), in_dims=(0, None, None))(self.parameters, x, y)
        for name, slope in slopes.items():
            self.parameters[name].sub_(slope, alpha=lr)
        if keep is not None:
            self._zero(keep)

    def _zero(self, keep: Mapping[str, Tensor]) -> None:
        for name, part in keep.items():
            # Not a product: a weight that diverged, times 0, would be NaN.
            self.parameters[name].masked_fill_(~part, 0.0)


def stack(models: Sequence[nn.Module]) -> ModelBatch:
    """Copies of models of one shape as a `ModelBatch`, on their device.

    Raises ValueError without models, or for models with buffers (batch norm), which would be shared.
    """
    if not models:
        raise ValueError("models must not be empty")
    buffers = [name for name, _ in models[0].named_buffers()]
    if buffers:
        raise ValueError(f"models must have no buffers, got {buffers}")
    parameters, _ = stack_module_state(list(models))
    template = copy.deepcopy(models[0]).to("meta")
    values = {name: value.detach().clone() for name, value in parameters.items()}
    return ModelBatch(values, template, tuple(prunable(models[0])))
