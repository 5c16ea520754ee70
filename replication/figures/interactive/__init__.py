"""Interactive figures for notebooks.

Each function takes computed results and the values of its controls, and returns an `Interactive`, which shows controls
and a picture with a running kernel, and the picture alone without one. This package needs ipywidgets, and no other
package imports it.
"""

from replication.figures.interactive._figure import Interactive
from replication.figures.interactive._loss_surface import loss_surface
from replication.figures.interactive._penalty import penalty
from replication.figures.interactive._window_and_lag import window_and_lag

__all__ = ["Interactive", "loss_surface", "penalty", "window_and_lag"]
