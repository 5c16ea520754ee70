"""What goes beyond the papers: pilots of whole models."""

from replication.beyond.pilots import TASKS, checksum, pilot_cells, pilot_settings

__all__ = ["TASKS", "checksum", "pilot_cells", "pilot_settings"]
