"""Statistics of a replication: intervals, paired tests, change points, and verdicts on published figures."""

from ccprune.stats.abrupt import Robustness, abrupt_power, abrupt_robustness
from ccprune.stats.change_point import ChangePoint, change_point, one_standard_error
from ccprune.stats.intervals import (
    Interval,
    PairedDifference,
    bootstrap_interval,
    mean_interval,
    paired_difference,
    sign_flip_p,
    student_interval,
)
from ccprune.stats.paired import SignTest, holm, median_interval, paired_median_difference, share_interval, sign_test
from ccprune.stats.power import detectable_effect, detectable_share
from ccprune.stats.verdicts import prediction_range, verdict_exact, verdict_sample

__all__ = [
    "ChangePoint",
    "Interval",
    "PairedDifference",
    "Robustness",
    "SignTest",
    "abrupt_power",
    "abrupt_robustness",
    "bootstrap_interval",
    "change_point",
    "detectable_effect",
    "detectable_share",
    "holm",
    "mean_interval",
    "median_interval",
    "one_standard_error",
    "paired_difference",
    "paired_median_difference",
    "prediction_range",
    "share_interval",
    "sign_flip_p",
    "sign_test",
    "student_interval",
    "verdict_exact",
    "verdict_sample",
]
