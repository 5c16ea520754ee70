"""SynFlow, a score that needs no data."""

import torch
from torch import Tensor, nn

from ccprune._util.inputs import Inputs, first_inputs, map_tensors, tensors
from ccprune.scores._functional import FunctionalModel, eager_eval, finite


def synflow(model: nn.Module, x: Inputs) -> dict[str, Tensor]:
    """Synaptic flow |theta| dR/d|theta| (Tanaka, Kunin, Yamins and Ganguli, 2020, eq. 1 and 2), float64.

    R is the sum of the outputs for one input of ones, of the network with the absolute values of its parameters and
    buffers, as in the authors' code. The paper prunes in 100 rounds and scores again after each round. In a single
    round at high sparsity, whole layers are pruned.

    Parameters
    ----------
    model : Module
        Computed in float64, because R grows with the product of the layers' widths and overflows float32. A ValueError
        is raised if it overflows float64 too.
    x : Tensor (n, ...), tuple, mapping, or iterable of batches
        Inputs, of which only the shape of one sample of the first batch is used. Integers (tokens) and flags have no
        ones and are themselves the input, with ones for all of their samples.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, -0.5]])
    >>> synflow(layer, torch.zeros(1, 2))["weight"]  # the input is 1, whatever x
    tensor([[3.0000, 0.5000]], dtype=torch.float64)
    """
    inputs = first_inputs(x, name="x")
    whole = any(not value.is_floating_point() for value in tensors(inputs))
    look = FunctionalModel(model, dtype=torch.float64)
    weights = {name: weight.abs().requires_grad_() for name, weight in look.weights.items()}
    look.rest = {key: value.abs() if value.is_floating_point() else value for key, value in look.rest.items()}

    def ones(value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value
        return torch.ones_like(value if whole else value[:1], dtype=torch.float64)

    with eager_eval(model), torch.enable_grad():
        outputs = [output for output in tensors(look(weights, map_tensors(ones, inputs))) if output.requires_grad]
        if not outputs:
            raise ValueError("model must return tensors that depend on its weights, got none")
        flow = torch.stack([output.sum() for output in outputs]).sum()
        gradients = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
    return finite({name: weight.detach() * g for (name, weight), g in zip(weights.items(), gradients, strict=True)})
