"""Checks of arguments that many modules share."""


def at_least(least: int, **arguments: int) -> None:
    """Raises ValueError naming the first argument that is not an integer of at least `least`."""
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
