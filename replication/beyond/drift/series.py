"""Granger tests on disturbed series whose answer is known."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune.granger import granger_test
from replication import ledger
from replication.beyond.drift.networks import stable_noise
from replication.ledger.paired import share_interval

#: Options of `granger_test` for each form of the test. The conditional form also gets the covariate of the series.
FORMS: dict[str, dict] = {
    "plain": {},
    "HAC": {"cov_type": "HAC"},
    "conditional": {},
    "time-varying": {"time_varying": "effect"},
}
SERIES_KINDS = (
    "undisturbed",
    "heavy-tailed noise",
    "both scales jump half-way",
    "noise scale follows the cause",
    "both levels shift half-way",
    "both are seasonal",
    "common driver",
    "coupling changes sign half-way",
)
_MEMORY, _LAG, _BURN_IN = 0.5, 2, 50


def disturbed_series(kind: str, *, points: int, strength: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return an effect, a cause and a covariate.

    The effect is effect_t = 0.5 effect_{t-1} + strength * cause_{t-1} + noise_t, with noise and cause of scale 1 where
    nothing else is said. The covariate is what disturbs both series, where that is a series: the step of a shift, the
    season, or the common driver. Otherwise it is unrelated noise.

    Parameters
    ----------
    kind : str
        One of `SERIES_KINDS`. Scales are 5 times as large after the jump, levels shift by 5, and a season of 20 points
        has the amplitude 2. A common driver acts on the cause after one step, and on the effect after two.
    points : int
        Number of points of each series.
    strength : float
        Coefficient of the cause; 0 for the null case.
    seed : int
        Seed of the series.

    Returns
    -------
    effect, cause, covariate : Tensor (points,), float64

    Raises
    ------
    ValueError
        For an unknown kind.
    """
    if kind not in SERIES_KINDS:
        raise ValueError(f"kind must be one of {SERIES_KINDS}, got {kind!r}")
    rng, total = np.random.default_rng(seed), points + _BURN_IN
    noise, cause, covariate = rng.standard_normal((3, total))
    time = np.arange(total) - _BURN_IN
    late, coupling = time >= points / 2, np.full(total, strength)
    if kind == "heavy-tailed noise":
        generator = torch.Generator().manual_seed(seed)
        noise, cause = (stable_noise(total, tail=1.5, generator=generator).numpy() for _ in range(2))
    elif kind == "both scales jump half-way":
        noise, cause = noise * np.where(late, 5, 1), cause * np.where(late, 5, 1)
    elif kind == "noise scale follows the cause":
        noise[1:] *= np.abs(cause[:-1])
    elif kind == "common driver":
        driver = autoregression(covariate)
        covariate, cause, noise = driver, cause + np.roll(driver, 1), noise + np.roll(driver, 2)
    elif kind == "coupling changes sign half-way":
        coupling = np.where(late, -strength, strength)
    effect = autoregression(noise + coupling * np.roll(cause, 1))
    if kind == "both levels shift half-way":
        covariate = late.astype(float)
        effect, cause = effect + 5 * covariate, cause + 5 * covariate
    elif kind == "both are seasonal":
        covariate = 2 * np.sin(2 * np.pi * (time / 20 + rng.random()))
        effect, cause = effect + np.roll(covariate, 1), cause + covariate
    return tuple(torch.from_numpy(one[_BURN_IN:].copy()) for one in (effect, cause, covariate))


def granger_rates(*, points: int, strength: float, repeats: int, significance: float, seed: int) -> pd.DataFrame:
    """Return how often each form of the Granger test rejects, without and with a coupling.

    Parameters
    ----------
    points : int
        Number of points of each series.
    strength : float
        Coefficient of the cause in the series with a coupling.
    repeats : int
        Number of series of each kind.
    significance : float
        Significance level.
    seed : int
        First of the series' seeds.

    Returns
    -------
    DataFrame
        Columns kind, form, rate ("null" or "power"), share, low, high (exact 95% interval), n. Tests have two lags and
        the F form.
    """
    rows = []
    for kind in SERIES_KINDS:
        for rate, coupling in (("null", 0.0), ("power", strength)):
            rejected = dict.fromkeys(FORMS, 0)
            for number in range(seed, seed + repeats):
                effect, cause, covariate = disturbed_series(kind, points=points, strength=coupling, seed=number)
                for form, options in FORMS.items():
                    given = {"covariates": covariate[:, None]} if form == "conditional" else {}
                    test = granger_test(effect, cause[:, None], max_lag=_LAG, test="ssr_f", **options, **given)
                    rejected[form] += int(test.p_value[-1, 0] < significance)
            for form, count in rejected.items():
                found = share_interval(count, repeats)
                rows.append((kind, form, rate, found.estimate, found.low, found.high, repeats))
    return pd.DataFrame(rows, columns=["kind", "form", "rate", "share", "low", "high", "n"])


def granger_cells(rates: pd.DataFrame, profile: str) -> list[ledger.Cell]:
    """Return the rates as cells of the table "granger_under_drift".

    Parameters
    ----------
    rates : DataFrame
        Table of `granger_rates`.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    named = {"kind": "dataset", "form": "method", "share": "ours", "low": "ci_low", "high": "ci_high"}
    frame = rates.assign(quantity=rates["rate"].map({"null": "false rejections", "power": "power"}))
    rows = frame.drop(columns="rate").rename(columns=named)
    return ledger.row_cells(rows, paper="legcnet", table="granger_under_drift", profile=profile)


def autoregression(noise: np.ndarray) -> np.ndarray:
    """Return x_t = 0.5 x_{t-1} + noise_t."""
    from scipy.signal import lfilter

    return lfilter([1.0], [1.0, -_MEMORY], noise)
