"""41,000 weights of paper A's MNIST network, PT's recording: training, exponents of every window, Granger tests.

42,000 made-up rows, as many as the paper's 25 windows imply: time does not depend on the pixels. Parts are timed alone,
too; tests of some weights are compared with statsmodels. Exponents are compared with TISEAN's in the tests.
"""

import _common
import numba
import numpy as np
import torch
from statsmodels.tsa.stattools import grangercausalitytests

from ccprune.lyapunov import exponents_of
from replication.legcnet import procedure as legcnet
from replication.legcnet.mnist.recording import ALL, PT, exponents_and_risk, keep_mask
from replication.legcnet.mnist.rows import Digits
from replication.networks.models import legcnet_mnist
from replication.networks.stacked import stack_models

ROWS = 42_000
SECONDS, GIGABYTES = 60, 4  # claims, on 2 cores


def made_up() -> Digits:
    """Rows that can be learned: ten bright patches, one for each digit, under noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (ROWS,), generator=generator)
    x = 60 * torch.rand(ROWS, 784, generator=generator)
    x[torch.arange(ROWS)[:, None], 78 * labels[:, None] + torch.arange(60)] += 150
    cut = int(0.7 * ROWS)
    return Digits(x[:cut], labels[:cut], x[cut:], labels[cut:], "made up")


def largest_difference(found: legcnet.ExponentsAndRisk, columns: list[int]) -> float:
    """Between our smallest p over the lags and statsmodels', on some weights."""
    (ours,) = legcnet.granger_tests(found, max_lag=PT.max_lag)
    worst = 0.0
    for column in columns:
        pair = np.column_stack([found.risk[0].numpy(), found.exponents[0, :, column].numpy()])
        theirs = grangercausalitytests(pair, maxlag=PT.max_lag)
        p = min(result[0]["ssr_chi2test"][1] for result in theirs.values())
        worst = max(worst, abs(p - float(ours.min_p[column])))
    return worst


def main() -> None:
    digits, network = made_up(), stack_models([legcnet_mnist(seed=1)])
    found, whole, peak = _common.measure(
        lambda: exponents_and_risk(network, digits, PT, seed=1, names=ALL), repeats=1, warm_up=False
    )
    windows = found.exponents.shape[1]
    size = f"41000 weights x {windows} windows of {PT.window}"
    threads = f"{numba.get_num_threads()} threads"
    series = torch.rand(41_000, PT.window, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).cumsum(1)
    _, once, _ = _common.measure(lambda: exponents_of(series, **PT.exponent_options), repeats=3)
    _, tested, held = _common.measure(lambda: keep_mask(found, network, PT, names=ALL), repeats=2)
    testable = [int(column) for column in torch.linspace(0, 40_999, 25)]
    moving = [column for column in testable if bool((found.exponents[0, :, column] != 0).any())]
    rows = [
        _common.row(
            "training and exponents", "ccprune", size, whole, peak, None, f"{PT.epochs} epochs, streamed; {threads}"
        ),
        _common.row(
            "exponents alone", "ccprune", size, once * windows, None, None, f"{windows} times one window; {threads}"
        ),
        _common.row(
            f"Granger tests, {PT.max_lag} lags",
            "ccprune",
            size,
            tested,
            held,
            largest_difference(found, moving),
            f"error: largest difference from statsmodels in p, of {len(moving)} weights",
        ),
        _common.row("all", "ccprune", size, whole + tested, peak),
    ]
    claims = [_common.claim("seconds for 41,000 weights, training included", whole + tested, most=SECONDS)]
    if peak is not None:
        claims.append(_common.claim("and GB of memory for them", peak * 2**20 / 1e9, most=GIGABYTES))
    _common.save("legcnet_mnist", rows, claims)


if __name__ == "__main__":
    main()
