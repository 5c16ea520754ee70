"""Surrogates of time series, which keep the spectrum but no relation to other series."""

import math

import torch
from torch import Tensor


def phase_randomised(series: Tensor, *, seed: int) -> Tensor:
    """Randomise the Fourier phases of each column, which keeps its mean and power spectrum (Theiler et al., 1992).

    The circular linear autocorrelation is therefore kept too. The distribution of the values becomes closer to normal.
    Remove a trend first, because its spectrum is that of the jump from the end of the series to its beginning.

    Parameters
    ----------
    series : Tensor (n, M)
        One series of at least 2 finite floating-point numbers per column; a ValueError is raised for anything else.
    seed : int
        Of random phases for each column, the same on every device.

    Returns
    -------
    Tensor (n, M)
        Surrogate, in the dtype of the series, computed in float64.
    """
    _check(series)
    n = len(series)
    spectrum = torch.fft.rfft(series.detach().double(), dim=0)
    drawn = torch.rand(spectrum.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    phases = 2 * math.pi * drawn.to(series.device)
    phases[0] = 0.0  # the mean
    if n % 2 == 0:
        phases[-1] = 0.0  # the highest frequency, which is real
    return torch.fft.irfft(spectrum * torch.polar(torch.ones_like(phases), phases), n=n, dim=0).to(series.dtype)


def _check(series: Tensor) -> None:
    if series.ndim != 2 or len(series) < 2 or not series.is_floating_point():
        got = f"{tuple(series.shape)} of {series.dtype}"
        raise ValueError(f"series must have shape (n, M), n at least 2, and be floating-point, got {got}")
    if not bool(series.isfinite().all()):
        raise ValueError("series must be finite, got NaN or infinite values")
