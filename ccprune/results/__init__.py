"""Result files: what a run found, in JSON, and its raw runs beside it."""

from ccprune.results.cell import AUTHORS, OUTCOMES, PROFILES, VERDICTS, Cell
from ccprune.results.files import collect, parse, read, write
from ccprune.results.numbers import format_number
from ccprune.results.raw import place, raw_digest, raw_path, read_raw
from ccprune.results.storage import save, signature

__all__ = [
    "AUTHORS",
    "OUTCOMES",
    "PROFILES",
    "VERDICTS",
    "Cell",
    "collect",
    "format_number",
    "parse",
    "place",
    "raw_digest",
    "raw_path",
    "read",
    "read_raw",
    "save",
    "signature",
    "write",
]
