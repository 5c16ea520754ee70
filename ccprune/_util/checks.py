"""Checks of arguments that many modules share."""

from collections.abc import Collection


def at_least(least: int, **arguments: int) -> None:
    """Raise ValueError naming the first argument that is not an integer of at least `least`."""
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


def rows_within(max_bytes: int, each: int, what: str) -> int:
    """Return how many of `what`, of `each` bytes, fit into max_bytes, or raise ValueError if none does."""
    at_least(1, max_bytes=max_bytes)
    if max_bytes < each:
        raise ValueError(f"max_bytes={max_bytes} is too little: {what} needs {each}")
    return max_bytes // each


def inside_unit_interval(**arguments: float) -> None:
    """Raise ValueError naming the first argument that does not lie strictly between 0 and 1."""
    for name, value in arguments.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value!r}")


def listed(names: Collection[str], most: int = 5) -> str:
    """Return the first names and the number of the others, for messages."""
    shown = ", ".join(repr(name) for name in [*names][:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} others"
