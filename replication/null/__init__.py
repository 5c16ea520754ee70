"""Validation of criteria on planted problems, and of Granger tests on series without effects.

`roc` tests whether criteria rank the needed weights of planted problems above the idle ones. `rejection_rates` tests
several forms of the Granger test on series of noise.
"""

from replication.null.planted import Roc, auc, planted_cells, roc
from replication.null.series import (
    KINDS,
    causal_shares,
    lesson_cells,
    mean_table,
    noise,
    null_exponents,
    rejection_rates,
)

__all__ = [
    "KINDS",
    "Roc",
    "auc",
    "causal_shares",
    "lesson_cells",
    "mean_table",
    "noise",
    "null_exponents",
    "planted_cells",
    "rejection_rates",
    "roc",
]
