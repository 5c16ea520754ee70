"""What a run needs or uses, written "authors:PATH", "images:NAME" or "device:cuda" in the suite file."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from replication.ledger.errors import DataUnavailable

# By what comes before the colon: the module that knows such data, and its function that fetches. They are imported when
# they are asked, for only some runs need anything.
_FETCHES = {
    "authors": ("replication.data.authors", "path"),
    "images": ("replication.data._image_sources", "fetch"),
    "device": ("replication.data.devices", "fetch"),
}
_CHECKSUMS = "replication.data.checksums"


def problem(need: str) -> str | None:
    """Return what is wrong with the text, or None."""
    if not isinstance(need, str) or not need.startswith(tuple(f"{prefix}:" for prefix in _FETCHES)):
        return f"data must be written 'authors:PATH', 'images:NAME' or 'device:cuda', got {need!r}"
    try:
        paths(need)
    except ValueError as error:
        return str(error)
    return None


def why_missing(need: str) -> str | None:
    """Fetch the data if it is not here yet; None, or one line that says why it cannot be had.

    Raises
    ------
    CorruptData
        If the file that is here, or that came, is not the pinned one.
    """
    module, fetch, name = _parts(need)
    try:
        getattr(module, fetch)(name)
    except DataUnavailable as error:
        return " ".join(str(error).split())
    return None


def is_here(need: str) -> bool:
    """Whether the data is on this machine, without asking the network."""
    module, _, name = _parts(need)
    return module.available(name)


def paths(need: str) -> list[Path]:
    """The files of the data on this machine; none of a device, or of data that came with a package."""
    module, _, name = _parts(need)
    return module.paths(name)


def is_data(need: str) -> bool:
    """Whether it is data, which can be fetched and has files, not a device."""
    return not need.startswith("device:")


def pinned(need: str) -> dict[Path, str]:
    """Digests of the data's files that were known beforehand, "sha256:HEX" or "md5:HEX", by path on this machine."""
    checksums = import_module(_CHECKSUMS)
    prefix, name = need.split(":", 1)
    return {"authors": checksums.of_authors, "images": checksums.of_images}[prefix](name)


def _parts(need: str) -> tuple[ModuleType, str, str]:
    prefix, name = need.split(":", 1)
    module, fetch = _FETCHES[prefix]
    return import_module(module), fetch, name
