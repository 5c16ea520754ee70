"""Largest Lyapunov exponents of many short series, computed together (LEGCNet, section 3.3)."""

from ccprune.lyapunov._exponents import (
    AUTHORS_DECIMALS,
    AUTHORS_MIN_RANGE,
    MAX_BYTES,
    exponents_of,
    growth_rates,
    slopes,
    stretching_curves,
    window_count,
    windowed_exponents,
)

__all__ = [
    "AUTHORS_DECIMALS",
    "AUTHORS_MIN_RANGE",
    "MAX_BYTES",
    "exponents_of",
    "growth_rates",
    "slopes",
    "stretching_curves",
    "window_count",
    "windowed_exponents",
]
