"""Scores from the weights alone, and ranks of any score within layers or rows."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ccprune._util.checks import require_one_of
from ccprune.mask import prunable
from ccprune.mask._allocation import lamp as layer_adaptive


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """Absolute value of each prunable weight (Han et al., 2015).

    Parameters
    ----------
    model : Module

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, -0.5]])
    >>> magnitude(layer)
    {'weight': tensor([[3.0000, 0.5000]])}
    """
    return {name: weight.detach().abs().clone() for name, weight in prunable(model).items()}


def random(model: nn.Module, *, seed: int) -> dict[str, Tensor]:
    """Independent uniform random numbers, the control that any other score must outperform.

    Parameters
    ----------
    model : Module
    seed : int

    Examples
    --------
    >>> first, again = (random(nn.Linear(2, 3), seed=0)["weight"] for _ in range(2))
    >>> bool((first == again).all())
    True
    """
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(weight.shape, generator=generator, dtype=torch.float64).to(weight.device)
        for name, weight in prunable(model).items()
    }


def lamp(model: nn.Module) -> dict[str, Tensor]:
    """Layer-adaptive magnitude (Lee et al., 2021, "Layer-adaptive sparsity for the magnitude-based pruning", eq. 1).

    The score is w^2 divided by the sum of the squares of the weights of its layer that are not smaller, so that each
    layer keeps at least its largest weight. Of equal weights the earlier counts as the smaller. The allocation "lamp"
    of `Mask.from_scores` computes the same from any scores.

    Parameters
    ----------
    model : Module

    Examples
    --------
    >>> layer = nn.Linear(3, 1)
    >>> layer.weight.data = torch.tensor([[1.0, 2.0, 3.0]])
    >>> [round(float(score), 2) for score in lamp(layer)["weight"][0]]  # 1/14, 4/13 and 9/9
    [0.07, 0.31, 1.0]
    """
    return {name: layer_adaptive(name, weight) for name, weight in magnitude(model).items()}


def ranks(scores: Mapping[str, Tensor], *, within: str, rows: Mapping[str, int] | None = None) -> dict[str, Tensor]:
    """Return ranks in (0, 1) within each tensor ("layer") or each output unit or channel ("row").

    A mask over all layers that is made from ranks prunes the same share of every group, up to rounding. The lowest of n
    scores becomes 0.5 / n and the highest 1 - 0.5 / n. Of equal scores the earlier has the lower rank.

    Parameters
    ----------
    scores : mapping of name to Tensor
    within : {"layer", "row"}
    rows : mapping of name to int, optional
        Axis of the output units of tensors where it is not the first, as in transposed convolutions.

    Raises
    ------
    ValueError
        For another `within`, and for NaN, with the name of the parameter.

    Examples
    --------
    >>> found = ranks({"weight": torch.tensor([[1.0, 9.0], [30.0, 20.0]])}, within="row")
    >>> found["weight"].tolist()
    [[0.25, 0.75], [0.75, 0.25]]
    """
    require_one_of(("layer", "row"), within=within)
    found = {}
    for name, score in scores.items():
        if bool(score.isnan().any()):
            raise ValueError(f"scores[{name!r}] holds NaN")
        axis = (rows or {}).get(name, 0)
        moved = score.detach().movedim(axis, 0)
        groups = moved.flatten(1) if within == "row" else score.detach().reshape(1, -1)
        # The inverse of the sorting permutation is the rank.
        positions = groups.argsort(dim=1, stable=True).argsort(dim=1)
        ranked = (positions.double() + 0.5) / groups.shape[1]
        found[name] = ranked.reshape(moved.shape).movedim(0, axis) if within == "row" else ranked.reshape(score.shape)
    return found
