"""One-shot pruning of trained networks, measured before fine-tuning, and what the causal fits rank."""

from replication.causal.follow_up.fits import fit
from replication.causal.one_shot.study import Design, before_fine_tuning
from replication.causal.one_shot.verdicts import cells

__all__ = ["Design", "before_fine_tuning", "cells", "fit"]
