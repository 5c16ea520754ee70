"""Checks of a notebook's parameters: their types are those of the defaults, their ranges are in the suite file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from replication.ledger.errors import suggestion
from replication.ledger.notebooks import PLACES


@dataclass(frozen=True)
class Limit:
    """Range of a number, or permitted values of a text. For a list it applies to each entry.

    Attributes
    ----------
    least, most : float, optional
        Inclusive bounds.
    above, below : float, optional
        Exclusive bounds.
    among : tuple of str, optional
        Permitted values.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    among: tuple[str, ...] | None = None


def limit(stated: Any) -> Limit:
    """Make a limit from its table in the suite file, or raise ValueError if a key or value is invalid."""
    names = [field.name for field in fields(Limit)]
    if not isinstance(stated, dict) or not stated or not stated.keys() <= set(names):
        raise ValueError(f"must be a table with some of {', '.join(names)}, got {stated!r}")
    for name, value in stated.items():
        if name == "among":
            good = isinstance(value, list) and all(isinstance(word, str) for word in value)
        else:
            good = type(value) in (int, float)
        if not good:
            raise ValueError(f"{name} must be {'a list of texts' if name == 'among' else 'a number'}, got {value!r}")
    return Limit(**{name: tuple(value) if name == "among" else value for name, value in stated.items()})


def problem(value: Any, allowed: Limit) -> str | None:
    """Return why a value is not permitted, such as "must be at least 1, got 0", or None if it is."""
    for one in value if isinstance(value, list | tuple) else [value]:
        for words in _broken_limits(one, allowed):
            return f"must be {words}, got {value!r}"
    return None


def _broken_limits(value: Any, allowed: Limit) -> Iterator[str]:
    if allowed.among is not None and value not in allowed.among:
        yield f"one of {', '.join(map(repr, allowed.among))}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    # The comparisons are negated so that NaN violates every limit.
    if allowed.least is not None and not value >= allowed.least:
        yield f"at least {allowed.least}"
    if allowed.most is not None and not value <= allowed.most:
        yield f"at most {allowed.most}"
    if allowed.above is not None and not value > allowed.above:
        yield f"above {allowed.above}"
    if allowed.below is not None and not value < allowed.below:
        yield f"below {allowed.below}"


def fits(value: Any, default: Any) -> bool:
    """Return whether a value from the suite file has the type of the notebook's default."""
    if default is None:
        return True
    if isinstance(default, list | tuple):
        return isinstance(value, list) and all(fits(entry, default[0]) for entry in value if default)
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)


def problems(given: Mapping[str, Any], defaults: Mapping[str, Any], limits: Mapping[str, Limit]) -> Iterator[str]:
    """Yield the problems of a run's parameters: unknown names, wrong types, values out of range.

    The limits also apply to the defaults.

    Parameters
    ----------
    given : mapping of str to value
        Parameters from the suite file.
    defaults : mapping of str to value
        Parameters of the notebook.
    limits : mapping of str to Limit
        Limits by parameter.

    Yields
    ------
    str
        One line for each problem.
    """
    for name, value in given.items():
        if name in ("profile", *PLACES):
            yield f"parameter {name!r} is set by the runner: remove it from the suite file"
        elif name not in defaults:
            yield f"the notebook has no parameter {name!r}{suggestion(name, defaults)}"
        elif not fits(value, defaults[name]):
            yield (
                f"parameter {name!r} must be of type {type(defaults[name]).__name__} "
                f"as in its default {defaults[name]!r}, got {value!r}"
            )
    for name, value in (dict(defaults) | dict(given)).items():
        if name in limits and name in defaults and (wrong := problem(value, limits[name])):
            yield f"parameter {name!r} {wrong}"
