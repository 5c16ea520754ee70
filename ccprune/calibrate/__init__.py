"""Can the answers be trusted? Criteria against planted networks, tests against series with nothing in them.

`roc` asks every criterion to find weights that are known to matter. `false_positive_rate` and `power` ask a Granger
test about series of noise and with one planted cause. `shuffled`, `phase_randomised` and `block_bootstrap` make
surrogates of given series, `surrogate_test` compares any statistic with theirs.
"""

from ccprune.calibrate.error_rates import (
    clopper_pearson,
    false_positive_rate,
    noise_series,
    p_values,
    planted_series,
    power,
    surrogate_series,
)
from ccprune.calibrate.planted import Roc, auc, roc
from ccprune.calibrate.resampling import (
    SurrogateTest,
    block_bootstrap,
    phase_randomised,
    shuffled,
    surrogate_test,
)

__all__ = [
    "Roc",
    "SurrogateTest",
    "auc",
    "block_bootstrap",
    "clopper_pearson",
    "false_positive_rate",
    "noise_series",
    "p_values",
    "phase_randomised",
    "planted_series",
    "power",
    "roc",
    "shuffled",
    "surrogate_series",
    "surrogate_test",
]
