"""Conversion between weight tensors and columns: one Lasso per weight tensor, and scores in the weights' shapes."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from ccprune._util.checks import listed
from ccprune.lasso.problem import LassoResult

_Found = TypeVar("_Found")
_FEATURES = (1, 3)  # the squared change; with momentum two squared changes and the product of the changes


def by_tensor(
    solver: Callable[..., _Found], X: Tensor, y: Tensor, *args: Any, shapes: Mapping[str, Sequence[int]], **options: Any
) -> dict[str, _Found]:
    """Solve one problem per weight tensor (the 2024 protocol) instead of one over all tensors (2025).

    Parameters
    ----------
    solver : callable
        `exact`, `path`, `ranking` or `truncated_gradient`, called as solver(columns, y, *args, **options).
    X : Tensor (T, P) or (T, 3 P)
        Columns in the order of `shapes`; with momentum the first feature of all weights, then the second and third.
    y : Tensor (T,)
        Loss changes.
    shapes : {name: shape}
        Shapes of the weight tensors, in the order of the columns.

    Returns
    -------
    dict
        {name: result of the solver}.

    Raises
    ------
    ValueError
        If X has neither one nor three columns per weight.
    """
    sizes, features = _sizes(X.shape[-1], "X", shapes)
    columns = X.unflatten(1, (features, -1)).split(list(sizes.values()), dim=2)
    return {name: solver(part.flatten(1), y, *args, **options) for name, part in zip(sizes, columns, strict=True)}


def as_scores(
    found: LassoResult | Tensor | Mapping[str, LassoResult | Tensor], shapes: Mapping[str, Sequence[int]]
) -> dict[str, Tensor]:
    """Convert results of the solvers to scores in the shapes of the weights.

    Parameters
    ----------
    found : LassoResult, Tensor, or mapping of these by name
        A result, whose scores are |coef|, or a `ranking`; one over all tensors, or one for each tensor.
    shapes : {name: shape}
        Shapes of the weight tensors, in the order of the columns.

    Returns
    -------
    {name: Tensor}
        Scores in the shape of each weight tensor; with three features per weight, the largest of the three.

    Raises
    ------
    ValueError
        If sizes or names do not fit `shapes`.
    """
    if not isinstance(found, Mapping):
        values = _values(found)
        sizes, features = _sizes(len(values), "found", shapes)
        parts = values.view(features, -1).amax(0).split(list(sizes.values()))
        return {name: part.view(*shapes[name]) for name, part in zip(sizes, parts, strict=True)}
    if set(found) != set(shapes):
        raise ValueError(f"found must have the names {listed(sorted(shapes))}, got {listed(sorted(found))}")
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
