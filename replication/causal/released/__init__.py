"""Figures that paper B's authors released, the rows of verdicts for them, and what they show without any training."""

from replication.causal.released.figures import FILE, PATH, Figure, ReleasedFigures, load

__all__ = ["FILE", "PATH", "Figure", "ReleasedFigures", "load"]
