"""Statistics of a replication: intervals, paired differences, and verdicts on published figures."""

from ccprune.stats.intervals import Interval, PairedDifference, bootstrap_interval, paired_difference
from ccprune.stats.verdicts import VERDICTS, claim_holds, prediction_range, verdict_exact, verdict_sample

__all__ = [
    "VERDICTS",
    "Interval",
    "PairedDifference",
    "bootstrap_interval",
    "claim_holds",
    "paired_difference",
    "prediction_range",
    "verdict_exact",
    "verdict_sample",
]
