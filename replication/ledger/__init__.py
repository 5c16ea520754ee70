"""Result files: the numbers of a run in JSON, and its raw runs in a Parquet file beside it."""

from replication.ledger.announcement import announce
from replication.ledger.cell import AUTHORS, OUTCOMES, PROFILES, VERDICTS, Cell
from replication.ledger.files import collect, parse, read, write
from replication.ledger.numbers import format_number
from replication.ledger.paired import sign_test
from replication.ledger.raw import place, raw_digest, raw_path, read_raw
from replication.ledger.storage import save, signature
from replication.ledger.tabular import cell_table, count_outcomes, list_skipped, row_cells, sample_cells
from replication.ledger.units import Units

__all__ = [
    "AUTHORS",
    "OUTCOMES",
    "PROFILES",
    "VERDICTS",
    "Cell",
    "Units",
    "announce",
    "cell_table",
    "collect",
    "count_outcomes",
    "format_number",
    "list_skipped",
    "parse",
    "place",
    "raw_digest",
    "raw_path",
    "read",
    "read_raw",
    "row_cells",
    "sample_cells",
    "save",
    "sign_test",
    "signature",
    "write",
]
