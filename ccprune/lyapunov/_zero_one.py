"""0-1 test for chaos, which needs no embedding (Gottwald and Melbourne, 2004 and 2009)."""

import math

import torch
from torch import Tensor

from ccprune._util.checks import require_at_least, rows_within
from ccprune._util.series import Series, as_tensor, check_series
from ccprune.lyapunov._exponents import MAX_BYTES

_SHORTEST = 100


def zero_one_test(series: Series, *, frequencies: int = 100, seed: int = 0, max_bytes: int = MAX_BYTES) -> Tensor:
    """Growth of a driven displacement, near 1 for chaotic and near 0 for regular (periodic, quasi-periodic) series.

    For a frequency c, the mean square displacement of the sums of x_j exp(i j c) over n steps grows linearly with n in
    a chaotic series and is bounded in a regular one. The result is the median over random c in (pi/5, 4 pi/5) of the
    correlation of n = 1..N/10 with that displacement (the correlation method). The mean of a series is subtracted
    first, for which the regularised displacement D_c(n) of the 2009 paper equals M_c(n).

    Parameters
    ----------
    series : Tensor, array or DataFrame (N, n)
        Series, floating point, finite, with at least 100 points; the paper uses some thousands.
    frequencies : int, default 100
        Number of random c.
    seed : int, default 0
        Seed of c, which are the same for all series.
    max_bytes : int, default `MAX_BYTES`
        Working memory in bytes. Series that do not fit together are processed in blocks.

    Returns
    -------
    Tensor (N,), float64
        Values in [-1, 1], 0 for a constant series.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid (the message names it), or if one series alone needs more than `max_bytes`.

    Notes
    -----
    The test is for deterministic series. It measures whether the power spectrum is continuous, which that of stationary
    noise is too, so the values of white and autoregressive noise are also near 1. Those of random walks lie anywhere
    between 0 and 1. Oversampled series of chaotic flows are near 0. Short quasi-periodic series with neighbouring
    frequencies can exceed 1/2.

    References
    ----------
    Gottwald and Melbourne (2004), A new test for chaos in deterministic systems. Gottwald and Melbourne (2009), On the
    implementation of the 0-1 test for chaos, sections 2 and 3.

    Examples
    --------
    >>> x = torch.full((2, 1000), 0.3, dtype=torch.float64)
    >>> for k in range(999):  # the logistic map, chaotic with 4 and of period 4 with 3.5
    ...     x[:, k + 1] = torch.tensor([4.0, 3.5]) * x[:, k] * (1 - x[:, k])
    >>> zero_one_test(x).round().abs().tolist()
    [1.0, 0.0]
    """
    series = as_tensor("series", series)
    check_series("series", series)
    require_at_least(1, frequencies=frequencies)
    points = series.shape[1]
    if points < _SHORTEST:
        raise ValueError(f"series must have at least {_SHORTEST} points, got {points}")
    values = series.detach().to(torch.float64)
    constant = values.amax(1) == values.amin(1)
    values = torch.where(constant[:, None], 0.0, values - values.mean(1, keepdim=True))
    generator = torch.Generator().manual_seed(seed)
    c = math.pi / 5 * (1 + 3 * torch.rand(frequencies, 1, generator=generator, dtype=torch.float64))
    turns = torch.exp(1j * c * torch.arange(1, points + 1)).to(values.device)
    most = rows_within(max_bytes, 8 * 16 * frequencies * points, "one series")
    return torch.cat([_correlations(part, turns).quantile(0.5, 1) for part in values.split(most)])


def _correlations(series: Tensor, turns: Tensor) -> Tensor:
    """Return the correlations (N, C) for series (N, n) and exp(i j c) (C, n)."""
    points = series.shape[1]
    longest = points // 10
    count = points - longest  # the same number of displacements for all steps
    place = (series[:, None] * turns).cumsum(-1)
    # |a - b|^2 = |a|^2 + |b|^2 - 2 Re a b*, and the sums of the products for all steps are one convolution.
    size = 1 << (points - 1).bit_length()
    first, whole = torch.fft.fft(place[..., :count], size), torch.fft.fft(place, size)
    products = torch.fft.ifft(first.conj() * whole)[..., 1 : longest + 1].real
    squares = torch.nn.functional.pad(place.abs().square().cumsum(-1), (1, 0))
    moved = squares[..., count + 1 :] - squares[..., 1 : longest + 1]
    moved = (moved + squares[..., count, None] - 2 * products) / count
    steps = torch.arange(1, longest + 1, dtype=torch.float64, device=series.device)
    steps, moved = steps - steps.mean(), moved - moved.mean(-1, keepdim=True)
    scale = (steps.square().sum() * moved.square().sum(-1)).sqrt()
    return torch.where(scale > 0, (moved * steps).sum(-1) / scale.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
