"""Checks of samples, and random draws from them in parts."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

CHUNK = 2**21  # resampled values held at once (16 MiB of float64)
_KEPT = 2**21  # entries of random draws that are kept for the next interval (16 MiB)


def check_sample(values: ArrayLike, name: str, *, finite: bool = True) -> np.ndarray:
    """Return a sample as float64 of shape (n,), n >= 2, or raise ValueError that names the argument."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name} must be one-dimensional with at least 2 values, got shape {array.shape}")
    bad = ~np.isfinite(array) if finite else np.isnan(array)
    if bad.any():
        kind = "finite" if finite else "free of NaN"
        raise ValueError(f"{name} must be {kind}, got {array[bad][0]} at index {int(np.argmax(bad))}")
    return array


def draws(make: Callable, n: int, rows: int, seed: int) -> Iterable[np.ndarray]:
    """Return `make(n, rows, seed)`, which yields `rows` rows of n entries in parts of about `CHUNK` entries.

    Reports compute thousands of intervals of samples of few lengths, so that small draws are kept.
    """
    return _kept_draws(make, n, rows, seed) if rows * n <= _KEPT else make(n, rows, seed)


@lru_cache(maxsize=2)
def _kept_draws(make: Callable, n: int, rows: int, seed: int) -> tuple[np.ndarray, ...]:
    return tuple(make(n, rows, seed))


def drawn_places(n: int, rows: int, seed: int) -> Iterator[np.ndarray]:
    """Yield places in a sample of n values, drawn with replacement."""
    return _integers(n, n, rows, seed)


def drawn_signs(n: int, rows: int, seed: int) -> Iterator[np.ndarray]:
    """Yield random signs as float64."""
    return (2.0 * bits - 1.0 for bits in _integers(2, n, rows, seed))


def _integers(high: int, n: int, rows: int, seed: int) -> Iterator[np.ndarray]:
    rng, part = np.random.default_rng(seed), max(1, CHUNK // n)
    for start in range(0, rows, part):
        yield rng.integers(0, high, (min(part, rows - start), n))
