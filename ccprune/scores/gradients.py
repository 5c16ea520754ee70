"""Scores from derivatives of the loss on a batch: SNIP, GraSP, diagonal Fisher information, optimal brain damage."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn.functional import cross_entropy

from ccprune._util.inputs import Inputs, count_samples, map_tensors, mean_loss, rows, tensors
from ccprune._util.modes import second_derivatives
from ccprune.scores._functional import FunctionalModel, Mean, eager_eval, finite, widened_batches

Loss = Callable[[Any, Any], Tensor]


def snip(model: nn.Module, x: Inputs, y: Any = None, *, loss: Loss = cross_entropy) -> dict[str, Tensor]:
    """Connection sensitivity |theta dL/dtheta| on one batch (SNIP: Lee, Ajanthan and Torr, 2019, eq. 5).

    To first order, this is the size of the change of the loss when the weight is set to zero. The paper divides by the
    sum over all weights, which changes no rank. The score was proposed for networks before training.

    Parameters
    ----------
    model : Module
    x : Tensor (n, ...), tuple, mapping, or iterable of batches
        Inputs: a tensor, a tuple of positional arguments, or a mapping of keyword arguments of the model; or, without
        `y`, an iterable such as a DataLoader of batches (inputs, targets) of any of these, scored as one.
    y : Tensor (n, ...) or what else `loss` takes, optional
        Labels or targets.
    loss : callable
        Maps (outputs, y) to the mean loss; y is None without targets, as for models that return their own loss.

    Returns
    -------
    {name: Tensor}
        Scores in the weights' precision, float32 at least. A weight that the output does not depend on scores 0.

    Raises
    ------
    ValueError
        If x and y differ in length or are empty, or if a score is not finite, with the name of the parameter.

    Examples
    --------
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> layer.weight.data = torch.tensor([[3.0, -0.5]])
    >>> snip(layer, torch.tensor([[1.0, 2.0]]), torch.zeros(1), loss=lambda out, y: out.sum())  # |theta x|
    {'weight': tensor([[3., 1.]])}
    """
    look, mean = FunctionalModel(model), Mean()
    for weight in look.weights.values():
        weight.requires_grad_()
    with eager_eval(model), torch.enable_grad():
        for batch in widened_batches(x, y):
            mean.add(_gradients(look, batch, loss), count_samples(batch[0]))
    pairs = zip(look.weights.items(), mean.values, strict=True)
    return finite({name: (weight * gradient).detach().abs() for (name, weight), gradient in pairs})


def grasp(model: nn.Module, x: Inputs, y: Any = None, *, loss: Loss = cross_entropy) -> dict[str, Tensor]:
    """Gradient signal theta * (H g) on one batch (GraSP: Wang, Zhang and Grosse, 2020, eq. 8, with the opposite sign).

    g and H are the gradient and the Hessian of the loss with respect to the prunable weights. The paper's S(-theta) =
    -theta * (H g) is, up to a factor of 2 and to first order, the change of the squared gradient norm when the weight
    is set to zero; it prunes the weights with the *highest* S. This function returns -S, so that larger = keep. The
    paper's softmax temperature of 200 is omitted. The score was proposed for networks before training.

    Parameters
    ----------
    model : Module
    x, y : Tensors (n, ...), or tuple, mapping, or iterable of batches for x
        Inputs and targets, or batches (inputs, targets) without `y`.
    loss : callable
        Maps (outputs, y) to the mean loss.

    Raises
    ------
    ValueError
        If x and y differ in length or are empty, or if a score is not finite, with the name of the parameter.

    Examples
    --------
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> layer.weight.data = torch.tensor([[3.0]])
    >>> grasp(layer, torch.ones(1, 1), torch.zeros(1, 1), loss=nn.functional.mse_loss)  # L = w^2: 3 * 2 * 6
    {'weight': tensor([[36.]])}
    """
    look, products, mean = FunctionalModel(model), Mean(), Mean()
    weights = [weight.requires_grad_() for weight in look.weights.values()]
    data = list(widened_batches(x, y))  # read twice
    with eager_eval(model), torch.enable_grad(), second_derivatives():
        for batch in data if len(data) > 1 else ():
            mean.add(_gradients(look, batch, loss), count_samples(batch[0]))
        for batch in data:
            gradients = _gradients(look, batch, loss, twice=True)
            whole = mean.values or [g.detach() for g in gradients]
            # The zero term makes a loss that is linear in the weights differentiable twice.
            parts = [(g * m).sum() + 0.0 * w.sum() for g, m, w in zip(gradients, whole, weights, strict=True)]
            products.add(torch.autograd.grad(parts, weights), count_samples(batch[0]))
    pairs = zip(look.weights.items(), products.values, strict=True)
    return finite({name: weight.detach() * image for (name, weight), image in pairs})


def fisher(
    model: nn.Module, x: Inputs, y: Any = None, *, loss: Loss = cross_entropy, chunk: int = 64
) -> dict[str, Tensor]:
    """Diagonal of the empirical Fisher information (Kunstner, Balles and Hennig, 2019), float64.

    It is the mean over samples of the squared gradient of the log-likelihood, with the labels of the data.

    Parameters
    ----------
    model : Module
    x, y : Tensors (n, ...), or tuple, mapping, or iterable of batches for x
        Inputs and labels, or batches (inputs, labels) without `y`.
    loss : callable
        Maps (outputs, y) to the mean negative log-likelihood.
    chunk : int
        Number of samples that are differentiated at once.

    Raises
    ------
    ValueError
        If x and y differ in length or are empty, or if a score is not finite, with the name of the parameter.

    Examples
    --------
    The gradients of the two samples are 1 and 3, so that the mean of the squares is 5; that of the gradients is 2.

    >>> layer, x = nn.Linear(1, 1, bias=False), torch.tensor([[1.0], [3.0]])
    >>> fisher(layer, x, torch.zeros(2), loss=lambda out, y: out.mean())
    {'weight': tensor([[5.]], dtype=torch.float64)}
    """
    look = FunctionalModel(model)
    total = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in look.weights.items()}
    count = 0
    with eager_eval(model):
        for batch in widened_batches(x, y):
            here = count_samples(batch[0])
            for first in range(0, here, chunk):
                part = rows(batch, slice(first, first + chunk), count=here)
                for name, gradient in _per_sample(look, part, loss).items():
                    total[name] += gradient.double().square().sum(0)
            count += here
    return finite({name: value / count for name, value in total.items()})


def obd(
    model: nn.Module, x: Inputs, y: Any = None, *, loss: Loss = cross_entropy, chunk: int = 64
) -> dict[str, Tensor]:
    """Saliency theta^2 F / 2 with F from `fisher` (optimal brain damage: LeCun, Denker and Solla, 1990, section 2.2).

    This is the increase of the loss when the weight is set to zero, if the model is at a minimum and weights do not
    interact. The paper uses the diagonal of the Hessian. Its Gauss-Newton part is the Fisher information at a minimum
    of a negative log-likelihood, and F replaces it here.

    Parameters
    ----------
    model : Module
    x, y : Tensors (n, ...), or tuple, mapping, or iterable of batches for x
        Inputs and labels, or batches (inputs, labels) without `y`.
    loss : callable
        Maps (outputs, y) to the mean negative log-likelihood.
    chunk : int
        Number of samples that are differentiated at once.

    Examples
    --------
    >>> layer, x = nn.Linear(1, 1, bias=False), torch.tensor([[1.0], [3.0]])
    >>> layer.weight.data = torch.tensor([[2.0]])
    >>> obd(layer, x, torch.zeros(2), loss=lambda out, y: out.mean())  # 2^2 * 5 / 2
    {'weight': tensor([[10.]], dtype=torch.float64)}
    """
    found = fisher(model, x, y, loss=loss, chunk=chunk)
    weights = FunctionalModel(model).weights
    return {name: 0.5 * weights[name].double().square() * value for name, value in found.items()}


def _gradients(look: FunctionalModel, batch: Any, loss: Loss, *, twice: bool = False) -> Sequence[Tensor]:
    """Return the gradients of the loss on a batch in the weights, differentiable if `twice`."""
    inputs, targets = batch
    value = mean_loss(loss, look(look.weights, inputs), targets)
    return torch.autograd.grad(value, list(look.weights.values()), create_graph=twice, materialize_grads=True)


def _per_sample(look: FunctionalModel, batch: Any, loss: Loss) -> Mapping[str, Tensor]:
    """Return the gradients {name: Tensor (n, ...)} of the loss of each sample of a batch."""
    count, values = count_samples(batch[0]), tensors(batch)
    split = [0 if value.ndim and len(value) == count else None for value in values]

    def of_one(weights: dict[str, Tensor], parts: list[Tensor]) -> Tensor:
        single = iter(part if axis is None else part[None] for part, axis in zip(parts, split, strict=True))
        inputs, targets = map_tensors(lambda _: next(single), batch)
        return mean_loss(loss, look(weights, inputs), targets)

    try:
        return vmap(grad(of_one), in_dims=(None, split))(look.weights, values)
    except (RuntimeError, NotImplementedError):  # vmap has no rule for all of the model's operations
        weights = {name: weight.detach().requires_grad_() for name, weight in look.weights.items()}
        found = []
        with torch.enable_grad():
            for row in range(count):
                parts = [v if axis is None else v[row] for v, axis in zip(values, split, strict=True)]
                value = of_one(weights, parts)
                found.append(torch.autograd.grad(value, list(weights.values()), materialize_grads=True))
        return {name: torch.stack(parts) for name, parts in zip(weights, zip(*found, strict=True), strict=True)}
