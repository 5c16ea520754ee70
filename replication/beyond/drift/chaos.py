"""Two tests for chaos on series whose answer is known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from ccprune.lyapunov import exponents_of, zero_one_test
from replication import ledger
from replication.beyond.drift.series import autoregression

_FITTED = 5  # steps over which the logarithm of a distance is fitted; after that it is that of the whole attractor

#: Series (points,) for a random generator, and whether they are chaotic; noise is not, because it has no dynamics.
DYNAMICS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], bool]] = {
    "logistic, r = 3.55": (lambda rng, points: _logistic(rng, points, 3.55), False),
    "logistic, r = 3.83": (lambda rng, points: _logistic(rng, points, 3.83), False),
    "logistic, r = 3.97": (lambda rng, points: _logistic(rng, points, 3.97), True),
    "logistic, r = 4": (lambda rng, points: _logistic(rng, points, 4.0), True),
    "sine": (lambda rng, points: np.sin(2 * np.pi * (rng.random() + 0.0618034 * np.arange(points))), False),
    "AR(1)": (lambda rng, points: autoregression(rng.standard_normal(points)), False),
    "white noise": (lambda rng, points: rng.standard_normal(points), False),
}


def chaos_tests(*, points: int, repeats: int, seed: int) -> pd.DataFrame:
    """Return the 0-1 test's K and the largest Lyapunov exponent of series of known dynamics.

    Parameters
    ----------
    points : int
        Number of points of a series.
    repeats : int
        Number of series of each kind.
    seed : int
        First of the series' seeds.

    Returns
    -------
    DataFrame
        Columns series, chaotic (the answer), repeat, K, exponent (per step, fitted over 5 steps of a one-dimensional
        embedding's stretching curve).
    """
    rows = []
    for name, (make, chaotic) in DYNAMICS.items():
        series = np.stack([make(np.random.default_rng(number), points) for number in range(seed, seed + repeats)])
        found = zero_one_test(torch.from_numpy(series), seed=seed)
        exponents = exponents_of(torch.from_numpy(series), steps=_FITTED, fit="linear", embed_dim=2)
        pairs = zip(found.tolist(), exponents.tolist(), strict=True)
        rows += [(name, chaotic, number, value, exponent) for number, (value, exponent) in enumerate(pairs)]
    return pd.DataFrame(rows, columns=["series", "chaotic", "repeat", "K", "exponent"])


def chaos_cells(chaos: pd.DataFrame, profile: str) -> list[ledger.Cell]:
    """Return the means over series, with their intervals, as cells of the table "chaos_tests".

    Parameters
    ----------
    chaos : DataFrame
        Table of `chaos_tests`.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    long = chaos.melt(["series"], ["K", "exponent"], "quantity").rename(columns={"series": "dataset"})
    long["method"] = long["quantity"].map({"K": "0-1 test", "exponent": "Lyapunov exponent"})
    return ledger.sample_cells(long, paper="legcnet", table="chaos_tests", profile=profile)


def _logistic(rng: np.random.Generator, points: int, r: float) -> np.ndarray:
    """Return an orbit of x -> r x (1 - x) on its attractor."""
    value, orbit = rng.uniform(0.1, 0.9), np.empty(points)
    for step in range(-500, points):
        value = r * value * (1 - value)
        if step >= 0:
            orbit[step] = value
    return orbit
