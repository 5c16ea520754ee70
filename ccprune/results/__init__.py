"""Result files: what a run found, in JSON, and the table of verdicts that is made from them."""

from ccprune.results.cell import PROFILES, Cell
from ccprune.results.files import collect, parse, read, write
from ccprune.results.storage import save, signature, write_atomic
from ccprune.results.verdict_table import COLUMNS, TABLE, format_number, verdict_rows, write_verdicts

__all__ = [
    "COLUMNS",
    "PROFILES",
    "TABLE",
    "Cell",
    "collect",
    "format_number",
    "parse",
    "read",
    "save",
    "signature",
    "verdict_rows",
    "write",
    "write_atomic",
    "write_verdicts",
]
