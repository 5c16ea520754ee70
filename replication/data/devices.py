"""Devices as something a run may need, written "device:cuda" in the suite file."""

from pathlib import Path

from replication.ledger.errors import DataUnavailable

NAMES = ("cuda",)


def available(name: str) -> bool:
    """Whether this machine has the device. Raises ValueError for an unknown name."""
    paths(name)
    import torch  # takes a second or two

    return torch.cuda.is_available()


def paths(name: str) -> list[Path]:
    """No files. Raises ValueError for an unknown name."""
    if name not in NAMES:
        raise ValueError(f"a device must be one of {', '.join(NAMES)}, got {name!r}")
    return []


def fetch(name: str) -> None:
    """Raise DataUnavailable where there is none: a device cannot be fetched."""
    if not available(name):
        raise DataUnavailable(f"not run: it needs a {name} device, and this machine has none")
