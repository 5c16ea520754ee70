"""Schedules, which are tuples of rising sparsities, one per pruning step."""

from collections.abc import Mapping

from ccprune._util.checks import require_at_least, require_fraction


def cubic(total: float, *, iterations: int) -> tuple[float, ...]:
    """Return the sparsities total * (1 - (1 - i / iterations)^3), i = 1..iterations.

    Parameters
    ----------
    total : float
        Sparsity that is reached, in [0, 1].
    iterations : int

    Raises
    ------
    ValueError
        For a total outside [0, 1] or fewer than one iteration.

    References
    ----------
    Zhu and Gupta (2017); used in causal pruning's code of 2025.

    Examples
    --------
    >>> [round(sparsity, 3) for sparsity in cubic(0.9, iterations=3)]
    [0.633, 0.867, 0.9]
    """
    require_fraction("total", total)
    require_at_least(1, iterations=iterations)
    return tuple(total * (1 - (1 - i / iterations) ** 3) for i in range(1, iterations + 1))


def geometric(total: float, *, iterations: int) -> tuple[float, ...]:
    """Return the sparsities 1 - (1 - total)^(i / iterations), i = 1..iterations.

    Each step prunes the same share of the remaining weights.

    Parameters
    ----------
    total : float
        Sparsity that is reached, in [0, 1).
    iterations : int

    Raises
    ------
    ValueError
        For a total outside [0, 1) (equal shares never prune all weights), and for fewer than one iteration.

    References
    ----------
    Frankle and Carbin (2019), section 2: 20% of the surviving weights in each of n rounds.

    Examples
    --------
    >>> [round(sparsity, 3) for sparsity in geometric(0.9, iterations=3)]
    [0.536, 0.785, 0.9]
    """
    require_fraction("total", total)
    if total == 1:
        raise ValueError(f"total must lie in [0, 1), got {total!r}")
    require_at_least(1, iterations=iterations)
    # The last sparsity is `total` without rounding error.
    return (*(1 - (1 - total) ** (i / iterations) for i in range(1, iterations)), total)


def check_schedule(schedule: Mapping[int, float]) -> dict[int, float]:
    """Return the schedule in its order, or raise TypeError or ValueError."""
    if not isinstance(schedule, Mapping) or not schedule:
        raise TypeError(f"schedule must be a mapping of numbers of steps or epochs to sparsities, got {schedule!r}")
    for number, sparsity in schedule.items():
        require_at_least(1, **{"a key of schedule": number})
        require_fraction(f"schedule[{number}]", sparsity)
    found = {int(number): float(schedule[number]) for number in sorted(schedule)}
    if [*found.values()] != sorted(found.values()):
        raise ValueError(f"schedule must have sparsities that do not decrease, got {[*found.values()]}")
    return found
