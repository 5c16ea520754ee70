"""Devices as requirements of a run, written "device:cuda" in the suite file."""

from pathlib import Path

from replication.ledger.errors import DataUnavailable

NAMES = ("cuda",)


def available(name: str) -> bool:
    """Return whether this machine has the device.

    Parameters
    ----------
    name : str
        One of `NAMES`.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    paths(name)
    import torch  # the import takes a second or two

    return torch.cuda.is_available()


def paths(name: str) -> list[Path]:
    """Return an empty list, because a device has no files.

    Parameters
    ----------
    name : str
        One of `NAMES`.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in NAMES:
        raise ValueError(f"a device must be one of {', '.join(NAMES)}, got {name!r}")
    return []


def fetch(name: str) -> None:
    """Check that this machine has the device.

    Parameters
    ----------
    name : str
        One of `NAMES`.

    Raises
    ------
    ValueError
        If the name is unknown.
    DataUnavailable
        If this machine does not have the device.
    """
    if not available(name):
        raise DataUnavailable(f"not run: it needs a {name} device, and this machine has none")
