"""The follow-up of paper B: the causal fits of its code, its protocol, and our runs of it."""

from replication.causal.follow_up.protocols import Protocol
from replication.causal.follow_up.released_cells import released_cells
from replication.causal.follow_up.repeats import Effort, repeat_runs
from replication.causal.follow_up.runs import follow_up_runs
from replication.causal.follow_up.verdicts import cells
from replication.causal.runs import hold_out

__all__ = ["Effort", "Protocol", "released_cells", "cells", "follow_up_runs", "hold_out", "repeat_runs"]
