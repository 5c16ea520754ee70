"""False-positive rate and power of Granger tests."""

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor

from ccprune._util.checks import at_least
from ccprune.granger import benjamini_hochberg, granger_test
from ccprune.stats import Interval, mean_interval
from replication.ledger.paired import share_interval
from replication.legcnet.procedure import WindowSettings
from replication.null.series import noise, null_exponents
from replication.null.surrogates import phase_randomised

#: Function of a seed that returns the series of an effect (K,) and of causes (K, M).
Draw = Callable[[int], tuple[Tensor, Tensor]]

CORRECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda p: p,
    "bonferroni": lambda p: (p * len(p)).clamp_max(1.0),
    "benjamini_hochberg": benjamini_hochberg,
}


def noise_series(kind: str, *, windows: int, weights: int, recording: WindowSettings | None = None) -> Draw:
    """Return a draw of an effect and independent causes.

    Parameters
    ----------
    kind : str
        Kind of noise, one of `noise.KINDS`.
    windows, weights : int
        Numbers K of windows and M of causes, at least 1.
    recording : WindowSettings, optional
        If given, the causes are exponents of noise, in windows as for weights, and the effect is white noise. Otherwise
        all series are noise of the given kind.

    Returns
    -------
    Draw

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    at_least(1, windows=windows, weights=weights)

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        if recording is None:
            series = noise(kind, windows, weights + 1, seed=seed)
            return series[:, 0], series[:, 1:]
        effect = noise("white noise", windows, 1, seed=seed)[:, 0]
        return effect, null_exponents(kind, recording, windows, weights, seed=seed + 1)

    return draw


def surrogate_series(effect: Tensor, causes: Tensor) -> Draw:
    """Return a draw of the given effect (K,) and phase-randomised surrogates of the given causes (K, M)."""
    return lambda seed: (effect, phase_randomised(causes, seed=seed))


def planted_series(strength: float, *, windows: int, weights: int) -> Draw:
    """Return a draw of white-noise causes, the first of which causes the effect one window later.

    The effect is effect_t = strength * cause_{t-1,0} + noise_t. Causes and noise have unit variance.

    Parameters
    ----------
    strength : float
        Strength of the planted cause.
    windows, weights : int
        Numbers K of windows, at least 2, and M of causes, at least 1.

    Returns
    -------
    Draw

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    at_least(1, weights=weights)
    at_least(2, windows=windows)
    if not abs(strength) < float("inf"):
        raise ValueError(f"strength must be finite, got {strength!r}")

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        series = torch.randn(windows, weights + 1, generator=generator, dtype=torch.float64)
        effect, causes = series[:, 0].clone(), series[:, 1:]
        effect[1:] += strength * causes[:-1, 0]
        return effect, causes

    return draw


def p_values(
    effect: Tensor, causes: Tensor, *, max_lag: int, lag: int | str = "bic", test: str = "ssr_f", augment: int = 0
) -> Tensor:
    """Return one p-value per cause.

    Parameters
    ----------
    effect, causes, max_lag, test, augment
        As in `granger_test`.
    lag : int or str, default "bic"
        Number of lags of the test, "bic" or "aic" for the number that this criterion selects, or "smallest" for the
        smallest p-value over all lags.

    Returns
    -------
    Tensor (M,)

    Raises
    ------
    ValueError
        If `lag` is invalid, and as `granger_test`.
    """
    result = granger_test(effect, causes, max_lag=max_lag, test=test, augment=augment)
    if lag == "smallest":
        return result.min_p
    if isinstance(lag, str) and lag not in ("bic", "aic"):
        raise ValueError(f"lag must be a number of lags, 'bic', 'aic' or 'smallest', got {lag!r}")
    return result.p_at(result.best_lag(lag) if isinstance(lag, str) else lag)


def false_positive_rate(
    draw: Draw,
    *,
    max_lag: int,
    lag: int | str = "bic",
    test: str = "ssr_f",
    augment: int = 0,
    significance: float = 0.05,
    repeats: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate how often unrelated causes are rejected, without and with correction for multiple testing.

    Parameters
    ----------
    draw : Draw
        `noise_series`, `surrogate_series`, or your own function.
    max_lag, lag, test, augment
        As in `p_values`.
    significance : float, default 0.05
        Significance level for the corrected p-values.
    repeats : int, default 200
        Number of draws, at least 2.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    DataFrame
        One row per correction ("none", "bonferroni", "benjamini_hochberg"), with the columns any, any_low and any_high
        (probability of at least one false positive, with its 95% Clopper-Pearson interval over the independent draws),
        share, share_low and share_high (share of false positives among the causes, with its bootstrap interval over
        draws, because the causes of one draw share the effect), windows, weights and repeats.

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """
    at_least(2, repeats=repeats)
    called, windows = _rejections(draw, max_lag, lag, test, augment, significance, repeats, seed)
    rows = {}
    for correction, rejected in called.items():
        alarms = share_interval(int(rejected.any(1).sum()), repeats)
        share = mean_interval(rejected.double().mean(1).cpu().numpy())
        rows[correction] = {**_columns("any", alarms), **_columns("share", share)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("correction").reset_index()
    return table.assign(windows=windows, weights=rejected.shape[1], repeats=repeats)


def power(
    strengths: Sequence[float],
    *,
    windows: int,
    weights: int,
    max_lag: int,
    lag: int | str = "bic",
    test: str = "ssr_f",
    augment: int = 0,
    significance: float = 0.05,
    repeats: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate how often one planted cause among `weights` is detected.

    All strengths have the same noise. At strength 0, the power of a correct test is the significance level.

    Parameters
    ----------
    strengths : sequence of float
        Strengths of the planted cause, as in `planted_series`.
    windows, weights
        As in `planted_series`.
    max_lag, lag, test, augment, significance, repeats, seed
        As in `false_positive_rate`.

    Returns
    -------
    DataFrame
        One row per strength and correction, with the columns strength, correction, power, power_low and power_high (95%
        Clopper-Pearson interval over draws), share, share_low and share_high (share of false positives among the other
        causes, if any, with its bootstrap interval over draws), windows, weights and repeats.
    """
    at_least(2, repeats=repeats)
    rows = []
    for strength in strengths:
        draw = planted_series(strength, windows=windows, weights=weights)
        called, _ = _rejections(draw, max_lag, lag, test, augment, significance, repeats, seed)
        for correction, rejected in called.items():
            row = {"strength": float(strength), "correction": correction}
            row |= _columns("power", share_interval(int(rejected[:, 0].sum()), repeats))
            if weights > 1:
                row |= _columns("share", mean_interval(rejected[:, 1:].double().mean(1).cpu().numpy()))
            rows.append(row)
    return pd.DataFrame(rows).assign(windows=windows, weights=weights, repeats=repeats)


def _rejections(
    draw: Draw, max_lag: int, lag: int | str, test: str, augment: int, significance: float, repeats: int, seed: int
) -> tuple[dict[str, Tensor], int]:
    """Return the rejections {correction: (repeats, M) bool} and the number of windows."""
    if not 0 < significance < 1:
        raise ValueError(f"significance must lie between 0 and 1, got {significance!r}")
    rejections: dict[str, list[Tensor]] = {correction: [] for correction in CORRECTIONS}
    seeds = torch.randint(2**31, (repeats,), generator=torch.Generator().manual_seed(seed)).tolist()
    for one in seeds:
        effect, causes = draw(one)
        p_value = p_values(effect, causes, max_lag=max_lag, lag=lag, test=test, augment=augment)
        for correction, correct in CORRECTIONS.items():
            rejections[correction].append(correct(p_value) < significance)
    return {correction: torch.stack(rejected) for correction, rejected in rejections.items()}, len(effect)


def _columns(name: str, interval: Interval) -> dict[str, float | None]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
