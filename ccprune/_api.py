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

    In the context, call `before(loss)` between the backward pass and the optimiser's step. For criteria with pairing
    "same_batch", also call `after(loss)` after the step, with the loss of the same mini-batch. With a
    `torch.amp.GradScaler`, which omits steps, `may_skip=True` is needed. Arguments and errors: `criteria.Recording`.
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
    `mask.enforce(model, optimizer)`. Arguments and errors are those of `Mask.from_scores` and `Mask.apply_`.

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
