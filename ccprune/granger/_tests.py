"""Granger tests of many candidate causes against one effect, all weights and all lags at once.

The test asks whether the last `l` values of a cause help a linear regression to predict the effect beyond the
effect's own last `l` values and a constant (Granger, 1969; LEGCNet section 3.5, there called once per weight through
statsmodels' `grangercausalitytests`). The regressors that all causes share, the effect's own lags, are factorised once
per lag and projected out; what is left is a small batched least-squares problem per lag, see `_granger_sums`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import special
from torch import Tensor

from ccprune._util.checks import at_least, rows_within
from ccprune._util.series import finite
from ccprune.granger._sums import Own, Sums, by_depth, own_regressions

MAX_BYTES = 2**28  # working memory, by default
_UNTESTED = Sums(0.0, 1.0, 1.0, 1.0)  # stands for the sums where there is no test: statistic 0, p-value 1


@dataclass(frozen=True)
class GrangerResult:
    """Outcome of `granger_test` for M causes and lags 1..L.

    Attributes
    ----------
    statistic, p_value : Tensor (L, M)
        Row `l - 1` is the test with `l` lags. Where the test cannot be computed: statistic 0, p-value 1.
    min_p : Tensor (M,)
        Smallest p-value over the lags. It is not corrected for having looked at L lags.
    infeasible : Tensor (M,) of bool
        True where any lag could not be tested: a lagged column is constant, or the fit is perfect. statsmodels raises
        `InfeasibleTestError` for these; LEGCNet's scripts then keep the weight.
    own_ssr, joint_ssr : Tensor (L, M)
        Residual sums of squares without and with the cause.
    observations : tuple of L int
        Rows of each regression.
    test : str
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
        """Lag (M,), counted from 1, with the smallest AIC or BIC of the joint regression per observation.

        Raises ValueError for a criterion other than "aic" or "bic".
        """
        if criterion not in ("aic", "bic"):
            raise ValueError(f"criterion must be 'aic' or 'bic', got {criterion!r}")
        scores = []
        for lag, count in enumerate(self.observations, start=1):
            penalty = 2.0 if criterion == "aic" else float(np.log(count))
            fit = torch.log(self.joint_ssr[lag - 1].clamp_min(torch.finfo(torch.float64).tiny) / count)
            # Divided by the observations, because each lag drops another row at the beginning.
            scores.append(fit + penalty * (2 * lag + 1) / count)
        return torch.stack(scores).argmin(0) + 1

    def p_at(self, lag: Tensor | int) -> Tensor:
        """p-values (M,) at one lag per cause (counted from 1), for instance at `best_lag()`."""
        lag = torch.as_tensor(lag, device=self.p_value.device).expand(self.p_value.shape[1])
        if bool(((lag < 1) | (lag > self.p_value.shape[0])).any()):
            raise ValueError(f"lag must lie in 1..{self.p_value.shape[0]}, got {lag.tolist()}")
        return self.p_value.gather(0, (lag - 1)[None].long())[0]


def _check(effect: Tensor, causes: Tensor, max_lag: int, test: str, extra: int) -> None:
    for name, value, dims in (("effect", effect, 1), ("causes", causes, 2)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a Tensor, got {type(value).__name__}")
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
    effect: Tensor,
    causes: Tensor,
    *,
    max_lag: int,
    test: str = "ssr_chi2",
    augment: int = 0,
    max_bytes: int = MAX_BYTES,
) -> GrangerResult:
    """Tests for each cause whether its lags help to predict the effect beyond the effect's own lags.

    Parameters
    ----------
    effect : Tensor (K,)
        Misclassification risk per window in LEGCNet.
    causes : Tensor (K, M)
        One column per weight: its Lyapunov exponents.
    max_lag : int
        Tests are made with 1..max_lag lags.
    test : str
        "ssr_chi2" (T (SSR_own - SSR_joint) / SSR_joint against chi-squared with l degrees of freedom; the authors'
        choice) or "ssr_f" (the exact F form, which holds its size better in short series).
    augment : int
        Extra lags of both series that enter the regressions but are not tested. With 1 this is the lag-augmented test
        of Toda and Yamamoto (1995) for series integrated of order at most 1, valid without differencing.
    max_bytes : int
        Working memory beside the arguments and the answer, which has four numbers per cause and lag. Causes are taken
        in blocks that need no more.

    Returns
    -------
    GrangerResult
        float64, on the device of `causes`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument; also when there are too few windows (as statsmodels: K > 3 max_lag + 1) or when the effect
        is constant, or one cause alone needs more than `max_bytes`.
    """
    at_least(0, augment=augment)
    _check(effect, causes, max_lag, test, 3 * augment)
    effect = effect.to(causes.device, torch.float64)
    # The regressions have a constant, so means do not matter; without them the sums keep more digits.
    effect = effect - effect.mean()
    own = own_regressions(effect, deepest=max_lag + augment, augment=augment)
    # The series a few times over; where digits are short, the lags, their directions and what is left of them; and a
    # few times the answer.
    each = 8 * (4 * len(effect) + 6 * (max_lag + augment) * len(effect) + 12 * max_lag)
    most = rows_within(max_bytes, each, "one cause")
    answer = causes.new_empty(4, max_lag, causes.shape[1], dtype=torch.float64)
    infeasible = causes.new_empty(causes.shape[1], dtype=torch.bool)
    counts = effect.shape[0] - augment - torch.arange(1, max_lag + 1, dtype=torch.float64, device=causes.device)
    for first in range(0, causes.shape[1], most):
        block = slice(first, first + most)
        *found, failed = _all_lags(effect, causes[:, block].to(torch.float64), own, augment)
        sums = Sums(*(torch.where(failed, unit, part) for part, unit in zip(found, _UNTESTED, strict=True)))
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
    """Statistics and p-values (L, M)."""
    lags = torch.arange(1, len(counts) + 1, dtype=torch.float64, device=counts.device)[:, None]
    ratio = sums.gain / sums.joint_ssr
    if test == "ssr_chi2":
        statistic = counts * ratio
        p_value = special.chdtrc(lags.cpu().numpy(), statistic.cpu().numpy())
    else:
        statistic = ratio / lags * sums.freedom
        p_value = special.fdtrc(lags.cpu().numpy(), sums.freedom.cpu().numpy(), statistic.cpu().numpy())
    return statistic, torch.as_tensor(p_value, device=counts.device)


def _all_lags(effect: Tensor, causes: Tensor, own: Sequence[Own], augment: int) -> tuple[Tensor, ...]:
    """`Sums` with 1..L lags, and whether a test is infeasible; each (L, M), for causes (K, M)."""
    count = len(effect)
    longest = torch.maximum(_longest_still(effect[:, None]), _longest_still(causes))
    rows: list[tuple[Tensor, ...]] = []
    for depth, sums in by_depth(effect, (causes - causes.mean(0)).T, own, augment=augment):
        target = effect[depth:]
        perfect = sums.joint_ssr <= torch.finfo(torch.float64).eps * (target - target.mean()).square().sum()
        # The lagged columns are all stretches of K - depth rows: one is constant if a series stands still for so long.
        rows.append((*sums, (longest >= count - depth) | perfect))
    return tuple(torch.stack(column[::-1]) for column in zip(*rows, strict=True))


def _longest_still(series: Tensor) -> Tensor:
    """Number of rows (M,) of the longest stretch in which a series (K, M) does not change; no lag reaches its last."""
    place = torch.arange(len(series) - 1, device=series.device)[:, None]
    changed = series[1:-1] != series[:-2]
    began = torch.cat([torch.zeros_like(place[:1]).expand(1, series.shape[1]), torch.where(changed, place[1:], 0)])
    return (place - began.cummax(0).values).amax(0) + 1


def benjamini_hochberg(p_value: Tensor) -> Tensor:
    """Adjusted p-values (M,): the smallest false discovery rate at which each is called a discovery.

    Benjamini and Hochberg (1995). Raises ValueError when a p-value lies outside [0, 1] or is NaN.

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
