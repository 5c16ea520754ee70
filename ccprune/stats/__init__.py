"""Confidence intervals and paired tests for runs."""

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
    "bootstrap_interval",
    "mean_interval",
    "paired_difference",
    "sign_flip_p",
    "student_interval",
]
