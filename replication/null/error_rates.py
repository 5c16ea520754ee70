"""How often a Granger test cries wolf, and how often it finds what is there."""

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from scipy.stats import binomtest
from torch import Tensor

from ccprune._util.checks import at_least
from ccprune.granger import benjamini_hochberg, granger_test
from ccprune.stats import Interval, mean_interval
from ccprune.stats.surrogates import Surrogate, phase_randomised
from replication.legcnet.procedure import WindowSettings
from replication.null.noise import noise, null_exponents

#: seed -> effect (K,), causes (K, M)
Draw = Callable[[int], tuple[Tensor, Tensor]]

CORRECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda p: p,
    "bonferroni": lambda p: (p * len(p)).clamp_max(1.0),
    "benjamini_hochberg": benjamini_hochberg,
}


def noise_series(kind: str, *, windows: int, weights: int, recording: WindowSettings | None = None) -> Draw:
    """Draws of an effect and `weights` causes that have nothing to do with each other.

    kind: of `surrogates.KINDS`. With a recording the causes are the exponents of noise of that kind, cut and computed
    as it treats weights, and the effect is white noise; without, all are noise of that kind. Raises ValueError naming
    the argument.
    """
    at_least(1, windows=windows, weights=weights)

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        if recording is None:
            series = noise(kind, windows, weights + 1, seed=seed)
            return series[:, 0], series[:, 1:]
        effect = noise("white noise", windows, 1, seed=seed)[:, 0]
        return effect, null_exponents(kind, recording, windows, weights, seed=seed + 1)

    return draw


def surrogate_series(
    effect: Tensor, causes: Tensor, *, surrogate: Surrogate = phase_randomised, **options: int
) -> Draw:
    """Draws of the effect (K,) as it is and surrogates of the causes (K, M): what the test says of these very series.

    surrogate, options: as in `surrogate_test`.
    """
    return lambda seed: (effect, surrogate(causes, seed=seed, **options))


def planted_series(strength: float, *, windows: int, weights: int) -> Draw:
    """Draws of white noise causes, the first of which the effect follows one window later, `strength` times.

    effect_t = strength * cause_{t-1,0} + noise_t, all of unit variance. Raises ValueError naming the argument.
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
    """One p-value (M,) per cause: at the given lag, at the one that "bic" or "aic" chooses, or the "smallest" of all.

    Other arguments and errors as in `granger_test`. Raises ValueError for another lag.
    """
    found = granger_test(effect, causes, max_lag=max_lag, test=test, augment=augment)
    if lag == "smallest":
        return found.min_p
    if isinstance(lag, str) and lag not in ("bic", "aic"):
        raise ValueError(f"lag must be a number of lags, 'bic', 'aic' or 'smallest', got {lag!r}")
    return found.p_at(found.best_lag(lag) if isinstance(lag, str) else lag)


def clopper_pearson(successes: int, trials: int, *, confidence_level: float = 0.95) -> Interval:
    """Exact interval of a probability from independent trials (Clopper and Pearson, 1934)."""
    found = binomtest(successes, trials).proportion_ci(confidence_level, method="exact")
    return Interval(successes / trials, float(found.low), float(found.high), trials)


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
    """How often causes that are none are called causal, before and after correction for their number.

    Parameters
    ----------
    draw : callable
        seed -> effect (K,), causes (K, M): `noise_series`, `surrogate_series`, or of your own.
    max_lag, lag, test, augment
        As in `p_values`.
    significance : float
        A cause is called one where its p-value, corrected, is below.
    repeats : int
        Draws, at least 2.
    seed : int

    Returns
    -------
    DataFrame
        One row per correction ("none", "bonferroni", "benjamini_hochberg"). any, any_low, any_high: probability of at
        least one false alarm, with its 95% Clopper-Pearson interval over the draws, which are independent. share,
        share_low, share_high: share of causes called so; causes of one draw share the effect and are no independent
        trials, so the interval is the bootstrap's over draws. windows, weights, repeats.
    """
    at_least(2, repeats=repeats)
    called, windows = _called(draw, max_lag, lag, test, augment, significance, repeats, seed)
    rows = {}
    for correction, said in called.items():
        alarms = clopper_pearson(int(said.any(1).sum()), repeats)
        share = mean_interval(said.double().mean(1).cpu().numpy())
        rows[correction] = {**_columns("any", alarms), **_columns("share", share)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("correction").reset_index()
    return table.assign(windows=windows, weights=said.shape[1], repeats=repeats)


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
    """How often one planted cause among `weights` is found, over the strengths of `planted_series`.

    Returns a DataFrame with one row per strength and correction: power, power_low, power_high (95% Clopper-Pearson over
    the draws), and share, share_low, share_high, the share of the other causes called so (bootstrap over draws; without
    others left out), windows, weights, repeats. At strength 0 power is the significance level where the test keeps it.
    Every strength has the same noise. Other arguments as in `false_positive_rate`.
    """
    at_least(2, repeats=repeats)
    rows = []
    for strength in strengths:
        draw = planted_series(strength, windows=windows, weights=weights)
        called, _ = _called(draw, max_lag, lag, test, augment, significance, repeats, seed)
        for correction, said in called.items():
            row = {"strength": float(strength), "correction": correction}
            row |= _columns("power", clopper_pearson(int(said[:, 0].sum()), repeats))
            if weights > 1:
                row |= _columns("share", mean_interval(said[:, 1:].double().mean(1).cpu().numpy()))
            rows.append(row)
    return pd.DataFrame(rows).assign(windows=windows, weights=weights, repeats=repeats)


def _called(
    draw: Draw, max_lag: int, lag: int | str, test: str, augment: int, significance: float, repeats: int, seed: int
) -> tuple[dict[str, Tensor], int]:
    """{correction: (repeats, M) of bool}, and the number of windows."""
    if not 0 < significance < 1:
        raise ValueError(f"significance must lie between 0 and 1, got {significance!r}")
    found: dict[str, list[Tensor]] = {correction: [] for correction in CORRECTIONS}
    seeds = torch.randint(2**31, (repeats,), generator=torch.Generator().manual_seed(seed)).tolist()
    for one in seeds:
        effect, causes = draw(one)
        p_value = p_values(effect, causes, max_lag=max_lag, lag=lag, test=test, augment=augment)
        for correction, correct in CORRECTIONS.items():
            found[correction].append(correct(p_value) < significance)
    return {correction: torch.stack(said) for correction, said in found.items()}, len(effect)


def _columns(name: str, interval: Interval) -> dict[str, float | None]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
