"""What acting on single weights does to the loss: answers that paper B's score can be held against.

The paper (arXiv 2412.03035) regresses and does not intervene; what "this weight causes the loss to fall" could mean if
one acts is ours (Pearl 2009, chapter 1). A problem has the attributes model, x, y and loss, as `synthetic.Problem`
does: a model that maps x (N, d) to outputs, and a loss of outputs and y, all on one device. All of its parameters are
laid out in one row of P numbers, in the order of `model.parameters()`, so that many copies are trained side by side.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parameters_to_vector

from ccprune.mask import prunable

Batches = Sequence[tuple[Tensor, Tensor]]


def loss_of(problem: Any) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss as a function of all parameters in one row and of a batch.

    Parameters
    ----------
    problem : Problem
        Object with the attributes `model` and `loss`, see the module.

    Returns
    -------
    callable
        Maps a row of parameters (P,), x and y to the loss, a Tensor ().
    """
    shapes = {name: parameter.shape for name, parameter in problem.model.named_parameters()}
    sizes = [shape.numel() for shape in shapes.values()]

    def loss(row: Tensor, x: Tensor, y: Tensor) -> Tensor:
        parts = zip(shapes.items(), row.split(sizes), strict=True)
        parameters = {name: part.view(shape) for (name, shape), part in parts}
        return problem.loss(functional_call(problem.model, parameters, (x,)), y)

    return loss


def places(model: nn.Module) -> Tensor:
    """Return where in a row of all parameters the prunable ones are.

    Parameters
    ----------
    model : Module
        The network.

    Returns
    -------
    Tensor (P,), bool
    """
    names = prunable(model)
    return torch.cat(
        [torch.full_like(p, name in names, dtype=torch.bool).flatten() for name, p in model.named_parameters()]
    )


def sgd_paths(problem: Any, batches: Batches, *, lr: float, held: Tensor | None = None) -> Tensor:
    """Train several copies of a model by plain SGD over the same mini-batches, and return their parameters.

    Parameters
    ----------
    problem : Problem
        Object with the attributes `model` and `loss`, see the module. The runs start from the parameters of `model`,
        which is not changed.
    batches : sequence of (Tensor, Tensor)
        T mini-batches (x, y).
    lr : float
        Learning rate.
    held : Tensor (R, P), bool, optional
        Parameters that each of R runs keeps at their start. Without it there is one run that keeps none.

    Returns
    -------
    Tensor (T + 1, R, P)
        Parameters before the first and after every step.

    Raises
    ------
    ValueError
        If `held` has not P columns.
    """
    begin = parameters_to_vector(problem.model.parameters()).detach()
    if held is None:
        held = torch.zeros_like(begin, dtype=torch.bool)[None]
    if held.ndim != 2 or held.shape[1] != len(begin):
        raise ValueError(f"held must have shape (R, {len(begin)}), got {tuple(held.shape)}")
    slope = vmap(grad(loss_of(problem)), (0, None, None))
    path = [begin.expand(held.shape)]
    for x, y in batches:
        path.append(path[-1] - lr * slope(path[-1], x, y).masked_fill(held, 0.0))
    return torch.stack(path)


def intervene(problem: Any, batches: Batches, *, lr: float, path: Tensor | None = None) -> pd.DataFrame:
    """Return the rise of the loss by three interventions on each prunable weight, one weight at a time.

    Training is `sgd_paths` over `batches`, and the loss is that of all of the problem's (x, y). Setting back: after a
    step the weight is set to its value before, and the rise of the loss is summed over the steps. Freezing: the whole
    training is repeated with the weight at its start. Removing: after training the weight is set to 0 without training
    again, as in pruning.

    Parameters
    ----------
    problem : Problem
        Object with the attributes model, x, y and loss, see the module.
    batches : sequence of (Tensor, Tensor)
        T mini-batches (x, y), at least one.
    lr : float
        Learning rate.
    path : Tensor (T + 1, 1, P), optional
        Result of `sgd_paths` for these batches, if it is known already.

    Returns
    -------
    pandas.DataFrame
        One row per prunable weight, in the order of `places`; columns "setting back", "freezing", "removing".

    Raises
    ------
    ValueError
        If there are no batches.
    """
    if not batches:
        raise ValueError("batches must hold at least one mini-batch")
    chosen = places(problem.model)
    one = torch.eye(len(chosen), dtype=torch.bool, device=chosen.device)[chosen]
    path = sgd_paths(problem, batches, lr=lr) if path is None else path
    frozen = sgd_paths(problem, batches, lr=lr, held=one)
    loss = vmap(loss_of(problem), (0, None, None))

    def rise(rows: Tensor, base: Tensor) -> Tensor:
        return loss(rows, problem.x, problem.y) - loss(base, problem.x, problem.y)

    back = torch.stack([rise(torch.where(one, before, after), after) for before, after in pairwise(path)]).sum(0)
    removed = rise(path[-1].masked_fill(one, 0.0), path[-1])
    rises = {"setting back": back, "freezing": rise(frozen[-1], path[-1]), "removing": removed}
    return pd.DataFrame({name: values.cpu() for name, values in rises.items()})
