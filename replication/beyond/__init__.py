"""What goes beyond the papers: pilots of whole models, searches of settings, cheaper scores, and lottery tickets."""

from replication.beyond.cheap import cheap_runs, knees
from replication.beyond.choosing import choosing_cells, knee_sentence, optimism_sentences, regret_sentences
from replication.beyond.pilots import TASKS, checksum, pilot_cells, pilot_settings
from replication.beyond.searches import grid_values, search_results, settings_grid
from replication.beyond.tickets import (
    error_barrier,
    ticket_cells,
    ticket_differences,
    ticket_masks,
    ticket_sentences,
    train_child,
)

__all__ = [
    "TASKS",
    "cheap_runs",
    "checksum",
    "choosing_cells",
    "error_barrier",
    "grid_values",
    "knee_sentence",
    "knees",
    "optimism_sentences",
    "pilot_cells",
    "pilot_settings",
    "regret_sentences",
    "search_results",
    "settings_grid",
    "ticket_cells",
    "ticket_differences",
    "ticket_masks",
    "ticket_sentences",
    "train_child",
]
