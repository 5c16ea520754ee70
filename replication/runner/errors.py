"""What the suite's errors share."""

import difflib
from collections.abc import Iterable


class SuiteError(ValueError):
    """Something in the suite, or asked of it, is wrong; nothing has been run."""


def near(word: str, words: Iterable[str]) -> str:
    """Return ' (did you mean ...?)' or nothing."""
    matches = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""
