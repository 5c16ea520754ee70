"""Batches of torch models of one shape with different weights or masks, trained on the same mini-batches."""

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

    Attributes
    ----------
    parameters : mapping of name to Tensor (B, *shape)
        Parameters of all models, including biases.
    template : Module
        The model without values, on the meta device.
    prunable : tuple of str
        Names of the M prunable weights' tensors, in order.
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
        """Return a copy of the models at `index`, which may repeat.

        Parameters
        ----------
        index : sequence of int or Tensor (n,)
            Numbers of the models, from 0; they may repeat.

        Returns
        -------
        ModelBatch
        """
        index = torch.as_tensor(index, device=next(iter(self.parameters.values())).device)
        return replace(self, parameters={name: value[index] for name, value in self.parameters.items()})

    def model(self, index: int) -> nn.Module:
        """Return a copy of one model.

        Parameters
        ----------
        index : int
            Number of the model, from 0.

        Returns
        -------
        Module
            On the device of the batch.
        """
        values = {name: value[index].clone() for name, value in self.parameters.items()}
        model = copy.deepcopy(self.template).to_empty(device=next(iter(values.values())).device)
        model.load_state_dict(values)
        return model

    def outputs(self, x: Tensor) -> Tensor:
        """Return the outputs of all models on one batch.

        Parameters
        ----------
        x : Tensor (n, ...)
            Inputs.

        Returns
        -------
        Tensor (B, n, ...)
        """
        return vmap(lambda values: functional_call(self.template, values, (x,)))(self.parameters)

    def split(self, weights: Tensor) -> dict[str, Tensor]:
        """Split one row per model into the prunable tensors, the inverse of `weights`.

        Parameters
        ----------
        weights : Tensor (B, M)
            Values of any type, such as a mask.

        Returns
        -------
        dict of Tensor (B, *shape)
            By name of the tensor.
        """
        shapes = {name: self.parameters[name].shape for name in self.prunable}
        parts = weights.split([shape[1:].numel() for shape in shapes.values()], dim=1)
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    def apply_(self, keep: Tensor) -> None:
        """Set pruned weights to zero in place.

        Parameters
        ----------
        keep : Tensor (B, M), bool
            Mask, True = keep.

        Raises
        ------
        ValueError
            If the mask has another type or shape.
        """
        expected = (len(self), sum(self.parameters[name][0].numel() for name in self.prunable))
        if keep.dtype != torch.bool or tuple(keep.shape) != expected:
            raise ValueError(f"keep must be bool of shape {expected}, got {keep.dtype} {tuple(keep.shape)}")
        self._zero(self.split(keep))

    def sgd_(self, x: Tensor, y: Tensor, *, loss: Loss, lr: float, keep: Mapping[str, Tensor] | None = None) -> None:
        """Take one step of plain SGD with every model, in place, and enforce the mask.

        Models with dropout or other random layers raise an error of vmap.

        Parameters
        ----------
        x, y : Tensor (n, ...)
            Mini-batch, the same for all models.
        loss : callable
            Function of outputs and y that returns the mean loss of one model.
        lr : float
            Learning rate.
        keep : mapping of name to Tensor (B, *shape), optional
            Mask as returned by `split`, True = keep.
        """

        def sample_loss(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return loss(functional_call(self.template, values, (x,)), y)

        slopes = vmap(grad(sample_loss), in_dims=(0, None, None))(self.parameters, x, y)
        for name, slope in slopes.items():
            self.parameters[name].sub_(slope, alpha=lr)
        if keep is not None:
            self._zero(keep)

    def _zero(self, keep: Mapping[str, Tensor]) -> None:
        for name, part in keep.items():
            # Not a product, because an infinite weight times 0 is NaN.
            self.parameters[name].masked_fill_(~part, 0.0)


def concatenate(batches: Sequence[ModelBatch]) -> ModelBatch:
    """Return the models of several batches, of one shape, as one batch.

    Parameters
    ----------
    batches : sequence of ModelBatch
        Batches of one shape, at least one.

    Returns
    -------
    ModelBatch
    """
    together = {name: torch.cat([each.parameters[name] for each in batches]) for name in batches[0].parameters}
    return replace(batches[0], parameters=together)


def stack_models(models: Sequence[nn.Module]) -> ModelBatch:
    """Make a `ModelBatch` of copies of models of one shape, on their device.

    Parameters
    ----------
    models : sequence of Module
        The models, at least one, without buffers.

    Returns
    -------
    ModelBatch

    Raises
    ------
    ValueError
        If there are no models, or they have buffers (batch norm), which would be shared.
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
