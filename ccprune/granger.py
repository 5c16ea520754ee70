"""Granger tests of many candidate causes against one effect, all weights and all lags at once.

The test asks whether the last `l` values of a cause help a linear regression to predict the effect beyond the
effect's own last `l` values and a constant (Granger, 1969; LEGCNet section 3.5, there called once per weight through
statsmodels' `grangercausalitytests`). The regressors that all causes share, the effect's own lags, are factorised once
per lag and projected out; what is left is a small batched least-squares problem per lag, see `_granger_sums`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import special, stats
from torch import Tensor

from ccprune._checks import at_least
from ccprune._granger_sums import by_depth


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
        if not bool(torch.isfinite(value).all()):
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
    effect: Tensor, causes: Tensor, *, max_lag: int, test: str = "ssr_chi2", augment: int = 0
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

    Returns
    -------
    GrangerResult
        float64, on the device of `causes`.

    Raises
    ------
    TypeError, ValueError
        Naming the argument; also when there are too few windows (as statsmodels: K > 3 max_lag + 1) or when the effect
        is constant.
    """
    at_least(0, augment=augment)
    _check(effect, causes, max_lag, test, 3 * augment)
    effect = effect.to(causes.device, torch.float64)
    series = causes.to(torch.float64).T
    both = torch.cat([effect[None], series])
    changes = torch.zeros(both.shape, dtype=torch.int64, device=both.device)
    changes[:, 1:] = (both[:, 1:] != both[:, :-1]).cumsum(1)
    # The regressions have a constant, so means do not matter; without them the sums keep more digits.
    effect, series = effect - effect.mean(), series - series.mean(1, keepdim=True)
    rows: list[tuple[Tensor, ...]] = []
    for depth, sums in by_depth(effect, series, deepest=max_lag + augment, augment=augment):
        # A lagged column is constant when nothing changes between its first row and its last.
        last = effect.shape[0] - depth - 1
        still = (changes[:, last : last + depth] == changes[:, :depth]).any(1)
        target = effect[depth:]
        perfect = sums.joint_ssr <= torch.finfo(torch.float64).eps * (target - target.mean()).square().sum()
        rows.append((*sums, still[1:] | still[0] | perfect))
    gain, own_ssr, joint_ssr, freedom, infeasible = (torch.stack(column[::-1]) for column in zip(*rows, strict=True))
    lags = torch.arange(1, max_lag + 1, dtype=torch.float64, device=series.device)[:, None]
    counts = effect.shape[0] - augment - lags
    ratio = gain / torch.where(infeasible, 1.0, joint_ssr)
    if test == "ssr_chi2":
        statistic = counts * ratio
        p_value = special.chdtrc(lags.cpu().numpy(), statistic.cpu().numpy())
    else:
        statistic = ratio / lags * freedom
        p_value = special.fdtrc(lags.cpu().numpy(), freedom.cpu().numpy(), statistic.cpu().numpy())
    p_values = torch.where(infeasible, 1.0, torch.as_tensor(p_value, device=series.device))
    return GrangerResult(
        statistic=torch.where(infeasible, 0.0, statistic),
        p_value=p_values,
        min_p=p_values.amin(0),
        infeasible=infeasible.any(0),
        own_ssr=own_ssr,
        joint_ssr=joint_ssr,
        observations=tuple(int(count) for count in counts[:, 0]),
        test=test,
    )


def benjamini_hochberg(p_value: Tensor) -> Tensor:
    """Adjusted p-values (M,): the smallest false discovery rate at which each is called a discovery.

    Benjamini and Hochberg (1995). Raises ValueError when a p-value lies outside [0, 1] or is NaN.
    """
    if p_value.ndim != 1:
        raise ValueError(f"p_value must have 1 dimension, got shape {tuple(p_value.shape)}")
    if not bool(((p_value >= 0) & (p_value <= 1)).all()):
        raise ValueError("p_value must lie in [0, 1]")
    adjusted = stats.false_discovery_control(p_value.cpu().numpy(), method="bh")
    return torch.as_tensor(adjusted, dtype=p_value.dtype, device=p_value.device)
