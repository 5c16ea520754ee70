"""The functions `record` and `prune`, which `ccprune` exports with `criteria.score`."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune import criteria
from ccprune.mask import Mask
from ccprune.mask._prunable import Chosen

score = criteria.score


def record(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    names: Collection[str] = ("causal_consecutive",),
    may_skip: bool = False,
    only: Chosen | None = None,
    skip: Chosen = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> criteria.Recording:
    """Record training for the criteria `names`; the recording is a context manager.

    In the context, call `before_step(loss)` between the backward pass and the optimiser's step. For criteria with
    pairing "same_batch", also call `after_step(loss)` after the step, with the loss of the same mini-batch.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer
        Must hold every recorded weight.
    names : collection of str
        Names of criteria. Those that record nothing are ignored.
    may_skip : bool, default False
        Whether steps may be omitted, as by a `torch.amp.GradScaler`.
    only, skip : collection of str and Module
        Weights that are recorded, and weights that are not: modules, or names of modules or parameters.
    options : mapping of name to {argument: value}, optional
        Arguments of a criterion's store, such as `{"legcnet": {"window": 20}}`.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        For an invalid argument, with its name, for a loss that is not finite, and for calls in a wrong order.

    Examples
    --------
    >>> model = nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with record(model, optimizer) as recording:
    ...     for x in torch.eye(2).repeat(3, 1):
    ...         loss = model(x).square().mean()
    ...         optimizer.zero_grad(); loss.backward()
    ...         recording.before_step(loss)
    ...         optimizer.step()
    >>> score("causal_consecutive", model, recording=recording)["weight"].shape
    torch.Size([1, 2])
    """
    return criteria.Recording(model, optimizer, names, may_skip=may_skip, only=only, skip=skip, options=options)


def prune(
    model: nn.Module,
    scores: Mapping[str, Tensor],
    *,
    sparsity: float | Mapping[str, float],
    allocation: str = "global",
    protect: Iterable[str] = (),
    min_per_layer: int = 0,
) -> Mask:
    """Set the weights with the lowest scores to zero, in place, and return the mask.

    Exactly the requested number of weights is pruned. They stay zero during further training only under
    `mask.enforce(model, optimizer)`.

    Parameters
    ----------
    model : Module
    scores : mapping of name to Tensor
        Scores of every prunable weight, larger = keep.
    sparsity : float or {name: float}
        Pruned fraction of all weights, or of the parameters or modules that are named; '' names all others.
    allocation : {"global", "uniform", "erk", "lamp"}
        Numbers of pruned weights in the layers, see `Mask.from_scores`.
    protect : collection of str
        Parameters or modules that are not pruned. Other weights are pruned instead.
    min_per_layer : int
        Smallest number of weights that each layer keeps.

    Raises
    ------
    TypeError, ValueError
        For an invalid argument, with its name. The model is then unchanged.

    Examples
    --------
    >>> model = nn.Linear(8, 4)
    >>> mask = prune(model, score("magnitude", model), sparsity=0.75)
    >>> mask.kept, int((model.weight != 0).sum())
    (8, 8)
    """
    mask = Mask.from_scores(
        scores, sparsity=sparsity, allocation=allocation, protect=protect, min_per_layer=min_per_layer
    )
    mask.apply_(model)
    return mask
