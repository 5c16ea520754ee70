"""Replication of two papers on causal pruning, beside its results; it uses the library `ccprune`."""
