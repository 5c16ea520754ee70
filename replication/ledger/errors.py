"""Errors that the data, the runner and the reports share."""

import difflib
from collections.abc import Iterable


class DataUnavailable(RuntimeError):
    """Data is neither on this machine nor can it be fetched."""


class CorruptData(RuntimeError):
    """A data file is not the one that was pinned: its digest differs."""


def suggestion(word: str, words: Iterable[str]) -> str:
    """Return ' (did you mean ...?)' with up to three similar words, or nothing."""
    matches = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""
