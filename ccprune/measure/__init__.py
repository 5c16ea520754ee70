"""Measurements of pruned models: operations, time, and a report of what a mask did."""

from ccprune.measure._report import NOTE, SparsityReport, report

__all__ = [
    "NOTE",
    "SparsityReport",
    "report",
]
