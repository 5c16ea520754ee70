"""Verdicts on a published figure: identical to a re-run, or within the noise of single runs."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ccprune.stats.samples import check_sample

_LEVEL = 0.95  # coverage of a range


def verdict_exact(published: float, ours: float | None, *, decimals: int) -> Literal["identical", "outside"]:
    """Compare a deterministic re-run with the published figure, at the published number of decimals.

    Both rounding and truncation of `ours` are accepted, because the papers' tables use both.

    Parameters
    ----------
    published : float
        The paper's figure.
    ours : float or None
        The re-run's figure, or None where there is none, for example because the benchmark was never reached.
    decimals : int
        Number of decimals that the paper prints.

    Returns
    -------
    str
        "identical" or "outside".

    Raises
    ------
    ValueError
        If `published` has more decimals than `decimals`, or a number is not finite.
    """
    target, step = _published_and_unit(published, decimals)
    if ours is None:
        return "outside"
    value = _decimal(ours, "ours")
    modes = (ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_DOWN)
    return "identical" if any(value.quantize(step, mode) == target for mode in modes) else "outside"


def prediction_range(sample: ArrayLike) -> tuple[float, float]:
    """Return the central range that contains one further run with a probability of 95%.

    The range is distribution-free: its ends are order statistics at ranks q (n + 1), interpolated. With fewer than
    39 runs no range of order statistics has this coverage. The ends are then the smallest and the largest run, and
    the coverage is (n - 1) / (n + 1).

    Parameters
    ----------
    sample : array_like (n,)
        Single runs, n >= 2. Infinity stands for a run that never reached the benchmark.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        If the sample has fewer than 2 values or a NaN.
    """
    ordered = np.sort(check_sample(sample, "sample", finite=False))

    def value_at(quantile: float) -> float:
        rank = np.clip(quantile * (len(ordered) + 1), 1, len(ordered)) - 1
        below, above = ordered[int(np.floor(rank))], ordered[int(np.ceil(rank))]
        return float(below if below == above else below + (rank - np.floor(rank)) * (above - below))

    return value_at((1 - _LEVEL) / 2), value_at((1 + _LEVEL) / 2)


def range_coverage(n: int) -> float:
    """Return the coverage of `prediction_range` for n runs: lower than 95% for few."""
    return min(_LEVEL, (n - 1) / (n + 1))


def pooled_range(sample: ArrayLike, groups: Sequence[ArrayLike]) -> tuple[float, float] | None:
    """Return the central 95% range of one further run where each setting has too few runs for `prediction_range`.

    The standard deviation of single runs is pooled over settings, on the logarithm where all values are positive. The
    range is mean -/+ t s sqrt(1 + 1/n) with Student's t for the pooled degrees of freedom. It has its nominal coverage
    where single runs are normal with the same standard deviation in all settings.

    Parameters
    ----------
    sample : array_like (n,)
        Single runs of the setting.
    groups : sequence of array_like
        Single runs of every setting, the sample's too.

    Returns
    -------
    low, high : float
        None with fewer than 2 degrees of freedom.

    Raises
    ------
    ValueError
        If the sample is empty or a value is not finite.
    """
    values, parts = np.asarray(sample, float), [np.asarray(part, float) for part in groups]
    if not len(values) or not all(np.isfinite(part).all() for part in (values, *parts)):
        raise ValueError("sample and groups must have finite values, at least one in the sample")
    if sum(len(part) - 1 for part in parts) < 2:
        return None
    logarithmic = all((part > 0).all() for part in (values, *parts))
    if logarithmic:
        values, parts = np.log(values), [np.log(part) for part in parts]
    from scipy.stats import t as student  # slow to import, and most commands compare nothing

    variance, freedom = pooled_variance(parts)
    half = student.ppf((1 + _LEVEL) / 2, freedom) * np.sqrt(variance * (1 + 1 / len(values)))
    ends = values.mean() - half, values.mean() + half
    return (float(np.exp(ends[0])), float(np.exp(ends[1]))) if logarithmic else (float(ends[0]), float(ends[1]))


def pooled_variance(groups: Sequence[ArrayLike]) -> tuple[float, int]:
    """Return the variance within settings, which have one group of runs each, and its degrees of freedom."""
    freedom = sum(len(one) - 1 for one in groups)
    return sum(float(np.var(one)) * len(one) for one in groups) / freedom, freedom


def verdict_sample(published: float, sample: ArrayLike, *, decimals: int) -> Literal["within_noise", "outside"]:
    """Compare a published figure with our runs over many seeds.

    The published figure is one run. It is therefore compared with the `prediction_range` of single runs, not with the
    much narrower interval of their mean. It represents every value that rounds or truncates to it at the printed
    `decimals`. Otherwise an accuracy of 120/137, printed as .8759, would be outside a range that ends at 120/137.

    Parameters
    ----------
    published : float
        The paper's figure.
    sample : array_like (n,)
        Our runs, as in `prediction_range`.
    decimals : int
        Number of decimals that the paper prints.

    Returns
    -------
    str
        "within_noise" or "outside".

    Raises
    ------
    ValueError
        As `prediction_range` and `verdict_exact`.
    """
    return verdict_range(published, prediction_range(sample), decimals=decimals)


def verdict_range(published: float, ends: tuple[float, float], *, decimals: int) -> Literal["within_noise", "outside"]:
    """Compare a published figure with a `prediction_range`, as `verdict_sample` does with the range of a sample."""
    low, high = ends
    target, step = _published_and_unit(published, decimals)
    inside = target - step / 2 <= high and low < target + step
    return "within_noise" if inside else "outside"


def _published_and_unit(value: float, decimals: int) -> tuple[Decimal, Decimal]:
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
