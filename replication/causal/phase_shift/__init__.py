"""The shape of curves of accuracy against sparsity, the critical sparsity, and the verdicts on them."""

from replication.causal.phase_shift.bayes import ChangePointPosterior, change_point_posterior
from replication.causal.phase_shift.drops import critical_points, pivot_curves
from replication.causal.phase_shift.tables import claims_table, point_table, raw_runs
from replication.causal.phase_shift.verdicts import cells, chosen_sparsities, difference_cells, mean_cells

__all__ = [
    "ChangePointPosterior",
    "cells",
    "change_point_posterior",
    "chosen_sparsities",
    "claims_table",
    "critical_points",
    "difference_cells",
    "mean_cells",
    "pivot_curves",
    "point_table",
    "raw_runs",
]
