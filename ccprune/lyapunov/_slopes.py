"""Slopes of stretching curves and of distances of trajectories."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def slopes(curves: Tensor, *, first: int, last: int) -> Tensor:
    """Least-squares slope of curves over a range of steps.

    Parameters
    ----------
    curves : Tensor (N, k)
    first, last : int
        First and last column of the range.

    Returns
    -------
    Tensor (N,)
        Slope per step, NaN where the range has a NaN.

    Examples
    --------
    >>> slopes(torch.tensor([[0.0, 2.0, 4.0, 5.0]]), first=0, last=2)
    tensor([2.])
    """
    if not 0 <= first < last < curves.shape[1]:
        raise ValueError(f"first and last must satisfy 0 <= first < last < {curves.shape[1]}, got {first}, {last}")
    k = torch.arange(first, last + 1, dtype=curves.dtype, device=curves.device)
    k = k - k.mean()
    return (curves[:, first : last + 1] * k).sum(1) / k.square().sum()


def growth_rates(distances: Tensor, *, first: int, last: int) -> Tensor:
    """Exponential growth rate of the distance of two trajectories (LEGCNet section 3.4).

    Parameters
    ----------
    distances : Tensor (B, n)
        Distances of B pairs of trajectories.
    first, last : int
        First and last column over which the slope of log distance is fitted.

    Returns
    -------
    Tensor (B,)
        Exponents per step, negative where the runs converge.

    Raises
    ------
    ValueError
        If a distance in the range is not positive, or `first` and `last` do not fit the distances.

    Examples
    --------
    >>> distances = torch.tensor([[1.0, 2.0, 4.0, 8.0]], dtype=torch.float64)
    >>> round(growth_rates(distances, first=0, last=3).item(), 3)  # ln 2
    0.693
    """
    if not 0 <= first < last < distances.shape[1]:
        raise ValueError(f"first and last must satisfy 0 <= first < last < {distances.shape[1]}, got {first}, {last}")
    part = distances[:, first : last + 1]
    if bool((part <= 0).any()):
        raise ValueError("distances must be positive: two of the runs have met, and log 0 has no slope")
    return slopes(part.log(), first=0, last=last - first)


def fit_range(fit: str | tuple[int, int], steps: int) -> tuple[int, int]:
    """Return the first and last k of a fit, or raise ValueError for another `fit`."""
    if isinstance(fit, str) and fit == "first_step":
        return 0, 1
    if isinstance(fit, str) and fit == "linear":
        return 0, steps
    if isinstance(fit, str) or not isinstance(fit, Sequence | np.ndarray | Tensor) or len(fit) != 2:
        raise ValueError(f"fit must be 'first_step', 'linear' or a pair (first, last), got {fit!r}")
    first, last = (int(k) for k in fit)
    if not 0 <= first < last <= steps:
        raise ValueError(f"fit must satisfy 0 <= first < last <= steps={steps}, got {fit!r}")
    return first, last
