"""Recording of the change of the loss and of every prunable weight at each training step, and stores for them."""

from ccprune.recording._recorder import PAIRINGS, Recorder
from ccprune.recording._rows import RowLayout, Rows
from ccprune.recording._stores import InMemory, MemoryMapped, SquaredUpdates, Store, StoreFull

__all__ = [
    "InMemory",
    "RowLayout",
    "MemoryMapped",
    "PAIRINGS",
    "Recorder",
    "Rows",
    "SquaredUpdates",
    "Store",
    "StoreFull",
]
