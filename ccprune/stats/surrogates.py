"""Surrogates of given series: the same numbers, spectrum or blocks, and no relation to anything else."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ccprune._util.checks import at_least

Surrogate = Callable[..., Tensor]


def shuffled(series: Tensor, *, seed: int) -> Tensor:
    """Each column's values in random order: the same distribution, no memory.

    Parameters
    ----------
    series : Tensor (n, M)
        Time runs down; columns are resampled independently of each other.
    seed : int
        Same seed, same surrogate, on every device.

    Returns
    -------
    Tensor (n, M)
        In the series' precision.

    Raises
    ------
    ValueError
        For another shape, fewer than 2 rows, or a value that is not finite.
    """
    _check(series)
    order = _uniform(tuple(series.shape), seed, series.device).argsort(0)
    return series.gather(0, order)


def phase_randomised(series: Tensor, *, seed: int) -> Tensor:
    """Each column with its Fourier phases drawn anew: the same mean and power spectrum (Theiler et al., 1992).

    So the same linear autocorrelation, taken round the end; values become more normally distributed than they were. A
    trend, whose spectrum is that of the jump from end to beginning, should be taken out before. Computed in float64;
    arguments, result and errors as in `shuffled`.
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
    """Each column pasted from blocks of consecutive rows that begin anywhere (moving blocks: Kuensch, 1989).

    Keeps what happens within `block` rows, 1..n; the last block is cut to fit. Arguments, result and errors as in
    `shuffled`.
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
    """A statistic of M series beside that of their surrogates.

    Attributes: observed (M,), surrogates (B, M), p_value (M,): the share of the B surrogates and the series itself
    whose statistic is at least as large, so at least 1 / (B + 1).
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
    """Is the statistic of a series larger than that of its surrogates? A one-sided rank test (Theiler et al., 1992).

    Parameters
    ----------
    statistic : callable
        (n, M) -> (M,), such as the mean of `lyapunov.windowed_exponents`, or a row of `granger_test(...).statistic`.
    series : Tensor (n, M)
    surrogate : callable
        `shuffled`, `phase_randomised`, `block_bootstrap` or another; says what the null keeps.
    count : int
        Surrogates B; 19 are enough for a level of 5%, 99 for 1%.
    seed : int
    options
        Of the surrogate: block.

    Raises
    ------
    ValueError
        For a count below 1, or a statistic of another shape or that is NaN.
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
