"""Validation of criteria on planted problems, and of Granger tests on series without effects.

`roc` tests whether criteria rank the needed weights of planted problems above the idle ones. `rejection_rates` tests
several forms of the Granger test on series of noise.
"""

from replication.null.own_model import own_model_cells, planted_sentence
from replication.null.planted import Roc, auc, roc
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
    "own_model_cells",
    "planted_sentence",
    "rejection_rates",
    "roc",
]
