"""Pruning of a model that goes on training on new data: scores with a memory that fades, masks changed by small steps.

`Forgetting` keeps the scores, `exchange` and `shrink` change a mask, `OnlinePruner` does both at the right steps of a
training loop that is not stopped, and is checkpointed with the model and the optimiser.
"""

from ccprune.online._growth import GROWTHS
from ccprune.online.changes import Schedule, exchange, shrink
from ccprune.online.forgetting import STATISTICS, Forgetting
from ccprune.online.pruner import OnlinePruner

__all__ = ["GROWTHS", "STATISTICS", "Forgetting", "OnlinePruner", "Schedule", "exchange", "shrink"]
