"""Figures with knobs, for notebooks: what a reader would rather turn than read.

Each function takes what has been computed and the values that its knobs may have, and returns an `Interactive`: knobs
and a picture where a kernel runs, the picture alone where none does. Needs ipywidgets;
nothing else in the package imports this one.
"""

from replication.figures.interactive._figure import Interactive
from replication.figures.interactive._loss_surface import loss_surface
from replication.figures.interactive._penalty import penalty
from replication.figures.interactive._window_and_lag import window_and_lag

__all__ = ["Interactive", "loss_surface", "penalty", "window_and_lag"]
