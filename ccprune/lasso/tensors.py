"""From tensors to columns and back: one Lasso per weight tensor, and scores in the shape of the weights."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from ccprune.lasso.problem import LassoResult

_Found = TypeVar("_Found")
_FEATURES = (1, 3)  # squared change; with momentum two squared changes and their product


def by_tensor(
    solver: Callable[..., _Found], X: Tensor, y: Tensor, *args: Any, shapes: Mapping[str, Sequence[int]], **options: Any
) -> dict[str, _Found]:
    """One problem per weight tensor (the 2024 protocol) instead of one over all (2025), by any solver of this package.

    Parameters
    ----------
    solver : callable
        `exact`, `path`, `ranking` or `truncated_gradient`, called as solver(columns, y, *args, **options).
    X : Tensor (T, P) or (T, 3 P)
        Columns in the order of `shapes`; with momentum all weights' first feature, then their second and third.
    y : Tensor (T,)
    shapes : {name: shape}
        Of the weight tensors, in the order of the columns.

    Raises
    ------
    ValueError
        When X has neither one nor three columns per weight.
    """
    sizes, features = _sizes(X.shape[-1], "X", shapes)
    columns = X.unflatten(1, (features, -1)).split(list(sizes.values()), dim=2)
    return {name: solver(part.flatten(1), y, *args, **options) for name, part in zip(sizes, columns, strict=True)}


def as_scores(
    found: LassoResult | Tensor | Mapping[str, LassoResult | Tensor], shapes: Mapping[str, Sequence[int]]
) -> dict[str, Tensor]:
    """Scores {name: Tensor of its shape} from one result, |coef|, or one `ranking`, over all tensors or for each.

    With three features per weight the largest counts. Raises ValueError when sizes or names do not fit `shapes`.
    """
    if not isinstance(found, Mapping):
        values = _values(found)
        sizes, features = _sizes(len(values), "found", shapes)
        parts = values.view(features, -1).amax(0).split(list(sizes.values()))
        return {name: part.view(*shapes[name]) for name, part in zip(sizes, parts, strict=True)}
    if set(found) != set(shapes):
        raise ValueError(f"found must have the names {sorted(shapes)}, got {sorted(found)}")
    return {name: as_scores(found[name], {name: shape})[name] for name, shape in shapes.items()}


def _values(found: LassoResult | Tensor) -> Tensor:
    return found.coef.abs() if isinstance(found, LassoResult) else found


def _sizes(columns: int, argument: str, shapes: Mapping[str, Sequence[int]]) -> tuple[dict[str, int], int]:
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    total = sum(sizes.values())
    for features in _FEATURES:
        if columns == features * total and total > 0:
            return sizes, features
    raise ValueError(f"{argument} must have one or three columns for each of the {total} weights, got {columns}")
