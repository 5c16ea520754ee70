"""Data that a run needs or uses, written "authors:PATH" in the suite file."""

_PREFIX = "authors:"


def problem(need: str) -> str | None:
    """Return what is wrong with the text, or None."""
    if not isinstance(need, str) or not need.startswith(_PREFIX):
        return f"data must be written 'authors:PATH', got {need!r}"
    try:
        is_here(need)
    except ValueError as error:
        return str(error)
    return None


def why_missing(need: str) -> str | None:
    """Fetch the data if it is not here yet; None, or one line that says why it cannot be had.

    Raises
    ------
    ccprune.data.authors.CorruptData
        If it is here, but is not the pinned file.
    """
    from ccprune.data import authors  # imports torch, and only some runs need data

    try:
        authors.path(need.removeprefix(_PREFIX))
    except authors.DataUnavailable as error:
        return " ".join(str(error).split())
    return None


def is_here(need: str) -> bool:
    """Whether the data is on this machine, without asking the network."""
    from ccprune.data import authors

    return authors.available(need.removeprefix(_PREFIX))
