"""Stability selection: which weights are chosen again and again when the records are resampled.

A single choice of weights says nothing about how many of them are there by accident. Meinshausen and Bühlmann (2010)
choose on random halves of the records and keep what is chosen often; the expected number of false choices is then
bounded by the number chosen each time. Halves come in complementary pairs (Shah and Samworth 2013), for which the bound
needs no assumption on how the false ones are related. It does need records that can be exchanged: consecutive steps of
one training run are not independent, so read the bound as a guide there.

The bound counts weights that are chosen no more often than the average weight. With the screen's covariance a weight
that moves more is chosen more often, related to the loss or not: pure noise then gives more stable weights than the
bound. The correlation is the same for all weights without a relation, and the bound counts all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ccprune._util.checks import require_at_least
from ccprune.lasso.problem import blocks, check, check_penalty

STATISTICS = ("covariance", "correlation")


@dataclass(frozen=True, eq=False)
class Stability:
    """Outcome of `select`.

    Attributes
    ----------
    frequency : Tensor (P,), float64
        Share of the halves in which the weight was chosen; a score, larger = keep.
    stable : Tensor (P,) of bool
        frequency >= threshold.
    chosen : float
        Mean number of weights chosen per half, q.
    expected_false : float
        Bound on the expected number of stable weights that a half chooses with a probability of at most q / P, as
        chance would: q^2 / ((2 threshold - 1) P), or q / threshold, the largest number of stable weights, if smaller.
    """

    frequency: Tensor
    stable: Tensor
    chosen: float
    expected_false: float


def select(
    X: Tensor,
    y: Tensor,
    *,
    count: int | None = None,
    alpha: float | None = None,
    statistic: str = "covariance",
    pairs: int = 50,
    threshold: float = 0.75,
    seed: int,
) -> Stability:
    """Choose weights repeatedly on random halves of the records.

    Parameters
    ----------
    X : Tensor (T, P)
        Squared weight changes, in memory or a file mapped into it; read once, in blocks of columns.
    y : Tensor (T,)
        Loss changes.
    count : int, optional
        The `count` largest weights are chosen in every half. The statistics of all halves are held, 8 pairs P bytes
        (float32). Exactly one of `count` and `alpha` must be given.
    alpha : float, optional
        All weights whose statistic is above `alpha` are chosen in every half.
    statistic : str, default "covariance"
        "covariance": the screen's |sum_t y_t x_t| / T over the half, uncentred. "correlation": the absolute value of
        Pearson's, 0 (to rounding) where a column does not vary.
    pairs : int, default 50
        Random complementary pairs of halves of floor(T / 2) records.
    threshold : float, default 0.75
        Share of the halves in which a stable weight is chosen, above 1/2 and at most 1.
    seed : int
        Seed of the halves.

    Returns
    -------
    Stability
        On X's device.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.
    """
    check(X, y)
    records, weights = X.shape
    if records < 4:
        raise ValueError(f"X must have at least 4 records to be halved, got {records}")
    if (count is None) == (alpha is None):
        raise ValueError(f"give either count or alpha, got count={count!r} and alpha={alpha!r}")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 0 < count < weights):
        raise ValueError(f"count must be an integer in 1..{weights - 1}, got {count!r}")
    if alpha is not None:
        check_penalty(alpha)
    require_at_least(1, pairs=pairs)
    if not 0.5 < threshold <= 1:
        raise ValueError(f"threshold must lie above 0.5 and at most 1, got {threshold!r}")
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {STATISTICS}, got {statistic!r}")
    members = _halves(records, pairs, seed).to(X.device, torch.float64)
    target = y.detach().to(X.device, torch.float64)
    statistics = _covariances(X, target, members) if statistic == "covariance" else _correlations(X, target, members)
    times = torch.zeros(weights, dtype=torch.float64, device=X.device)
    if alpha is not None:
        for part, values in statistics:
            times[part] = (values > alpha).sum(0).to(torch.float64)
    else:
        held = torch.empty(2 * pairs, weights, dtype=torch.float32, device=X.device)
        for part, values in statistics:
            held[:, part] = values.to(torch.float32)
        for row in held:
            times[row.topk(count).indices] += 1
    frequency = times / (2 * pairs)
    chosen = float(times.sum()) / (2 * pairs)
    bound = min(chosen**2 / ((2 * threshold - 1) * weights), chosen / threshold)
    return Stability(frequency, frequency >= threshold, chosen, bound)


def _covariances(X: Tensor, y: Tensor, members: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """|sum y x| / n (2 pairs, columns) of every half, block by block."""
    shares = members * y / members.sum(1, keepdim=True)
    for part, block in blocks(X):
        yield part, (shares @ block).abs()


def _correlations(X: Tensor, y: Tensor, members: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Pearson's correlation (2 pairs, columns) of every half, absolute, block by block."""
    shares = members / members.sum(1, keepdim=True)
    centred = y - (shares @ y)[:, None]  # (2 pairs, T)
    spread = (shares * centred.square()).sum(1, keepdim=True).sqrt()
    for part, block in blocks(X):
        variance = shares @ block.square() - (shares @ block).square()
        scale = variance.clamp_min(0).sqrt() * spread
        # Of a column that does not vary in the half rounding may leave a correlation of 1e-8 or so.
        yield part, torch.where(scale > 0, ((shares * centred) @ block).abs() / scale, 0.0)


def _halves(records: int, pairs: int, seed: int) -> Tensor:
    """Membership (2 pairs, T): disjoint halves in rows 2 i and 2 i + 1; of an odd number one record is in neither."""
    rng = np.random.default_rng(seed)
    members = torch.zeros(2 * pairs, records, dtype=torch.bool)
    half = records // 2
    for pair in range(pairs):
        order = torch.from_numpy(rng.permutation(records))
        members[2 * pair, order[:half]] = True
        members[2 * pair + 1, order[half : 2 * half]] = True
    return members
