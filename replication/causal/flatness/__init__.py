"""Flatness of pruned and dense networks, and the verdicts on paper B's claim of flat minima."""
