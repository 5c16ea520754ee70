"""Masks of B networks with M weights each, as `keep` of the batched trainers: (B, M) bool, True = keep."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ccprune.mask import drop_lowest


def remove_lowest(scores: Tensor, removed: Tensor | Sequence[int]) -> Tensor:
    """Return masks that prune each network's weights of lowest score, ties by index.

    Parameters
    ----------
    scores : Tensor (B, M)
        Scores; low ones are pruned.
    removed : Tensor or sequence of int (B,)
        Number of weights to prune in each network.

    Returns
    -------
    Tensor (B, M), bool
        True = keep.
    """
    counts = torch.as_tensor(removed).tolist()
    return torch.stack([drop_lowest(row, count) for row, count in zip(scores, counts, strict=True)])


def remove_random(removed: Tensor | Sequence[int], weights: int, *, seed: int, first: int = 0) -> Tensor:
    """Return masks that prune weights at random.

    Parameters
    ----------
    removed : Tensor or sequence of int (B,)
        Number of weights to prune in each network.
    weights : int
        Number of weights M.
    seed : int
        Seed of the draws. Row b depends on `seed` and `first` + b only.
    first : int, default 0
        Number of the first network.

    Returns
    -------
    Tensor (B, M), bool
        True = keep.
    """
    keep = torch.ones(len(removed), weights, dtype=torch.bool)
    for b, count in enumerate(torch.as_tensor(removed).tolist()):
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(first + b,)))
        keep[b, torch.from_numpy(generator.permutation(weights)[:count])] = False
    return keep


def masks_from_lists(lists: Iterable[Iterable[int]], weights: int) -> Tensor:
    """Return masks that prune the listed weights, counted as in `ensemble.MLPBatch`.

    Parameters
    ----------
    lists : iterable of iterable of int
        Indices of the pruned weights of each network.
    weights : int
        Number of weights M.

    Returns
    -------
    Tensor (B, M), bool
        True = keep.

    Raises
    ------
    ValueError
        If an index is outside 0..weights - 1.
    """
    rows = []
    for removed in lists:
        row = torch.ones(weights, dtype=torch.bool)
        index = torch.tensor(sorted(removed), dtype=torch.int64)
        if len(index) and not (0 <= int(index[0]) and int(index[-1]) < weights):
            raise ValueError(f"lists must hold indices in 0..{weights - 1}, got {index.tolist()}")
        row[index] = False
        rows.append(row)
    return torch.stack(rows)


def jaccard_pruned(a: Tensor, b: Tensor) -> Tensor:
    """Return the Jaccard index of the weights that two masks prune.

    Parameters
    ----------
    a, b : Tensor (B, M), bool
        Masks, True = keep.

    Returns
    -------
    Tensor (B,)
        1 where neither mask prunes any weight.
    """
    both, either = (~a & ~b).sum(1), (~a | ~b).sum(1)
    return torch.where(either == 0, 1.0, both / either.clamp_min(1))
