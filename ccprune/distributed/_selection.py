"""Exact selection of the k lowest scores across ranks, in a fixed number of rounds of a few kilobytes each.

Float64 values without NaN have the order of their bits read as integers, once the bits of negative numbers are flipped.
The k-th lowest score can therefore be found digit by digit. In each of 8 rounds the ranks sum how many of the scores
that agree with the digits found so far have each of the 256 values of the next digit. Scores below the k-th lowest are
pruned, and of the scores equal to it, the first ones.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ccprune.distributed.layout import Layout

_BITS = 8  # bits per digit
_LOWEST = -(1 << 63)


def drop_lowest(
    scores: Mapping[str, Tensor], counts: Sequence[tuple[Sequence[str], int]], layout: Layout
) -> dict[str, Tensor]:
    """Return {name: bool Tensor of the part's shape} with False at the k lowest scores of each family of tensors.

    Parameters
    ----------
    scores : mapping of name to Tensor
        Scores of this rank's parts, without NaN.
    counts : sequence of (names, k)
        Families of tensors, each with the number of weights to prune. Equal scores are pruned in the order of the
        names, then of the index in the whole tensor.
    """
    bounds, left = _thresholds(scores, counts, layout)
    families = list(zip(bounds, left, [names for names, _ in counts], strict=True))
    equal = {name: _keys(scores[name]) == bound for bound, _, names in families for name in names}
    ties = torch.stack([places.sum() for places in equal.values()]).to(layout.device)
    ranks = [torch.empty_like(ties) for _ in range(dist.get_world_size(layout.group))]
    dist.all_gather(ranks, ties, group=layout.group)
    of_tensor = dict(zip(equal, torch.stack(ranks, 1).tolist(), strict=True))  # {name: ties on each rank}
    rank = dist.get_rank(layout.group)
    keep = {}
    for bound, quota, names in families:
        for name in names:
            mine = quota - sum(of_tensor[name][:rank])  # can be negative, or exceed the number of ties
            order = equal[name].flatten().cumsum(0).reshape(equal[name].shape)
            keep[name] = (_keys(scores[name]) > bound) | (equal[name] & (order > mine))
            quota -= min(quota, sum(of_tensor[name]))
    return keep


def _thresholds(
    scores: Mapping[str, Tensor], counts: Sequence[tuple[Sequence[str], int]], layout: Layout
) -> tuple[list[int], list[int]]:
    """Return for each family the key of its k-th lowest score, and how many scores equal to it are among the k."""
    found = [0] * len(counts)  # the digits so far, of keys counted from the lowest
    left = [count for _, count in counts]
    for shift in range(64 - _BITS, -1, -_BITS):
        table = torch.stack(
            [
                sum(_histogram(_keys(scores[name]), prefix, shift) for name in names)
                for prefix, (names, _) in zip(found, counts, strict=True)
            ]
        )
        for family, row in enumerate(layout.total(table).cumsum(1).cpu()):
            digit = int((row < left[family]).sum())  # the first value at which the cumulative count reaches k
            left[family] -= int(row[digit - 1]) if digit else 0
            found[family] = (found[family] << _BITS) | digit
    return [key + _LOWEST for key in found], left


def _histogram(keys: Tensor, prefix: int, shift: int) -> Tensor:
    """Count, among the keys that begin with the prefix, each value (2^bits,) of the next digit."""
    unsigned = keys.flatten() ^ _LOWEST
    above = shift + _BITS
    if above < 64:
        unsigned = unsigned[(unsigned >> above) & ((1 << (64 - above)) - 1) == prefix]
    return torch.bincount((unsigned >> shift) & ((1 << _BITS) - 1), minlength=1 << _BITS)


def _keys(score: Tensor) -> Tensor:
    """Return integers in the order of the scores; -0.0 is converted to 0.0, to which it is equal."""
    bits = (score.to(torch.float64) + 0.0).view(torch.int64)
    return torch.where(bits < 0, bits ^ ~_LOWEST, bits)
