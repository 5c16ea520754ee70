"""Granger tests of 60 weights at 20 lags over 150 windows, beside statsmodels' `grangercausalitytests` per weight."""

import warnings

import _common
import numpy as np
import torch
from statsmodels.tsa.stattools import grangercausalitytests

from ccprune import legcnet
from ccprune.granger import granger_test

LAGS, WINDOWS = 20, 150


def evidence() -> tuple[torch.Tensor, torch.Tensor]:
    data, settings, ensemble = _common.cancer()
    found = legcnet.evidence(ensemble, data, settings, settings.ft)
    return found.risk[0, :WINDOWS], found.exponents[0, :WINDOWS]


def by_statsmodels(risk: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """Statistic and p (2, L, M) of the chi-squared form."""
    answers = np.empty((2, LAGS, exponents.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for m, column in enumerate(exponents.T):
            result = grangercausalitytests(np.column_stack([risk, column]), LAGS)
            for lag in range(1, LAGS + 1):
                answers[:, lag - 1, m] = result[lag][0]["ssr_chi2test"][:2]
    return answers


def main() -> None:
    risk, exponents = evidence()
    size = f"{exponents.shape[1]} causes x {LAGS} lags, {WINDOWS} windows"
    rows = []
    cores = torch.get_num_threads()
    for count in sorted({1, cores}):
        with _common.threads(count):
            theirs, slow, slow_peak = _common.measure(
                lambda: by_statsmodels(risk.numpy(), exponents.numpy()), repeats=3, warm_up=False
            )
            ours, quick, quick_peak = _common.measure(lambda: granger_test(risk, exponents, max_lag=LAGS), repeats=30)
        found = torch.stack([ours.statistic, ours.p_value]).numpy()
        error = float((np.abs(found - theirs) / np.maximum(1, np.abs(theirs))).max())
        if error > 1e-8:
            raise SystemExit(f"ccprune and statsmodels differ by {error}")
        task, used = "chi-squared SSR test", f"{count} thread(s)"
        rows.append(_common.row(task, f"statsmodels, {used}", size, slow, slow_peak, None, f"{used}; one pair a call"))
        note = f"{used}; error: largest difference from statsmodels in statistic and p"
        rows.append(_common.row(task, f"ccprune, {used}", size, quick, quick_peak, error, note))
    _common.save("granger", rows)


if __name__ == "__main__":
    main()
