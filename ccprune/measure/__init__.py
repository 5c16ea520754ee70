"""Measurements of pruned models: operations, time, and a report on the effects of a mask."""

from ccprune.measure._coverage import CoverageWarning
from ccprune.measure._report import NOTE, SparsityReport, report

__all__ = [
    "CoverageWarning",
    "NOTE",
    "SparsityReport",
    "report",
]
