"""Data and devices of a run, written "authors:PATH", "images:NAME" or "device:cuda" in the suite file."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from replication.ledger.errors import DataUnavailable

# For each prefix, the module of such data and its function that downloads it. They are imported on demand, because only
# some runs need any.
_FETCHES = {
    "authors": ("replication.data.authors", "path"),
    "images": ("replication.data._image_sources", "fetch"),
    "device": ("replication.data.devices", "fetch"),
}
_CHECKSUMS = "replication.data.checksums"


def problem(need: str) -> str | None:
    """Return why the text does not name any data or device, or None if it does."""
    if not isinstance(need, str) or not need.startswith(tuple(f"{prefix}:" for prefix in _FETCHES)):
        return f"data must be written 'authors:PATH', 'images:NAME' or 'device:cuda', got {need!r}"
    try:
        paths(need)
    except ValueError as error:
        return str(error)
    return None


def why_missing(need: str) -> str | None:
    """Download the data if it is not on this machine yet.

    Returns
    -------
    str or None
        One line with the reason why the data is unavailable, or None if it is available.

    Raises
    ------
    CorruptData
        If the checksum of a present or downloaded file differs from the pinned one.
    """
    module, fetch, name = _parts(need)
    try:
        getattr(module, fetch)(name)
    except DataUnavailable as error:
        return " ".join(str(error).split())
    return None


def is_here(need: str) -> bool:
    """Return whether the data is on this machine. The network is not used."""
    module, _, name = _parts(need)
    return module.available(name)


def paths(need: str) -> list[Path]:
    """Return the files of the data on this machine, none for a device or for data of an installed package."""
    module, _, name = _parts(need)
    return module.paths(name)


def is_data(need: str) -> bool:
    """Return whether the need is data, not a device."""
    return not need.startswith("device:")


def pinned_digests(need: str) -> dict[Path, str]:
    """Return the pinned digests of the data's files, "sha256:HEX" or "md5:HEX", by path on this machine."""
    checksums = import_module(_CHECKSUMS)
    prefix, name = need.split(":", 1)
    return {"authors": checksums.of_authors, "images": checksums.of_images}[prefix](name)


def _parts(need: str) -> tuple[ModuleType, str, str]:
    prefix, name = need.split(":", 1)
    module, fetch = _FETCHES[prefix]
    return import_module(module), fetch, name
