"""Series in which there is nothing to find, and what exponents and Granger tests say about them."""

import numpy as np
import torch
from torch import Tensor

from ccprune.granger import benjamini_hochberg, granger_test
from ccprune.lyapunov import windowed_exponents
from replication.legcnet.procedure import WindowSettings

KINDS = ("white noise", "AR(1)", "random walk")
AR_COEFFICIENT = 0.9
# Standard deviation of a step, of the order of a weight's movement per update.
STEP = 1e-3


def noise(kind: str, points: int, count: int, *, seed: int) -> Tensor:
    """Independent series (points, count): "white noise", "AR(1)" with coefficient 0.9, or a "random walk"."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
    steps = STEP * np.random.default_rng(seed).normal(size=(points, count))
    if kind == "random walk":
        steps = steps.cumsum(0)
    elif kind == "AR(1)":
        for row in range(1, points):
            steps[row] += AR_COEFFICIENT * steps[row - 1]
    return torch.from_numpy(steps)


def null_exponents(kind: str, recording: WindowSettings, windows: int, count: int, *, seed: int) -> Tensor:
    """Exponents (windows, count) of noise, cut and computed just as `recording` treats weights."""
    series = noise(kind, recording.stride * (windows - 1) + recording.window, count, seed=seed)
    options = recording.exponent_options
    return windowed_exponents(series, window=recording.window, stride=recording.stride, **options)


def rejection_rates(effects: Tensor, causes: Tensor, *, max_lag: int, significance: float = 0.05) -> dict[str, Tensor]:
    """Share of causes (K, M) called causal for each effect (K, R) by each way of asking, though all are unrelated.

    Returns {way: Tensor (R,)}. one_lag: chi-squared form, one lag. smallest_p: the authors' smallest p over the lags.
    smallest_p_f: the same with the F form. bic_lag: the F form at the lag BIC chooses. corrected: Benjamini-Hochberg
    over weights on bic_lag's p. augmented: lag-augmented F form, one lag.
    """
    said: dict[str, list[Tensor]] = {}
    for effect in effects.T:
        chi2 = granger_test(effect, causes, max_lag=max_lag)
        exact = granger_test(effect, causes, max_lag=max_lag, test="ssr_f")
        chosen = exact.p_at(exact.best_lag("bic"))
        ways = {
            "one_lag": chi2.p_value[0],
            "smallest_p": chi2.min_p,
            "smallest_p_f": exact.min_p,
            "bic_lag": chosen,
            "corrected": benjamini_hochberg(chosen),
            "augmented": granger_test(effect, causes, max_lag=1, test="ssr_f", augment=1).min_p,
        }
        for way, p_value in ways.items():
            said.setdefault(way, []).append((p_value < significance).double().mean())
    return {way: torch.stack(shares) for way, shares in said.items()}
