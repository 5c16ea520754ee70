"""Verdicts on a published figure or a claim."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ccprune.stats.intervals import Interval, PairedDifference, check_level, check_sample

#: The only words a cell's verdict may be. "underspecified" is given by hand, where the paper leaves a
#: setting open.
VERDICTS = ("identical", "within_noise", "not_reproduced", "underspecified", "not_published")


def claim_holds(
    difference: Interval | PairedDifference, *, better: Literal["lower", "higher"], margin: float = 0.0
) -> Literal["holds", "does not hold", "undecided"]:
    """Say whether a claim about a difference (method minus reference) holds, from its interval.

    With margin 0 the claim is that the method is better ("needs fewer epochs"); with a positive margin, in
    the difference's units, that it is not worse by as much as the margin ("keeps accuracy"). It holds when
    the whole interval says so, does not hold when none of it does, and is undecided otherwise.

    Raises
    ------
    ValueError
        If `better` is another word or `margin` is negative.
    """
    if better not in ("lower", "higher"):
        raise ValueError(f"better must be 'lower' or 'higher', got {better!r}")
    if not margin >= 0:
        raise ValueError(f"margin must be 0 or positive, got {margin!r}")
    if better == "higher":
        worst, best = difference.low, difference.high
    else:
        worst, best = -difference.high, -difference.low
    if worst > -margin:
        return "holds"
    return "does not hold" if best <= -margin else "undecided"


def verdict_exact(published: float | None, ours: float | None, *, decimals: int) -> str:
    """Compare a deterministic re-run with the published figure, at the published number of decimals.

    Both rounding and truncation of `ours` are accepted, because the papers' tables mix the two.

    Parameters
    ----------
    published
        The paper's figure, or None where it prints none.
    ours
        The re-run's figure, or None where there is none (a benchmark never reached).
    decimals
        Decimals the paper prints.

    Returns
    -------
    str
        "identical", "not_reproduced" or "not_published".

    Raises
    ------
    ValueError
        If `published` has more decimals than `decimals`, or a number is not finite.
    """
    if published is None:
        return "not_published"
    target, step = _published(published, decimals)
    if ours is None:
        return "not_reproduced"
    value = _decimal(ours, "ours")
    modes = (ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_DOWN)
    return "identical" if any(value.quantize(step, mode) == target for mode in modes) else "not_reproduced"


def prediction_range(sample: ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """Central range in which one further run falls with probability `level`, whatever the distribution.

    Order statistics at ranks q (n + 1), interpolated. Below n = 2 / (1 - level) - 1 runs (39 for 95%) no
    range of order statistics reaches `level`; then this is the smallest and the largest run, and covers (n -
    1) / (n + 1).

    Parameters
    ----------
    sample : (n,)
        Single runs, n >= 2. Infinity stands for a run that never reached the benchmark; NaN is refused.
    level
        Coverage, between 0 and 1.

    Raises
    ------
    ValueError
        For an argument outside the above.
    """
    ordered = np.sort(check_sample(sample, "sample", finite=False))
    check_level(level)

    def at(quantile: float) -> float:
        rank = np.clip(quantile * (len(ordered) + 1), 1, len(ordered)) - 1
        below, above = ordered[int(np.floor(rank))], ordered[int(np.ceil(rank))]
        return float(below if below == above else below + (rank - np.floor(rank)) * (above - below))

    return at((1 - level) / 2), at((1 + level) / 2)


def verdict_sample(published: float | None, sample: ArrayLike, *, decimals: int, level: float = 0.95) -> str:
    """Compare a published figure with our runs over many seeds.

    The published figure is one run, so it is held against the `prediction_range` of single runs, not against
    the much narrower interval of their mean. It stands for every value that rounds or truncates to it at the
    printed `decimals`, so that an accuracy of 120/137 is not outside a range that ends there because the
    paper prints .8759.

    Returns
    -------
    str
        "within_noise", "not_reproduced" or "not_published" (published None).

    Raises
    ------
    ValueError
        As `prediction_range` and `verdict_exact`.
    """
    low, high = prediction_range(sample, level=level)
    if published is None:
        return "not_published"
    target, step = _published(published, decimals)
    inside = target - step / 2 <= high and low < target + step
    return "within_noise" if inside else "not_reproduced"


def _published(value: float, decimals: int) -> tuple[Decimal, Decimal]:
    """Return the published figure and one unit of its last printed decimal."""
    step = Decimal(1).scaleb(-decimals)
    target = _decimal(value, "published")
    if target != target.quantize(step):
        raise ValueError(f"published must have at most {decimals} decimals, got {value!r}")
    return target, step


def _decimal(value: float, name: str) -> Decimal:
    number = Decimal(repr(float(value)))
    if not number.is_finite():
        raise ValueError(f"{name} must be finite, got {value!r}")
    return number
