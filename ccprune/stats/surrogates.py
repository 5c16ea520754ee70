"""Surrogates of time series, which keep the values, the spectrum or blocks, but no relation to other series."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ccprune._util.checks import at_least

Surrogate = Callable[..., Tensor]


def shuffled(series: Tensor, *, seed: int) -> Tensor:
    """Shuffle each column, which keeps the distribution of its values and removes all serial dependence.

    Parameters
    ----------
    series : Tensor (n, M)
        One series per column, time along the rows; columns are resampled independently of each other.
    seed : int
        Seed; the surrogate is the same on every device.

    Returns
    -------
    Tensor (n, M)
        Surrogate, in the dtype of the series.

    Raises
    ------
    ValueError
        If the shape is another one, there are fewer than 2 rows, the dtype is not floating-point, or a value is not
        finite.
    """
    _check(series)
    order = _uniform(tuple(series.shape), seed, series.device).argsort(0)
    return series.gather(0, order)


def phase_randomised(series: Tensor, *, seed: int) -> Tensor:
    """Randomise the Fourier phases of each column, which keeps its mean and power spectrum (Theiler et al., 1992).

    The circular linear autocorrelation is therefore kept too. The distribution of the values becomes closer to normal.
    Remove a trend first, because its spectrum is that of the jump from the end of the series to its beginning. The
    computation is in float64. Arguments, result and errors are those of `shuffled`.
    """
    _check(series)
    n = len(series)
    spectrum = torch.fft.rfft(series.detach().double(), dim=0)
    phases = 2 * math.pi * _uniform(tuple(spectrum.shape), seed, series.device)
    phases[0] = 0.0  # the mean
    if n % 2 == 0:
        phases[-1] = 0.0  # the highest frequency, which is real
    return torch.fft.irfft(spectrum * torch.polar(torch.ones_like(phases), phases), n=n, dim=0).to(series.dtype)


def block_bootstrap(series: Tensor, *, block: int, seed: int) -> Tensor:
    """Resample each column from blocks of consecutive rows with random starts (moving blocks: Kuensch, 1989).

    Dependence within `block` rows is kept; the last block is truncated to fit. Series, seed, result and errors are
    those of `shuffled`; ValueError is also raised if `block` is not in 1..n.
    """
    _check(series)
    n = len(series)
    at_least(1, block=block)
    if block > n:
        raise ValueError(f"block must be at most the series' {n} rows, got {block}")
    count = -(-n // block)
    starts = (_uniform((count, series.shape[1]), seed, series.device) * (n - block + 1)).long()
    rows = starts[:, None] + torch.arange(block, device=series.device)[None, :, None]  # (count, block, M)
    return series.gather(0, rows.flatten(0, 1)[:n])


@dataclass(frozen=True)
class SurrogateTest:
    """Result of `surrogate_test` for M series.

    Attributes
    ----------
    observed : Tensor (M,)
        Statistic of the series.
    surrogates : Tensor (B, M)
        Statistic of the B surrogates.
    p_value : Tensor (M,)
        Share, among the B surrogates and the series itself, of those whose statistic is at least as large as that of
        the series; at least 1 / (B + 1).
    """

    observed: Tensor
    surrogates: Tensor
    p_value: Tensor


def surrogate_test(
    statistic: Callable[[Tensor], Tensor],
    series: Tensor,
    *,
    surrogate: Surrogate = phase_randomised,
    count: int = 99,
    seed: int = 0,
    **options: int,
) -> SurrogateTest:
    """Test whether the statistic of a series is larger than that of its surrogates, by rank (Theiler et al., 1992).

    The test is one-sided.

    Parameters
    ----------
    statistic : callable
        (n, M) -> (M,), such as the mean of `lyapunov.windowed_exponents`, or a row of `granger_test(...).statistic`.
    series : Tensor (n, M)
        One series per column.
    surrogate : callable, default `phase_randomised`
        `shuffled`, `phase_randomised`, `block_bootstrap` or another; it determines what the null hypothesis keeps.
    count : int, default 99
        Number of surrogates B; 19 suffice for a significance level of 5%, 99 for 1%.
    seed : int, default 0
        Seed of the surrogates.
    **options
        Options of the surrogate, such as `block`.

    Returns
    -------
    SurrogateTest
        Statistics and p-values.

    Raises
    ------
    ValueError
        If `count` is below 1, or the statistic has another shape or is NaN.
    """
    at_least(1, count=count)
    seeds = torch.randint(2**62, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
    values = [statistic(series), *(statistic(surrogate(series, seed=draw, **options)) for draw in seeds)]
    for value in values:
        if value.shape != series.shape[1:] or bool(value.isnan().any()):
            raise ValueError(f"statistic must give {series.shape[1]} numbers, one for each series, got {value}")
    observed, drawn = values[0], torch.stack(values[1:])
    p_value = (1 + (drawn >= observed).sum(0)).double() / (count + 1)
    return SurrogateTest(observed, drawn, p_value)


def _uniform(shape: tuple[int, ...], seed: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64).to(device)


def _check(series: Tensor) -> None:
    if series.ndim != 2 or len(series) < 2 or not series.is_floating_point():
        got = f"{tuple(series.shape)} of {series.dtype}"
        raise ValueError(f"series must have shape (n, M), n at least 2, and be floating-point, got {got}")
    if not bool(series.isfinite().all()):
        raise ValueError("series must be finite, got NaN or infinite values")
