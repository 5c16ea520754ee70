"""Series of noise, and the exponents and Granger tests of such series."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ccprune.granger import GrangerResult, benjamini_hochberg, granger_test
from ccprune.lyapunov import windowed_exponents
from ccprune.stats import mean_interval
from replication.ledger import Cell
from replication.legcnet.procedure import SIGNIFICANCE
from replication.legcnet.settings import WindowSettings

KINDS = ("white noise", "AR(1)", "random walk")
AR_COEFFICIENT = 0.9
# Standard deviation of a step, of the order of a weight's change per update.
STEP = 1e-3


def noise(kind: str, points: int, count: int, *, seed: int) -> Tensor:
    """Return independent series of noise.

    Parameters
    ----------
    kind : str
        "white noise", "AR(1)" (with coefficient 0.9) or "random walk".
    points : int
        Number of points of a series.
    count : int
        Number of series.
    seed : int
        Seed of the series.

    Returns
    -------
    Tensor (points, count), float64
        Innovations have the standard deviation `STEP`.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
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
    """Return the exponents of noise, in the same windows and by the same options as for weights.

    Parameters
    ----------
    kind : str
        As in `noise`.
    recording : WindowSettings
        Windows and options of the exponents.
    windows : int
        Number of windows.
    count : int
        Number of series.
    seed : int
        Seed of the series.

    Returns
    -------
    Tensor (windows, count)
        Exponents in nats per step.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    series = noise(kind, recording.stride * (windows - 1) + recording.window, count, seed=seed)
    options = recording.exponent_options
    return windowed_exponents(series, window=recording.window, stride=recording.stride, **options)


def rejection_rates(effects: Tensor, causes: Tensor, *, max_lag: int) -> dict[str, Tensor]:
    """Return the share of unrelated causes that are rejected for each effect, for several forms of the test.

    Parameters
    ----------
    effects : Tensor (K, R)
        Series of R effects.
    causes : Tensor (K, M)
        Series of M causes.
    max_lag : int
        Largest lag.

    Returns
    -------
    {form: Tensor (R,)}
        "one_lag" is the chi-squared form with one lag, "smallest_p" the authors' smallest p over the lags,
        "smallest_p_f" the same with the F form, "bic_lag" the F form at the lag selected by BIC, "corrected" that with
        Benjamini-Hochberg's correction over weights, and "augmented" the lag-augmented F form with one lag.
    """
    rates: dict[str, list[Tensor]] = {}
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
            rates.setdefault(way, []).append((p_value < SIGNIFICANCE).double().mean())
    return {way: torch.stack(shares) for way, shares in rates.items()}


def causal_shares(results: Iterable[GrangerResult | None], significance: float) -> Tensor:
    """Return the share of weights that each network's tests call causal.

    Parameters
    ----------
    results : iterable of GrangerResult or None
        One per network; None for a network that cannot be tested.
    significance : float
        Significance level, for the smallest p over the lags.

    Returns
    -------
    Tensor (networks,), float64
        NaN for networks that cannot be tested.
    """
    shares = [None if one is None else (one.min_p < significance).double().mean() for one in results]
    return torch.tensor([float("nan") if share is None else float(share) for share in shares], dtype=torch.float64)


def mean_table(samples: Mapping[str, Mapping[str, Tensor]]) -> pd.DataFrame:
    """Return the mean of each sample: one row for each key, one column for each inner key; NaNs are left out."""
    means = {row: {name: float(values.nanmean()) for name, values in part.items()} for row, part in samples.items()}
    return pd.DataFrame(means).T


def lesson_cells(
    exponents: Mapping[str, Tensor],
    rejections: Mapping[str, Mapping[str, Tensor]],
    shares: Mapping[str, Mapping[str, Tensor]],
    *,
    seed: int,
    profile: str,
) -> list[Cell]:
    """Return the cells of lesson 08: the mean of each sample with its interval.

    NaNs are left out, and so are samples with fewer than two other values.

    Parameters
    ----------
    exponents : mapping of str to Tensor (windows, series)
        Exponents by kind of noise and setting, such as "white noise, FT". Those of "weights ..." are passed over.
    rejections : mapping of str to mapping of str to Tensor (risks,)
        As from `rejection_rates`, by dataset, setting and kind, such as "iris PT, AR(1) (119 windows, 5 lags)".
    shares : mapping of str to mapping of str to Tensor (networks,)
        As from `causal_shares`, by dataset and setting, such as "iris PT", with the keys "own risk" and "another's
        risk".
    seed : int
        Seed of the intervals' resamples.
    profile : str
        Profile of the run.

    Returns
    -------
    list of Cell
    """
    cells = []

    def add(table: str, dataset: str, method: str, quantity: str, values: Tensor, note: str = "") -> None:
        values = values[~values.isnan()]
        if len(values) >= 2:
            key = ("legcnet", table, dataset, method.lower(), quantity.replace("'s", "").replace(" ", "_"))
            more = {"kind": "null_test", "profile": profile, "note": note}
            cells.append(Cell.from_interval(*key, mean_interval(values, seed=seed), **more))

    for label, values in exponents.items():
        if not label.startswith("weights"):
            kind, setting = label.split(", ")
            add("null_exponent", "noise", setting, kind, values.mean(0), f"mean over {len(values)} windows")
    for label, forms in rejections.items():
        place, kind = label.split(" (")[0].split(", ")
        for form, values in forms.items():
            add("null_rejections", *place.split(), f"{form}_{kind}", values)
    shared = "share called causal, of networks that can be tested"
    for label, risks in shares.items():
        difference = risks["own risk"] - risks["another's risk"]
        for quantity, values in {**risks, "own minus another": difference}.items():
            add("crossed_pairs", *label.split(), quantity, values, shared)
    return cells
