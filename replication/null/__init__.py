"""Can the answers be trusted? Criteria against planted networks, tests against series with nothing in them.

`roc` asks every criterion to find weights that are known to matter. `false_positive_rate` and `power` ask a Granger
test about series of noise and with one planted cause. Surrogates of given
series are in `ccprune.stats.surrogates`.
"""

from replication.null.error_rates import (
    clopper_pearson,
    false_positive_rate,
    noise_series,
    p_values,
    planted_series,
    power,
    surrogate_series,
)
from replication.null.planted import Roc, auc, roc

__all__ = [
    "Roc",
    "auc",
    "clopper_pearson",
    "false_positive_rate",
    "noise_series",
    "p_values",
    "planted_series",
    "power",
    "roc",
    "surrogate_series",
]
