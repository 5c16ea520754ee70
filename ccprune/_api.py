"""The functions `record`, `score` and `prune`, which `ccprune` exports."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune import criteria
from ccprune._util.inputs import Inputs
from ccprune.mask import Mask
from ccprune.mask._prunable import Chosen


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
    """Record training for the criteria that use it; the recording is a context manager.

    In the context, call `before(loss)` between the backward pass and the optimiser's step. For criteria with pairing
    "same_batch", also call `after(loss)` after the step, with the loss of the same mini-batch. With a
    `torch.amp.GradScaler`, which omits steps, `may_skip=True` is needed. The arguments and errors are those of
    `criteria.Recording`.
    """
    return criteria.Recording(model, optimizer, names, may_skip=may_skip, only=only, skip=skip, options=options)


def score(
    criterion: str,
    model: nn.Module,
    *,
    recording: criteria.Recording | None = None,
    x: Inputs | None = None,
    y: Any = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    lr: float | None = None,
    seed: int = 0,
    frozen: bool = False,
    only: Chosen | None = None,
    skip: Chosen = (),
) -> dict[str, Tensor]:
    """Return scores {parameter name: Tensor}, larger = keep, of the model's prunable weights by one criterion.

    Parameters
    ----------
    criterion, model, x, y, loss, lr, seed, frozen, only, skip
        As in `criteria.score`, where the criterion is called `name`.
    recording : Recording, optional
        From `record`, with `criterion` among its `names`. It is required by criteria that use the training. Its `only`
        and `skip` apply unless others are given.

    Raises
    ------
    ValueError
        If the criterion uses the training and `recording` was not made for it; also as in `criteria.score`.
    """
    store = None if recording is None else recording.stores.get(criterion)
    if store is None and criteria.known(criterion).store is not None:
        raise ValueError(
            f"recording must be of the criterion {criterion!r}, which looks at training: "
            f"record(model, optimizer, names=[{criterion!r}]) makes one"
        )
    if store is not None and recording is not None and only is None and not skip:
        only, skip = recording.only, recording.skip
    return criteria.score(
        criterion, model, x=x, y=y, loss=loss, lr=lr, seed=seed, store=store, frozen=frozen, only=only, skip=skip
    )


def prune(
    model: nn.Module,
    scores: Mapping[str, Tensor],
    *,
    sparsity: float | Mapping[str, float],
    allocation: str = "global",
    protect: Iterable[str] = (),
    min_per_layer: int = 0,
) -> Mask:
    """Set the weights with the lowest scores to zero and return the mask.

    Exactly the requested number of weights is pruned. They stay zero during further training only under
    `mask.enforce(model, optimizer)`.

    Parameters
    ----------
    model : Module
        Changed in place.
    scores, sparsity, allocation, protect, min_per_layer
        As in `Mask.from_scores`.

    Raises
    ------
    TypeError, ValueError
        As in `Mask.from_scores` and `Mask.apply_`.

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
