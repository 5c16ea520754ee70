"""Granger tests of many candidate causes against one effect, for all weights and lags together.

The null hypothesis is that the last `l` values of a cause do not help a linear regression to predict the effect beyond
the last `l` values of the effect and a constant (Granger, 1969; LEGCNet section 3.5, which calls statsmodels'
`grangercausalitytests` once per weight). The effect's lags, which are regressors for all causes, are factorised once
per lag and projected out. This leaves a small batched least-squares problem per lag; see `ccprune.granger._sums`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor

from ccprune._util.checks import at_least, rows_within
from ccprune._util.series import Series, as_tensor, finite
from ccprune._util.threads import one_thread
from ccprune.granger._cpu import BLOCK
from ccprune.granger._sums import Own, Sums, by_depth, own_regressions

MAX_BYTES = 2**28  # default working memory
_ENOUGH = 2**21  # products of the effect with the lags of the causes that are worth a second thread, some milliseconds
_UNTESTED = Sums(0.0, 1.0, 1.0, 1.0)  # replaces the sums of infeasible tests, giving statistic 0 and p-value 1


@dataclass(frozen=True)
class GrangerResult:
    """Result of `granger_test` for M causes and lags 1..L.

    Attributes
    ----------
    statistic, p_value : Tensor (L, M)
        Row `l - 1` is the test with `l` lags. Where the test is infeasible, the statistic is 0 and the p-value 1.
    min_p : Tensor (M,)
        Smallest p-value over the lags, without a correction for testing L lags.
    infeasible : Tensor (M,) of bool
        True where the test is infeasible at any lag, because a lagged column is constant or the fit is perfect.
        statsmodels raises `InfeasibleTestError` in these cases, and LEGCNet's scripts then keep the weight.
    own_ssr, joint_ssr : Tensor (L, M)
        Residual sums of squares without and with the tested lags of the cause.
    observations : tuple of L int
        Number of rows of each regression.
    test : str
        "ssr_chi2" or "ssr_f".
    """

    statistic: Tensor
    p_value: Tensor
    min_p: Tensor
    infeasible: Tensor
    own_ssr: Tensor
    joint_ssr: Tensor
    observations: tuple[int, ...]
    test: str

    def best_lag(self, criterion: str = "aic") -> Tensor:
        """Lag with the smallest AIC or BIC per observation of the joint regression.

        Parameters
        ----------
        criterion : "aic" or "bic", default "aic"
            Information criterion: log(joint_ssr / T) + c (2 l + 1) / T with T the `observations` of lag l, and c = 2
            for AIC and log(T) for BIC.

        Returns
        -------
        Tensor (M,)
            Number of tested lags l, counted from 1; the smallest of equal ones.

        Raises
        ------
        ValueError
            If `criterion` is neither "aic" nor "bic".

        Notes
        -----
        With `augment` > 0 the regression has 2 (l + augment) + 1 parameters, but the penalty counts only 2 l + 1. The
        missing term, 2 augment c / T, increases with l because T decreases. The returned lag is therefore never smaller
        than the lag that minimises the criterion with all parameters counted, and it can be larger.
        """
        if criterion not in ("aic", "bic"):
            raise ValueError(f"criterion must be 'aic' or 'bic', got {criterion!r}")
        scores = []
        for lag, count in enumerate(self.observations, start=1):
            penalty = 2.0 if criterion == "aic" else float(np.log(count))
            fit = torch.log(self.joint_ssr[lag - 1].clamp_min(torch.finfo(torch.float64).tiny) / count)
            # Divided by the number of observations, because each lag drops one more row at the beginning.
            scores.append(fit + penalty * (2 * lag + 1) / count)
        return torch.stack(scores).argmin(0) + 1

    def p_at(self, lag: Tensor | int) -> Tensor:
        """p-values (M,) at one lag per cause (counted from 1), for instance `best_lag()`; ValueError outside 1..L."""
        lag = torch.as_tensor(lag, device=self.p_value.device).expand(self.p_value.shape[1])
        if bool(((lag < 1) | (lag > self.p_value.shape[0])).any()):
            raise ValueError(f"lag must lie in 1..{self.p_value.shape[0]}, got {lag.tolist()}")
        return self.p_value.gather(0, (lag - 1)[None].long())[0]


def _check(effect: Tensor, causes: Tensor, max_lag: int, test: str, extra: int) -> None:
    for name, value, dims in (("effect", effect, 1), ("causes", causes, 2)):
        if value.ndim != dims:
            raise ValueError(f"{name} must have {dims} dimension(s), got shape {tuple(value.shape)}")
        if not finite(value):
            raise ValueError(f"{name} must be finite, got NaN or infinite values")
    if causes.shape[0] != effect.shape[0]:
        raise ValueError(f"causes must have one row per window of effect ({effect.shape[0]}), got {causes.shape[0]}")
    at_least(1, max_lag=max_lag)
    if test not in ("ssr_chi2", "ssr_f"):
        raise ValueError(f"test must be 'ssr_chi2' or 'ssr_f', got {test!r}")
    needed = 3 * max_lag + 1 + extra
    if effect.shape[0] <= needed:
        raise ValueError(
            f"max_lag={max_lag} needs more than {needed} windows, got {effect.shape[0]}; "
            f"the largest possible here is {max(0, (effect.shape[0] - 2 - extra) // 3)}"
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
        "ssr_chi2": T (SSR_own - SSR_joint) / SSR_joint against chi-squared with l degrees of freedom, the authors'
        choice. "ssr_f": the exact F form, whose size is closer to the nominal level in short series.
    augment : int, default 0
        Number of additional lags of both series in the regressions that are not tested. With 1 this is the
        lag-augmented test of Toda and Yamamoto (1995) for series integrated of order at most 1, which is valid without
        differencing.
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
        required, without `augment` as in statsmodels), if the effect is constant, or if one cause alone needs more than
        `max_bytes`.
    """
    at_least(0, augment=augment)
    effect, causes = as_tensor("effect", effect), as_tensor("causes", causes)
    _check(effect, causes, max_lag, test, 3 * augment)
    causes, effect = causes.detach(), effect.detach().to(causes.device, torch.float64)
    # The regressions have a constant, so means do not affect the result, but sums of centred series are more accurate.
    effect = effect - effect.mean()
    own = own_regressions(effect, deepest=max_lag + augment, augment=augment)
    # A few copies of the series; for causes computed from the columns, the lags, their basis and their residuals; and a
    # few copies of the result.
    each = 8 * (4 * len(effect) + 6 * (max_lag + augment) * len(effect) + 12 * max_lag)
    most = rows_within(max_bytes, each, "one cause")
    most = most // BLOCK * BLOCK or most  # whole blocks of the kernel, with the same last digits whatever max_bytes is
    answer = causes.new_empty(4, max_lag, causes.shape[1], dtype=torch.float64)
    infeasible = causes.new_empty(causes.shape[1], dtype=torch.bool)
    counts = effect.shape[0] - augment - torch.arange(1, max_lag + 1, dtype=torch.float64, device=causes.device)
    for first in range(0, causes.shape[1], most):
        block = slice(first, first + most)
        part = causes[:, block].to(torch.float64)
        with one_thread(part.numel() * own[0].depth < _ENOUGH):
            *found, failed = _all_lags(effect, part, own, augment)
            sums = Sums(*(torch.where(failed, unit, one) for one, unit in zip(found, _UNTESTED, strict=True)))
            answer[0, :, block], answer[1, :, block] = _tests(sums, counts[:, None], test)
        answer[2, :, block], answer[3, :, block] = found[1], found[2]
        infeasible[block] = failed.any(0)
    return GrangerResult(
        statistic=answer[0],
        p_value=answer[1],
        min_p=answer[1].amin(0),
        infeasible=infeasible,
        own_ssr=answer[2],
        joint_ssr=answer[3],
        observations=tuple(int(count) for count in counts),
        test=test,
    )


def _tests(sums: Sums, counts: Tensor, test: str) -> tuple[Tensor, Tensor]:
    """Return statistics and p-values (L, M)."""
    lags = torch.arange(1, len(counts) + 1, dtype=torch.float64, device=counts.device)[:, None]
    ratio = sums.gain / sums.joint_ssr
    if test == "ssr_chi2":
        statistic = counts * ratio
        return statistic, _tail(special.chdtrc, lags, statistic)
    statistic = ratio / lags * sums.freedom
    return statistic, _tail(special.fdtrc, lags, sums.freedom, statistic)


def _tail(function: Callable[..., np.ndarray], lags: Tensor, *arguments: Tensor) -> Tensor:
    """Return the upper tail of a distribution, whose arguments (L, M) are divided among torch's threads."""
    workers = torch.get_num_threads()
    parts = zip(*(value.cpu().tensor_split(workers, 1) for value in arguments), strict=True)
    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(lambda part: function(lags.cpu().numpy(), *(value.numpy() for value in part)), parts)
        return torch.from_numpy(np.concatenate(list(found), 1)).to(lags.device)


def _all_lags(effect: Tensor, causes: Tensor, own: Sequence[Own], augment: int) -> tuple[Tensor, ...]:
    """Return the `Sums` with 1..L lags, and whether a test is infeasible; each (L, M), for causes (K, M)."""
    count = len(effect)
    longest = _longest_still(effect[:, None]).repeat(causes.shape[1])
    # A constant stretch that matters covers the middle of a series, because count is above 3 times the largest depth.
    still = causes[count // 2] == causes[count // 2 - 1]
    longest[still] = torch.maximum(longest[still], _longest_still(causes[:, still]))
    rows: list[tuple[Tensor, ...]] = []
    for depth, sums in by_depth(effect, (causes - causes.mean(0)).T, own, augment=augment):
        target = effect[depth:]
        perfect = sums.joint_ssr <= torch.finfo(torch.float64).eps * (target - target.mean()).square().sum()
        # The lagged columns are all stretches of K - depth rows; one is constant if a series is constant for so long.
        rows.append((*sums, (longest >= count - depth) | perfect))
    return tuple(torch.stack(column[::-1]) for column in zip(*rows, strict=True))


def _longest_still(series: Tensor) -> Tensor:
    """Return the length (M,) of the longest constant stretch of a series (K, M) without its last row, never lagged."""
    place = torch.arange(len(series) - 1, device=series.device)[:, None]
    changed = series[1:-1] != series[:-2]
    began = torch.cat([torch.zeros_like(place[:1]).expand(1, series.shape[1]), torch.where(changed, place[1:], 0)])
    return (place - began.cummax(0).values).amax(0) + 1


def benjamini_hochberg(p_value: Tensor) -> Tensor:
    """Adjust p-values (M,) by the method of Benjamini and Hochberg (1995).

    An adjusted p-value is the smallest false discovery rate at which the hypothesis is rejected. ValueError is raised
    if a p-value lies outside [0, 1] or is NaN, or if there is more than one dimension.

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
