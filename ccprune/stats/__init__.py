"""Confidence intervals and paired tests for runs, and posterior probabilities of coefficients."""

from ccprune.stats.intervals import (
    Interval,
    bootstrap_interval,
    mean_interval,
    student_interval,
)
from ccprune.stats.paired import PairedDifference, paired_difference, sign_flip_p
from ccprune.stats.two_groups import Posterior, posterior

__all__ = [
    "Interval",
    "PairedDifference",
    "Posterior",
    "bootstrap_interval",
    "mean_interval",
    "paired_difference",
    "posterior",
    "sign_flip_p",
    "student_interval",
]
