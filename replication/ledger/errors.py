"""Errors shared by the data, the runner and the reports."""

import difflib
from collections.abc import Iterable


class DataUnavailable(RuntimeError):
    """Raised if data is not on this machine and cannot be downloaded."""


class CorruptData(RuntimeError):
    """Raised if a data file cannot be used: its checksum differs from the pinned one, or its content is invalid."""


def suggestion(word: str, words: Iterable[str]) -> str:
    """Return ' (did you mean ...?)' with up to three of `words` similar to `word`, or an empty string."""
    matches = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""
