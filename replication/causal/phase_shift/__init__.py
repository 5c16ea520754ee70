"""The shape of curves of accuracy against sparsity, the critical sparsity, and the verdicts on them."""

from replication.causal.phase_shift.bayes import ChangePointPosterior, change_point_posterior
from replication.causal.phase_shift.drops import critical_points, wide
from replication.causal.phase_shift.tables import claims_table, point_table, raw_runs
from replication.causal.phase_shift.verdicts import cells, chosen, difference_cells, mean_cells

__all__ = [
    "ChangePointPosterior",
    "cells",
    "change_point_posterior",
    "chosen",
    "claims_table",
    "critical_points",
    "difference_cells",
    "mean_cells",
    "point_table",
    "raw_runs",
    "wide",
]
