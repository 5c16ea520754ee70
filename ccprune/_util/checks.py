"""Checks of arguments that many modules share."""

from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

_MOST = 5  # items of a message


def require_at_least(least: int, **arguments: int) -> None:
    """Raise ValueError naming the first argument that is not an integer of at least `least`."""
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


def require_fraction(name: str, value: Any) -> None:
    """Raise TypeError or ValueError unless the value is a number in [0, 1]."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number in [0, 1], got {type(value).__name__}")
    if isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value!r}")


def rows_within(max_bytes: int, each: int, what: str) -> int:
    """Return how many of `what`, of `each` bytes, fit into max_bytes, or raise ValueError if none does."""
    require_at_least(1, max_bytes=max_bytes)
    if max_bytes < each:
        raise ValueError(f"max_bytes={max_bytes} is too little: {what} needs {each}")
    return max_bytes // each


def require_one_of(choices: Sequence[str], **arguments: str) -> None:
    """Raise ValueError naming the first argument that is not one of the choices."""
    for name, value in arguments.items():
        if value not in choices:
            raise ValueError(f"{name} must be one of {tuple(choices)}, got {value!r}")


def require_inside_unit_interval(**arguments: float) -> None:
    """Raise ValueError naming the first argument that does not lie strictly between 0 and 1."""
    for name, value in arguments.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value!r}")


def differing(expected: Mapping[str, Any], got: Mapping[str, Any]) -> str:
    """Return the first names whose values differ, each with both values, and the number of the others."""
    names = [name for name in dict.fromkeys([*expected, *got]) if expected.get(name) != got.get(name)]
    return f"[{shorten([f'{name!r}: {expected.get(name)} expected, got {got.get(name)}' for name in names])}]"


def join_first(names: Collection[str]) -> str:
    """Return the first names and the number of the others, for messages."""
    return f"[{shorten([repr(name) for name in names])}]"


def shorten(items: Sequence[str], separator: str = ", ") -> str:
    """Return the first items and the number of the others, for sentences."""
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else ""
    return separator.join(items[:_MOST]) + more
