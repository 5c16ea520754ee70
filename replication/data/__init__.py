"""Data sets: their files, checksums and preprocessing.

The names below are imported on first use, because some of their modules need torch, which the command line does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from replication.ledger.errors import CorruptData, DataUnavailable

if TYPE_CHECKING:
    from replication.data.images import Images
    from replication.data.tabular import NAMES, Dataset, load

__all__ = ["NAMES", "CorruptData", "DataUnavailable", "Dataset", "Images", "load"]

_MODULES = {"CorruptData": "authors", "DataUnavailable": "authors", "Images": "images"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'tabular')}"), name)
