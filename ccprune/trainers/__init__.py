"""Pruning in trainers.

`GradualPruner` serves any training loop. The modules `lightning` and `transformers` have callbacks for the trainers of
these libraries, which the extra "trainers" installs.
"""

from ccprune.trainers._pruner import GradualPruner

__all__ = ["GradualPruner"]
