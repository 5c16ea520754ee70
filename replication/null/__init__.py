"""Validation of criteria on planted problems, and of Granger tests on series without effects or with a planted cause.

`roc` tests whether criteria rank the needed weights of planted problems above the idle ones. `false_positive_rate` and
`power` test a Granger test on series of noise, on surrogates of given series, and with one planted cause.
"""

from replication.null.error_rates import (
    false_positive_rate,
    noise_series,
    p_values,
    planted_series,
    power,
    surrogate_series,
)
from replication.null.planted import Roc, auc, planted_cells, roc
from replication.null.series import KINDS, causal_shares, noise, null_cells, null_exponents, rejection_rates
from replication.null.surrogates import phase_randomised

__all__ = [
    "KINDS",
    "Roc",
    "auc",
    "causal_shares",
    "false_positive_rate",
    "noise",
    "noise_series",
    "null_cells",
    "null_exponents",
    "p_values",
    "phase_randomised",
    "planted_cells",
    "planted_series",
    "power",
    "rejection_rates",
    "roc",
    "surrogate_series",
]
