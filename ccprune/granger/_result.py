"""Result of `ccprune.granger.granger_test`."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


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
        True where the test is infeasible at any lag, because a lagged column is constant or the fit is perfect
        (statsmodels then raises `InfeasibleTestError`, and LEGCNet's scripts keep the weight), or because one row
        nearly determines a coefficient that is tested with a robust covariance (leverage above 0.9, as of a single
        pulse).
    own_ssr, joint_ssr : Tensor (L, M)
        Residual sums of squares without and with the tested lags of the cause.
    observations : tuple of L int
        Number of rows of each regression.
    test : str
        "ssr_chi2" or "ssr_f".
    lag_parameters : int
        Number of coefficients of the joint regression per lag: 2, one more per covariate, and one more if the cause's
        coefficients vary in time.
    """

    statistic: Tensor
    p_value: Tensor
    min_p: Tensor
    infeasible: Tensor
    own_ssr: Tensor
    joint_ssr: Tensor
    observations: tuple[int, ...]
    test: str
    lag_parameters: int

    def best_lag(self, criterion: str = "aic") -> Tensor:
        """Lag with the smallest AIC or BIC per observation of the joint regression.

        Parameters
        ----------
        criterion : "aic" or "bic", default "aic"
            Information criterion: log(joint_ssr / T) + c (p l + 1) / T with T the `observations` of lag l, p the
            `lag_parameters`, and c = 2 for AIC and log(T) for BIC.

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
            scores.append(fit + penalty * (self.lag_parameters * lag + 1) / count)
        return torch.stack(scores).argmin(0) + 1

    def p_at(self, lag: Tensor | int) -> Tensor:
        """p-values (M,) at one lag per cause (counted from 1), for instance `best_lag()`; ValueError outside 1..L."""
        lag = torch.as_tensor(lag, device=self.p_value.device).expand(self.p_value.shape[1])
        if bool(((lag < 1) | (lag > self.p_value.shape[0])).any()):
            raise ValueError(f"lag must lie in 1..{self.p_value.shape[0]}, got {lag.tolist()}")
        return self.p_value.gather(0, (lag - 1)[None].long())[0]
