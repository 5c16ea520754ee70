"""What a reader opens first: the index of an output folder, made from its result files alone."""

from replication.reporting.index import write_report

__all__ = ["write_report"]
