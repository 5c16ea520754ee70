"""Largest Lyapunov exponents of many short series, computed together (LEGCNet, section 3.3)."""

from ccprune.lyapunov._exponents import (
    MAX_BYTES,
    exponents_of,
    stretching_curves,
    window_count,
    windowed_exponents,
)
from ccprune.lyapunov._slopes import growth_rates, slopes
from ccprune.lyapunov._zero_one import zero_one_test

__all__ = [
    "MAX_BYTES",
    "exponents_of",
    "growth_rates",
    "slopes",
    "stretching_curves",
    "window_count",
    "windowed_exponents",
    "zero_one_test",
]
