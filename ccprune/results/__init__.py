"""Result files: what a run found, in JSON, and the table of verdicts that is made from them."""

from ccprune.results.cell import PROFILES, Cell
from ccprune.results.files import collect, read, save, write, write_atomic
from ccprune.results.verdict_table import COLUMNS, format_number, verdict_rows, write_verdicts

__all__ = [
    "COLUMNS",
    "PROFILES",
    "Cell",
    "collect",
    "format_number",
    "read",
    "save",
    "verdict_rows",
    "write",
    "write_atomic",
    "write_verdicts",
]
