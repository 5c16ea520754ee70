"""Index, tables and passages of pages, made from the result files of an output folder."""

from replication.reporting.index import write_report

__all__ = ["write_report"]
