"""SynFlow, a score that needs no data."""

import torch
from torch import Tensor, nn

from ccprune.scores._functional import FunctionalModel, eager_eval, finite


def synflow(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Synaptic flow |theta| dR/d|theta| (Tanaka, Kunin, Yamins and Ganguli, 2020, eq. 1 and 2), float64.

    R is the sum of the outputs for one input of ones, of the network with the absolute values of its parameters and
    buffers, as in the authors' code. In a network of linear layers and ReLUs without biases, the score of a weight is
    the sum, over all paths from inputs to outputs through this weight, of the product of the absolute weights along the
    path, and the scores of every layer sum to R. The paper prunes in 100 rounds and scores again after each round. In a
    single round at high sparsity, whole layers are pruned.

    Parameters
    ----------
    model : Module
        Computed in float64, because R grows with the product of the layers' widths and overflows float32.
    x : Tensor (n, ...)
        Only the shape of one sample is used. If x holds integers (tokens), there is no input of ones and x itself is
        the input.

    Raises
    ------
    ValueError
        If there is no sample, or if R overflows float64 too.
    """
    if len(x) == 0:
        raise ValueError("x must hold at least one sample")
    look = FunctionalModel(model, dtype=torch.float64)
    weights = {name: weight.abs().requires_grad_() for name, weight in look.weights.items()}
    look.rest = {key: value.abs() if value.is_floating_point() else value for key, value in look.rest.items()}
    ones = torch.ones(1, *x.shape[1:], dtype=torch.float64, device=x.device) if x.is_floating_point() else x
    with eager_eval(model), torch.enable_grad():
        flow = look(weights, ones).sum()
        gradients = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
    return finite({name: weight.detach() * g for (name, weight), g in zip(weights.items(), gradients, strict=True)})
