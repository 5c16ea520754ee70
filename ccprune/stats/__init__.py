"""Statistics of a replication: intervals, paired differences, change points, and verdicts on published figures."""

from ccprune.stats.change_point import ChangePoint, change_point, one_standard_error
from ccprune.stats.intervals import Interval, PairedDifference, bootstrap_interval, paired_difference, student_interval
from ccprune.stats.verdicts import VERDICTS, claim_holds, prediction_range, verdict_exact, verdict_sample

__all__ = [
    "VERDICTS",
    "ChangePoint",
    "Interval",
    "PairedDifference",
    "bootstrap_interval",
    "change_point",
    "claim_holds",
    "one_standard_error",
    "paired_difference",
    "prediction_range",
    "student_interval",
    "verdict_exact",
    "verdict_sample",
]
