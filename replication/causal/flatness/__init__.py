"""Flatness of pruned and dense networks, and the verdicts on paper B's claim of flat minima."""

from replication.causal.flatness.runs import MEASURES, Effort, measure_points
from replication.causal.flatness.verdicts import WORDS, cells, comparisons, summary

__all__ = ["MEASURES", "WORDS", "Effort", "cells", "comparisons", "measure_points", "summary"]
