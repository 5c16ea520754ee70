"""The shape of curves of accuracy against sparsity, the critical sparsity, and the verdicts on them."""
