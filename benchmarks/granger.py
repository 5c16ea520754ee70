"""Granger tests beside statsmodels' `grangercausalitytests`, one call per weight, and causal-learn's, which calls that.

The cancer network's exponents and risk, at the sizes of paper A; 10,000 and a million weights are made of them by
adding noise. statsmodels is measured on a subset, seconds scaled to all.

Two things stand between the tests and the machine's limit, which is that of a matrix product. The matrix product fuses
multiplications with additions and the kernel does not, so that its last digits are those of any processor; this halves
its limit. And the p-values, which are measured alone, are no multiplications of the count.
"""

import statistics
import subprocess
import sys
import time
import warnings

import _common
import numpy as np
import torch
from scipy.special import chdtrc
from statsmodels.tsa.stattools import grangercausalitytests

from ccprune.granger import granger_test
from replication.legcnet import procedure as legcnet

WINDOWS, SUBSET = 150, 60
TASK, CLAIMED = "chi-squared SSR test", 500  # times statsmodels, at 10,000 weights and 10 lags
BUSY, BESIDE = 2, 3  # processes, and the claim: at most so many times as slow beside them
SIZES = ((60, 20), (10_000, 10), (1_000_000, 10))


def evidence() -> tuple[torch.Tensor, torch.Tensor]:
    data, settings, ensemble = _common.cancer()
    found = legcnet.exponents_and_risk(ensemble, data, settings, settings.ft)
    return found.risk[0, :WINDOWS], found.exponents[0, :WINDOWS]


def many(exponents: torch.Tensor, count: int) -> torch.Tensor:
    """So many causes, the recorded ones first: copies of them with noise of their own spread."""
    copies = exponents.repeat(1, -(-count // exponents.shape[1]))[:, :count]
    noise = torch.randn(copies.shape, generator=torch.Generator().manual_seed(0), dtype=copies.dtype)
    noise[:, : exponents.shape[1]] = 0
    return copies.addcmul_(noise, copies.std(0, keepdim=True))


def by_statsmodels(risk: np.ndarray, exponents: np.ndarray, lags: int) -> np.ndarray:
    """Statistic and p (2, L, M) of the chi-squared form."""
    answers = np.empty((2, lags, exponents.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for m, column in enumerate(exponents.T):
            result = grangercausalitytests(np.column_stack([risk, column]), lags)
            for lag in range(1, lags + 1):
                answers[:, lag - 1, m] = result[lag][0]["ssr_chi2test"][:2]
    return answers


def by_causal_learn(risk: np.ndarray, exponents: np.ndarray, lags: int) -> np.ndarray:
    """P-values (L, M), rounded to four decimals, as it gives them; it tests the other direction as well."""
    from causallearn.search.Granger.Granger import Granger

    test, answers = Granger(maxlag=lags, test="ssr_chi2test"), np.empty((lags, exponents.shape[1]))
    for m, column in enumerate(exponents.T):
        p_values, _ = test.granger_test_2d(np.column_stack([risk, column]))
        answers[:, m] = p_values[0, 1::2]
    return answers


def multiplications(lags: int) -> int:
    """Multiplications and divisions of all tests of one cause; see `ccprune.granger._sums`."""
    count = (WINDOWS - lags) * lags * ((lags + 1) / 2 + lags + 1)  # products with lags of the cause and of the effect
    for depth in range(1, lags + 1):
        pairs = depth * (depth + 1) // 2
        count += depth * ((depth + 1) * (depth + 2) / 2 + depth + 1)  # with the effect's basis and residual
        count += pairs * (depth + 1) + 2 * depth * (depth**2 - 1) // 6  # the factor and its inverse
        count += 5 * pairs + depth * depth * 3 / 2  # divisions, the trace, the sums, and the next depth's update
    return round(count)


def compare(risk: torch.Tensor, exponents: torch.Tensor, lags: int) -> tuple[list[dict], list[dict]]:
    count = exponents.shape[1]
    size = f"{count} causes x {lags} lags, {WINDOWS} windows"
    some = exponents[:, :SUBSET].numpy()
    scale = count / some.shape[1]
    sampled = f"measured on {some.shape[1]} causes" if scale > 1 else "one pair a call"
    rows, claims = [], []
    cores = torch.get_num_threads()
    for threads in sorted({1, cores}):
        with _common.threads(threads):
            used = f"{threads} thread(s)"
            theirs, slow, peak = _common.measure(
                lambda: by_statsmodels(risk.numpy(), some, lags), repeats=2, warm_up=False
            )
            slow *= scale
            rows.append(_common.row(TASK, f"statsmodels, {used}", size, slow, peak, None, f"{used}; {sampled}"))
            found, quick, peak = _common.measure(
                lambda: granger_test(risk, exponents, max_lag=lags), repeats=3 if count > 10**5 else 10
            )
        ours = torch.stack([found.statistic, found.p_value])[..., : some.shape[1]]
        error = _common.agree(ours, theirs, within=1e-8, what="statsmodels")
        limit = _common.share(quick, threads, multiplications=count * multiplications(lags))
        note = f"{used}; {limit}; error: largest difference from statsmodels in statistic and p"
        rows.append(_common.row(TASK, f"ccprune, {used}", size, quick, peak, error, note))
        if count == max(SIZES)[0]:
            rows.append(p_values_alone(found.statistic.numpy(), lags, threads, size, quick))
        if threads == cores:
            text = f"Granger tests, {count} causes x {lags} lags, {used}, times as fast as statsmodels"
            claims.append(_common.claim(text, slow / quick, least=CLAIMED if count == 10_000 else 100))
    if count == SUBSET:
        rows.append(causal_learn(risk, some, lags, size, theirs[1]))
    return rows, claims


def p_values_alone(statistic: np.ndarray, lags: int, threads: int, size: str, whole: float) -> dict:
    """The part of the tests that is scipy's."""
    degrees = np.arange(1.0, lags + 1)[:, None]
    seconds = _common.measure(lambda: chdtrc(degrees, statistic), repeats=3)[1] / threads
    count = statistic.shape[1]
    limit = _common.share(whole - seconds, threads, multiplications=count * multiplications(lags))
    note = f"{threads} thread(s); measured on one; the rest of the test has {limit}"
    return _common.row("p-values", f"scipy, {threads} thread(s)", size, seconds, None, None, note)


def causal_learn(risk: torch.Tensor, exponents: np.ndarray, lags: int, size: str, expected: np.ndarray) -> dict:
    try:
        found, seconds, peak = _common.measure(
            lambda: by_causal_learn(risk.numpy(), exponents, lags), repeats=1, warm_up=False
        )
    except (ImportError, TypeError) as error:  # it asks statsmodels for an argument that newer releases do not have
        return _common.row(TASK, "causal-learn", size, None, note=f"it fails: {error}")
    error = float(np.abs(found - expected).max())
    return _common.row(TASK, "causal-learn", size, seconds, peak, error, "rounded to 4 decimals; both directions")


def beside_others(risk: torch.Tensor, exponents: torch.Tensor) -> tuple[list[dict], list[dict]]:
    """A small test on an idle machine, and beside processes that keep the cores busy."""

    def median() -> float:
        seconds = []
        for _ in range(101):
            begin = time.perf_counter()
            granger_test(risk, exponents, max_lag=12)
            seconds.append(time.perf_counter() - begin)
        return statistics.median(seconds)

    median()  # compiled
    idle = median()
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        time.sleep(1)
        busy = median()
    finally:
        for process in others:
            process.kill()
    size, note = f"{exponents.shape[1]} causes x 12 lags, {WINDOWS} windows", "median of 101"
    rows = [
        _common.row(TASK, "ccprune", size, idle, note=note),
        _common.row(TASK, f"ccprune, beside {BUSY} busy processes", size, busy, note=note),
    ]
    return rows, [_common.claim(f"{size}, beside {BUSY} busy processes, times idle", busy / idle, most=BESIDE)]


def main() -> None:
    risk, exponents = evidence()
    rows, claims = beside_others(risk, exponents[:, :40])
    for count, lags in SIZES:
        found = compare(risk, many(exponents, count), lags)
        rows, claims = rows + found[0], claims + found[1]
    _common.save("granger", rows, claims)


if __name__ == "__main__":
    main()
