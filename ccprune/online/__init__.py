"""Pruning during continued training on new data, with exponentially forgotten scores and small changes of the mask.

`Forgetting` computes the scores, and `exchange` and `shrink` change a mask. `OnlinePruner` does both at the scheduled
steps of an uninterrupted training loop, and is checkpointed with the model and the optimiser.
"""

from ccprune.online.changes import Schedule, exchange, shrink
from ccprune.online.forgetting import STATISTICS, Forgetting
from ccprune.online.pruner import GROWTHS, OnlinePruner

__all__ = ["GROWTHS", "STATISTICS", "Forgetting", "OnlinePruner", "Schedule", "exchange", "shrink"]
