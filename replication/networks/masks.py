"""Masks of B networks with M weights each, as `keep` of the batched trainers: (B, M) bool, True = keep."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ccprune.mask import drop_lowest


def remove_lowest(scores: Tensor, removed: Tensor | Sequence[int]) -> Tensor:
    """Return masks that prune each network's `removed` (B,) weights of lowest score (B, M), ties by index."""
    counts = torch.as_tensor(removed).tolist()
    return torch.stack([drop_lowest(row, count) for row, count in zip(scores, counts, strict=True)])


def remove_random(removed: Tensor | Sequence[int], weights: int, *, seed: int, first: int = 0) -> Tensor:
    """Return masks that prune `removed` (B,) of the M = `weights` weights at random.

    Row b depends on `seed` and first + b only.
    """
    keep = torch.ones(len(removed), weights, dtype=torch.bool)
    for b, count in enumerate(torch.as_tensor(removed).tolist()):
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(first + b,)))
        keep[b, torch.from_numpy(generator.permutation(weights)[:count])] = False
    return keep


def masks_from_lists(lists: Iterable[Iterable[int]], weights: int) -> Tensor:
    """Return masks that prune the listed weights, counted as in `ensemble.MLPBatch`.

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
    """Return the Jaccard index (B,) of the weights that masks a and b prune, 1 where neither prunes any."""
    both, either = (~a & ~b).sum(1), (~a | ~b).sum(1)
    return torch.where(either == 0, 1.0, both / either.clamp_min(1))
