"""What goes beyond the papers: pilots of whole models, searches of settings, cheaper scores, and lottery tickets."""

from replication.beyond.cheap import cheap_cells, cheap_runs, knees
from replication.beyond.pilots import TASKS, checksum, pilot_cells, pilot_settings
from replication.beyond.searches import grid_values, search_cells, search_results, settings_grid
from replication.beyond.tickets import error_barrier, ticket_masks, train_child

__all__ = [
    "TASKS",
    "cheap_cells",
    "cheap_runs",
    "checksum",
    "error_barrier",
    "grid_values",
    "knees",
    "pilot_cells",
    "pilot_settings",
    "search_cells",
    "search_results",
    "settings_grid",
    "ticket_masks",
    "train_child",
]
