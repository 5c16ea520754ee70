"""Three of the functions that `ccprune` exports: record, score, prune."""

from collections.abc import Callable, Collection, Iterable, Mapping

from torch import Tensor, nn
from torch.optim import Optimizer

from ccprune import criteria
from ccprune.mask import Mask


def record(
    model: nn.Module, optimizer: Optimizer, *, names: Collection[str] = ("causal_consecutive",)
) -> criteria.Recording:
    """Records training for criteria that look at it; use as a context manager.

    In it, call `before(loss)` between backward and the optimiser's step, and, for criteria with pairing "same_batch",
    `after(loss of the same batch)` behind the step. Raises as `criteria.Recording`.
    """
    return criteria.Recording(model, optimizer, names)


def score(
    criterion: str,
    model: nn.Module,
    *,
    recording: criteria.Recording | None = None,
    x: Tensor | None = None,
    y: Tensor | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    rate: float | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Scores {parameter name: Tensor}, larger = keep; as `criteria.score`, which says what the arguments are.

    A criterion that looks at training needs a `recording` that was made for it: ValueError if it is not.
    """
    store = None if recording is None else recording.stores.get(criterion)
    if store is None and criteria.known(criterion).store is not None:
        raise ValueError(
            f"recording must be of the criterion {criterion!r}, which looks at training: "
            f"record(model, optimizer, names=[{criterion!r}]) makes one"
        )
    return criteria.score(criterion, model, x=x, y=y, loss=loss, rate=rate, seed=seed, store=store)


def prune(
    model: nn.Module,
    scores: Mapping[str, Tensor],
    *,
    sparsity: float,
    scope: str = "global",
    protect: Iterable[str] = (),
    min_per_layer: int = 0,
) -> Mask:
    """Sets the lowest scores' weights to zero, exactly so many, and returns the mask.

    Arguments and errors as `Mask.from_scores`. The weights stay zero in training only under `mask.enforce(model,
    optimizer)`.

    >>> model = nn.Linear(8, 4)
    >>> mask = prune(model, score("magnitude", model), sparsity=0.75)
    >>> mask.kept, int((model.weight != 0).sum())
    (8, 8)
    """
    mask = Mask.from_scores(scores, sparsity=sparsity, scope=scope, protect=protect, min_per_layer=min_per_layer)
    mask.apply_(model)
    return mask
