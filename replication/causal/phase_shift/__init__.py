"""The shape of curves of accuracy against sparsity, the critical sparsity, and the verdicts on them."""

from replication.causal.phase_shift.verdicts import cells, chosen, critical_points, difference_cells, sentence, wide

__all__ = ["cells", "chosen", "critical_points", "difference_cells", "sentence", "wide"]
