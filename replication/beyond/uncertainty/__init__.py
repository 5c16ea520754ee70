"""Simulations whose answer is known, for the posterior of weights and that of the critical sparsity."""

from replication.beyond.uncertainty.drops import POINTS, SHAPES, curves, drop_cells, simulate_drops, simulate_stopping
from replication.beyond.uncertainty.weights import calibration, posterior_cells, removals, simulate

__all__ = [
    "POINTS",
    "SHAPES",
    "calibration",
    "curves",
    "drop_cells",
    "posterior_cells",
    "removals",
    "simulate",
    "simulate_drops",
    "simulate_stopping",
]
