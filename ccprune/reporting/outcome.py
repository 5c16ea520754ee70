"""What became of a claim in one case, as a row of verdicts.csv says it."""

from collections.abc import Mapping
from typing import Any

#: What becomes of a claim in one case, such as a dataset. The last: the paper leaves open what decides it.
OUTCOMES = ("holds", "does not hold", "undecided", "cannot be known")

# How the notes of the runs say it; what contains another comes first. An abrupt drop that is not shown is undecided.
_SAID = {
    "does not hold": "does not hold",
    "holds": "holds",
    "not shown to be abrupt": "undecided",
    "abrupt": "holds",
    "flatter": "holds",
    "sharper": "does not hold",
    "undecided": "undecided",
}


def outcome(row: Mapping[str, Any]) -> str:
    """One of `OUTCOMES`, from the row's verdict and note. Raises ValueError for a note that says nothing of a claim."""
    said = next((outcome for words, outcome in _SAID.items() if words in row["note"]), None)
    if said is None:
        raise ValueError(f"note of {row['method']} must say what became of its claim, got {row['note']!r}")
    return "cannot be known" if row["verdict"] == "underspecified" else said
