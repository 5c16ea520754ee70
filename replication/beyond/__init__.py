"""What goes beyond the papers: pilots of whole models, and lottery tickets."""

from replication.beyond.pilots import TASKS, checksum, pilot_cells, pilot_settings
from replication.beyond.tickets import error_barrier, ticket_masks, train_child

__all__ = ["TASKS", "checksum", "error_barrier", "pilot_cells", "pilot_settings", "ticket_masks", "train_child"]
