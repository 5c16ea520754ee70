"""Effects and causes, and what statsmodels says of them."""

import functools
import warnings

import numpy as np
import pytest
import torch

from ccprune.granger import granger_test

WINDOWS, LAGS = 150, 20


def statsmodels(module):
    """A module of statsmodels; the test that needs it is skipped where it is not installed."""
    return pytest.importorskip(f"statsmodels.{module}")


def by_statsmodels(pair, lags):
    oracle = statsmodels("tsa.stattools").grangercausalitytests
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer releases warn where columns are dependent
        return oracle(pair, lags)


def autoregressive(rng, n, m, phi):
    series = np.zeros((n, m))
    noise = rng.standard_normal((n, m))
    for t in range(1, n):
        series[t] = phi * series[t - 1] + noise[t]
    return series


def case(kind):
    """Effect (K,) and causes (K, 4) of one kind."""
    rng = np.random.default_rng(sum(map(ord, kind)))
    n, m = WINDOWS, 4
    noise = rng.standard_normal((n, m + 1))
    if kind == "random":
        both = noise
    elif kind == "ar":
        both = autoregressive(rng, n, m + 1, 0.8)
    elif kind == "walk":
        both = noise.cumsum(0) + 1e3
    elif kind == "rounded":  # as the risk on a test set of 137 samples and exponents of 6 decimals
        both = autoregressive(rng, n, m + 1, 0.9) * 0.1
        both[:, 0] = (both[:, 0] * 137).round() / 137
        both[:, 1:] = both[:, 1:].round(6)
    elif kind == "sparse":  # exponents of weights that hardly ever move
        both = noise * (rng.random((n, m + 1)) < 0.2)
        both[:, 0] = noise[:, 0]
    elif kind == "caused":
        both = noise
        both[1:, 0] += 0.7 * both[:-1, 1]
    elif kind == "smooth":  # nearly collinear lags
        both = noise.cumsum(0).cumsum(0)
        both[:, 0] += noise[:, 0] * 5
    elif kind == "near_collinear":
        both = noise
        for column, size in zip(range(1, m + 1), (1e-3, 1e-5, 1e-6, 1e-7), strict=True):
            both[:, column] = both[:, 0] + size * rng.standard_normal(n)
    elif kind == "collinear":  # a copy of the effect, one reversed and shifted, one periodic, one with a single pulse
        both = noise
        both[:, 1], both[:, 2] = both[:, 0], 3 - 2 * both[:, 0]
        both[:, 3] = np.arange(n) % 4
        both[:, 4] = np.arange(n) == 70
    elif kind == "dependent_first":  # large lags see only the periodic part, so later columns follow dependent ones
        both = noise
        both[:-8, 1:] = np.resize([0.0, 1.0], n - 8)[:, None]
    elif kind == "settled":  # the effect's own large lags are dependent, and yet its last values are not explained
        both = noise
        both[:-8, 0] = np.resize([0.0, 1.0], n - 8)
    return torch.from_numpy(both[:, 0].copy()), torch.from_numpy(both[:, 1:].copy())


KINDS = (
    *("random", "ar", "walk", "rounded", "sparse", "caused", "smooth"),
    *("near_collinear", "collinear", "dependent_first", "settled"),
)


def planted(kind, strength, repeats=100, windows=150):
    """Effects, a cause of each, and white noise, which is a confounder of both in the kind "confounded"."""
    rng = np.random.default_rng(5)
    time = np.linspace(-1, 1, windows)[:-1]
    for _ in range(repeats):
        noise = rng.standard_normal((windows, 3))
        effect, cause, confounder = noise.T.copy()
        if kind == "variance":  # errors are large after large values of the cause
            effect[1:] *= cause[:-1]
        if kind == "confounded":
            cause[1:] += confounder[:-1]
            effect[2:] += confounder[:-2]
        effect[1:] += strength * cause[:-1] * (time if kind == "turning" else 1)
        yield tuple(torch.from_numpy(one) for one in (effect, cause[:, None], confounder[:, None]))


@functools.cache
def rejected(kind, strength, conditional=False, **options):
    """Share of p-values below 0.05 of an F test with two lags."""
    found = [
        granger_test(effect, cause, max_lag=2, test="ssr_f", **options, covariates=given if conditional else None)
        for effect, cause, given in planted(kind, strength)
    ]
    return np.mean([one.p_value[1].item() < 0.05 for one in found])
