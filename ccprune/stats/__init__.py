"""Statistics of runs: intervals, paired tests, and surrogates of time series."""

from ccprune.stats._surrogates import (
    Surrogate,
    SurrogateTest,
    block_bootstrap,
    phase_randomised,
    shuffled,
    surrogate_test,
)
from ccprune.stats.intervals import (
    Interval,
    PairedDifference,
    bootstrap_interval,
    mean_interval,
    paired_difference,
    sign_flip_p,
    student_interval,
)

__all__ = [
    "Interval",
    "PairedDifference",
    "Surrogate",
    "SurrogateTest",
    "block_bootstrap",
    "bootstrap_interval",
    "mean_interval",
    "paired_difference",
    "phase_randomised",
    "shuffled",
    "sign_flip_p",
    "student_interval",
    "surrogate_test",
]
