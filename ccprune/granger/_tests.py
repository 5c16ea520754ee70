"""Granger tests of many candidate causes against one effect, for all weights and lags together.

The null hypothesis is that the last `l` values of a cause do not help a linear regression to predict the effect beyond
the last `l` values of the effect and a constant (Granger, 1969; LEGCNet section 3.5, which calls statsmodels'
`grangercausalitytests` once per weight). The effect's lags, which are regressors for all causes, are factorised once
per lag and projected out. This leaves a small batched least-squares problem per lag; see `ccprune.granger._sums`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from scipy import special
from torch import Tensor

from ccprune._util.checks import require_at_least, require_one_of, rows_within
from ccprune._util.series import Series, as_tensor, finite
from ccprune._util.threads import one_thread
from ccprune.granger._columns import Sums, by_columns
from ccprune.granger._cpu import BLOCK
from ccprune.granger._result import GrangerResult
from ccprune.granger._sums import by_depth, own_regressions

MAX_BYTES = 2**28  # default working memory
_ENOUGH = 2**21  # products of the effect with the lags of the causes that are worth a second thread, some milliseconds
_UNTESTED = Sums(0.0, 1.0, 1.0, 1.0)  # replaces the sums of infeasible tests, giving statistic 0 and p-value 1


def _check(effect: Tensor, causes: Tensor, covariates: Tensor, max_lag: int, each: int, extra: int) -> None:
    for name, value, dims in (("effect", effect, 1), ("causes", causes, 2), ("covariates", covariates, 2)):
        if value.ndim != dims:
            raise ValueError(f"{name} must have {dims} dimension(s), got shape {tuple(value.shape)}")
        if not finite(value):
            raise ValueError(f"{name} must be finite, got NaN or infinite values")
        if value.shape[0] != effect.shape[0]:
            raise ValueError(f"{name} must have one row per window of effect ({len(effect)}), got {value.shape[0]}")
    needed = each * max_lag + extra
    if effect.shape[0] <= needed:
        raise ValueError(
            f"max_lag={max_lag} needs more than {needed} windows, got {effect.shape[0]}; "
            f"the largest possible here is {max(0, (effect.shape[0] - 1 - extra) // each)}"
        )
    if bool((effect == effect[0]).all()):
        raise ValueError("effect is constant: there is nothing to predict")


def granger_test(
    effect: Series,
    causes: Series,
    *,
    max_lag: int,
    test: str = "ssr_chi2",
    augment: int = 0,
    covariates: Series | None = None,
    time_varying: str | None = None,
    cov_type: str = "nonrobust",
    max_bytes: int = MAX_BYTES,
) -> GrangerResult:
    """Test for each cause whether its lags help to predict the effect beyond the lags of the effect itself.

    Parameters
    ----------
    effect : Tensor, array or Series (K,)
        Series of the effect; in LEGCNet the misclassification risk per window.
    causes : Tensor, array or DataFrame (K, M)
        One series per column; in LEGCNet the Lyapunov exponents of one weight.
    max_lag : int
        Largest number of lags; the numbers 1..max_lag are tested.
    test : str, default "ssr_chi2"
        "ssr_chi2": T (SSR_own - SSR_joint) / SSR_joint against chi-squared with l degrees of freedom, LEGCNet's
        choice. "ssr_f": the exact F form, whose size is closer to the nominal level in short series.
    augment : int, default 0
        Number of additional lags of both series in the regressions that are not tested. With 1 this is the
        lag-augmented test of Toda and Yamamoto (1995) for series integrated of order at most 1, which is valid without
        differencing.
    covariates : Tensor, array, DataFrame or None (K, Q), default None
        Further series, one per column, whose lags are regressors with and without the cause. The test is then
        conditional on them (Geweke, 1984).
    time_varying : None, "effect" or "change", default None
        None: the coefficients of the cause's tested lags are constant. Otherwise they are linear in time, and a linear
        trend is a regressor with and without the cause. "effect" tests that they are 0 at all times, with 2 l degrees
        of freedom, which finds causes whose coefficients change sign. "change" tests that they are constant, with l
        degrees of freedom (Farley, Hinich and McGuire, 1975). The other coefficients are constant.
    cov_type : "nonrobust" or "HAC", default "nonrobust"
        "HAC": Wald statistic with the covariance of Newey and West (1987), for errors whose variance changes or that
        are correlated in time, against the distribution that `test` names; with "ssr_f" it is divided by l and the
        covariance multiplied by T / (residual degrees of freedom). Weights are Bartlett's, with bandwidth
        floor(4 (T / 100)^(2/9)). In short series it rejects a true null hypothesis too often, more so with more lags
        and with causes that differ from their mean in a few windows only.
    max_bytes : int, default `MAX_BYTES`
        Working memory in bytes beside the arguments and the result, which has four numbers per cause and lag. Causes
        are processed in blocks within this limit. The CPU needs at least 32 (K + 5 L^2) numbers per thread.

    Returns
    -------
    GrangerResult
        float64, on the device of `causes`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid (the message names it), if there are too few windows (K > 3 (max_lag + augment) + 1 is
        required, without `augment` as in statsmodels; Q (max_lag + augment) more with covariates, max_lag + 1 more with
        `time_varying`), if the effect is constant, or if one cause alone needs more than `max_bytes`.

    Examples
    --------
    >>> effect, noise = torch.randn(2, 200, generator=torch.Generator().manual_seed(0)).double()
    >>> causes = torch.stack([effect.roll(-1) + noise, noise], dim=1)  # the first precedes the effect by one step
    >>> (granger_test(effect, causes, max_lag=2).min_p < 0.001).tolist()
    [True, False]
    """
    require_at_least(0, augment=augment)
    require_at_least(1, max_lag=max_lag)
    require_one_of(("ssr_chi2", "ssr_f"), test=test)
    require_one_of(("nonrobust", "HAC"), cov_type=cov_type)
    if time_varying is not None:
        require_one_of(("effect", "change"), time_varying=time_varying)
    effect, causes = as_tensor("effect", effect), as_tensor("causes", causes)
    given = causes.new_empty(*causes.shape[:1], 0) if covariates is None else as_tensor("covariates", covariates)
    series, varies = 3 + given.shape[1:].numel(), time_varying is not None
    _check(effect, causes, given, max_lag, series + varies, 1 + series * augment + varies)
    causes, effect = causes.detach(), effect.detach().to(causes.device, torch.float64)
    # The regressions have a constant, so means do not affect the result, but sums of centred series are more accurate.
    effect = effect - effect.mean()
    deepest = max_lag + augment
    plain = covariates is None and not varies and cov_type == "nonrobust"
    regressions: Callable[[Tensor], Iterator[tuple[int, Sums]]]
    if plain:
        regressions = partial(by_depth, effect, own=own_regressions(effect, deepest=deepest, augment=augment))
    else:
        given = given.detach().to(causes.device, torch.float64)
        options = {"deepest": deepest, "covariates": given, "time_varying": time_varying}
        regressions = partial(by_columns, effect, **options, robust=cov_type == "HAC")
    # A few copies of the series; for causes computed from the columns, the lags, their basis and their residuals; and a
    # few copies of the result.
    size = 8 * (4 * len(effect) + (6 if plain else 20) * deepest * len(effect) + 12 * max_lag)
    most = rows_within(max_bytes, size, "one cause")
    most = most // BLOCK * BLOCK or most  # whole blocks of the kernel, with the same last digits whatever max_bytes is
    answer = causes.new_empty(4, max_lag, causes.shape[1], dtype=torch.float64)
    infeasible = causes.new_empty(causes.shape[1], dtype=torch.bool)
    lags = torch.arange(1, max_lag + 1, dtype=torch.float64, device=causes.device)[:, None]
    counts, per_lag = effect.shape[0] - augment - lags, 2 if time_varying == "effect" else 1
    for first in range(0, causes.shape[1], most):
        block = slice(first, first + most)
        part = causes[:, block].to(torch.float64)
        with one_thread(part.numel() * deepest < _ENOUGH):
            *found, failed = _all_lags(effect, part, partial(regressions, augment=augment))
            sums = Sums(*(torch.where(failed, unit, one) for one, unit in zip(found, _UNTESTED, strict=True)))
        ratio = sums.gain / sums.joint_ssr
        answer[0, :, block] = counts * ratio if test == "ssr_chi2" else ratio / (per_lag * lags) * sums.freedom
        answer[1, :, block] = sums.freedom
        answer[2, :, block], answer[3, :, block] = found[1], found[2]
        infeasible[block] = failed.any(0)
    # After all blocks: a compiled kernel's threads stay busy for some milliseconds after it and would delay these.
    with one_thread(causes.numel() * deepest < _ENOUGH):
        answer[1] = _p_values(answer[0], answer[1], test, per_lag)
    return GrangerResult(
        statistic=answer[0],
        p_value=answer[1],
        min_p=answer[1].amin(0),
        infeasible=infeasible,
        own_ssr=answer[2],
        joint_ssr=answer[3],
        observations=tuple(int(count) for count in counts),
        test=test,
        lag_parameters=series - 1 + varies,
    )


def _p_values(statistic: Tensor, freedom: Tensor, test: str, per_lag: int) -> Tensor:
    """Return p-values (L, M) of statistics (L, M) with `per_lag` degrees of freedom per lag. They replace `freedom`.

    The causes are divided among torch's threads.
    """
    lags = per_lag * np.arange(1.0, 1 + len(statistic))[:, None]
    values, out = statistic.cpu().numpy(), freedom.cpu().numpy()
    bounds = np.linspace(0, values.shape[1], torch.get_num_threads() + 1, dtype=int)

    def fill(columns: slice) -> None:
        x, p = values[:, columns], out[:, columns]
        special.chdtrc(lags, x, out=p) if test == "ssr_chi2" else special.fdtrc(lags, p, x, out=p)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(fill, map(slice, bounds[:-1], bounds[1:])))
    return torch.from_numpy(out).to(statistic.device)


def _all_lags(
    effect: Tensor, causes: Tensor, regressions: Callable[[Tensor], Iterator[tuple[int, Sums]]]
) -> tuple[Tensor, ...]:
    """Return the `Sums` with 1..L lags, and whether a test is infeasible; each (L, M), for causes (K, M)."""
    count = len(effect)
    longest = _longest_still(effect[:, None]).repeat(causes.shape[1])
    # A constant stretch that matters covers the middle of a series, because count is above 3 times the largest depth.
    still = causes[count // 2] == causes[count // 2 - 1]
    longest[still] = torch.maximum(longest[still], _longest_still(causes[:, still]))
    rows: list[tuple[Tensor, ...]] = []
    for depth, sums in regressions((causes - causes.mean(0)).T):
        target = effect[depth:]
        perfect = sums.joint_ssr <= torch.finfo(torch.float64).eps * (target - target.mean()).square().sum()
        # The lagged columns are all stretches of K - depth rows; one is constant if a series is constant for so long.
        rows.append((*sums, (longest >= count - depth) | perfect | sums.gain.isnan()))
    return tuple(torch.stack(column[::-1]) for column in zip(*rows, strict=True))


def _longest_still(series: Tensor) -> Tensor:
    """Return the length (M,) of the longest constant stretch of a series (K, M) without its last row, never lagged."""
    place = torch.arange(len(series) - 1, device=series.device)[:, None]
    changed = series[1:-1] != series[:-2]
    began = torch.cat([torch.zeros_like(place[:1]).expand(1, series.shape[1]), torch.where(changed, place[1:], 0)])
    return (place - began.cummax(0).values).amax(0) + 1


def benjamini_hochberg(p_value: Tensor) -> Tensor:
    """Adjust p-values by the method of Benjamini and Hochberg (1995).

    An adjusted p-value is the smallest false discovery rate at which the hypothesis is rejected.

    Parameters
    ----------
    p_value : Tensor (M,)

    Raises
    ------
    ValueError
        If a p-value lies outside [0, 1] or is NaN, or if there is more than one dimension.

    Examples
    --------
    >>> benjamini_hochberg(torch.tensor([0.01, 0.04, 0.03], dtype=torch.float64)).tolist()
    [0.03, 0.04, 0.04]
    """
    if p_value.ndim != 1:
        raise ValueError(f"p_value must have 1 dimension, got shape {tuple(p_value.shape)}")
    if not bool(((p_value >= 0) & (p_value <= 1)).all()):
        raise ValueError("p_value must lie in [0, 1]")
    from scipy import stats  # takes half a second to import

    adjusted = stats.false_discovery_control(p_value.cpu().numpy(), method="bh")
    return torch.as_tensor(adjusted, dtype=p_value.dtype, device=p_value.device)
