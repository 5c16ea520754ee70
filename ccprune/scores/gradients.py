"""Scores from derivatives of the loss on a batch: SNIP, GraSP, diagonal Fisher information, optimal brain damage."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn.functional import cross_entropy

from ccprune.scores._functional import FunctionalModel, check_samples, eager_eval, finite, widened

Loss = Callable[[Tensor, Tensor], Tensor]


def snip(model: nn.Module, x: Tensor, y: Tensor, *, loss: Loss = cross_entropy) -> dict[str, Tensor]:
    """Connection sensitivity |theta dL/dtheta| on one batch (SNIP: Lee, Ajanthan and Torr, 2019, eq. 5).

    To first order, this is the size of the change of the loss when the weight is set to zero. The paper divides by the
    sum over all weights, which changes no rank. The score was proposed for networks before training.

    Parameters
    ----------
    model : Module
    x, y : Tensor (n, ...), (n, ...)
        Inputs of the batch, and the labels or targets that `loss` takes.
    loss : callable
        Maps (outputs, y) to the mean loss.

    Returns
    -------
    {name: Tensor}
        Scores in the weights' precision, float32 at least. A weight that the output does not depend on scores 0.

    Raises
    ------
    ValueError
        If x and y differ in length or are empty, or if a score is not finite, with the name of the parameter.
    """
    weights, gradients = _gradients(model, x, y, loss, twice=False)
    return finite({name: (weight * gradients[name]).detach().abs() for name, weight in weights.items()})


def grasp(model: nn.Module, x: Tensor, y: Tensor, *, loss: Loss = cross_entropy) -> dict[str, Tensor]:
    """Gradient signal theta * (H g) on one batch (GraSP: Wang, Zhang and Grosse, 2020, eq. 8, with the opposite sign).

    g and H are the gradient and the Hessian of the loss with respect to the prunable weights. The paper's S(-theta) =
    -theta * (H g) is, up to a factor of 2 and to first order, the change of the squared gradient norm when the weight
    is set to zero. The paper prunes the weights with the *highest* S. This function returns -S, so that larger = keep.
    A negative score means that training would be faster without the weight. The paper's softmax temperature of 200 is
    omitted. The score was proposed for networks before training.

    Arguments, precision and errors are those of `snip`. H g needs a second backward pass (float32 for half precision).
    """
    weights, gradients = _gradients(model, x, y, loss, twice=True)
    with torch.enable_grad():
        # The zero term makes a loss that is linear in the weights differentiable twice.
        parts = [(g * g.detach()).sum() + 0.0 * weights[name].sum() for name, g in gradients.items()]
        products = torch.autograd.grad(parts, list(weights.values()))
    return finite(
        {name: weight.detach() * image for (name, weight), image in zip(weights.items(), products, strict=True)}
    )


def fisher(model: nn.Module, x: Tensor, y: Tensor, *, loss: Loss = cross_entropy, chunk: int = 64) -> dict[str, Tensor]:
    """Diagonal of the empirical Fisher information (Kunstner, Balles and Hennig, 2019), float64.

    It is the mean over samples of the squared gradient of the log-likelihood. It is called empirical because the labels
    are those of the data. The errors are those of `snip`.

    Parameters
    ----------
    model : Module
        In eval mode during the computation. It returns logits, or what else `loss` takes.
    x, y : Tensor (n, ...), (n, ...)
        Inputs, and class labels, or what else `loss` takes.
    loss : callable
        Maps (outputs, y) to the mean negative log-likelihood.
    chunk : int
        Number of samples that are differentiated at once.
    """
    check_samples(x, y)
    look = FunctionalModel(model)

    def negative_log_likelihood(weights: dict[str, Tensor], sample: Tensor, label: Tensor) -> Tensor:
        return loss(look(weights, sample[None]), label[None])

    per_sample = vmap(grad(negative_log_likelihood), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in look.weights.items()}
    with eager_eval(model):
        for first in range(0, len(x), chunk):
            gradients = per_sample(look.weights, widened(x[first : first + chunk]), y[first : first + chunk])
            for name, gradient in gradients.items():
                total[name] += gradient.double().square().sum(0)
    return finite({name: value / len(x) for name, value in total.items()})


def obd(model: nn.Module, x: Tensor, y: Tensor, *, loss: Loss = cross_entropy, chunk: int = 64) -> dict[str, Tensor]:
    """Saliency theta^2 F / 2 with F from `fisher` (optimal brain damage: LeCun, Denker and Solla, 1990, section 2.2).

    This is the increase of the loss when the weight is set to zero, if the model is at a minimum and weights do not
    interact. The paper uses the diagonal of the Hessian. Its Gauss-Newton part is the Fisher information at a minimum
    of a negative log-likelihood, and F replaces it here. Arguments and errors are those of `fisher`.
    """
    found = fisher(model, x, y, loss=loss, chunk=chunk)
    weights = FunctionalModel(model).weights
    return {name: 0.5 * weights[name].double().square() * value for name, value in found.items()}


def _gradients(
    model: nn.Module, x: Tensor, y: Tensor, loss: Loss, *, twice: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return detached prunable weights and the gradients of the loss in them, differentiable if `twice`."""
    check_samples(x, y)
    look = FunctionalModel(model)
    weights = {name: weight.requires_grad_() for name, weight in look.weights.items()}
    with eager_eval(model), torch.enable_grad():
        value = loss(look(weights, widened(x)), y)
        if value.numel() != 1:
            raise ValueError(f"loss must give one number, got shape {tuple(value.shape)}")
        found = torch.autograd.grad(value, list(weights.values()), create_graph=twice, materialize_grads=True)
    return weights, dict(zip(weights, found, strict=True))
