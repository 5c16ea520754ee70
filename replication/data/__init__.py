"""Data sets: their files, checksums and preprocessing.

The names below are imported on first use, because some of their modules need torch, which the command line does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from replication.ledger.errors import CorruptData, DataUnavailable

if TYPE_CHECKING:
    from replication.data.images import Images
    from replication.data.images import load as load_images
    from replication.data.synthetic import idle_quadratic
    from replication.data.tabular import NAMES, Dataset, load

__all__ = ["NAMES", "CorruptData", "DataUnavailable", "Dataset", "Images", "idle_quadratic", "load", "load_images"]

# The module of each name, and its name there.
_SOURCES = {
    "NAMES": ("tabular", "NAMES"),
    "CorruptData": ("authors", "CorruptData"),
    "DataUnavailable": ("authors", "DataUnavailable"),
    "Dataset": ("tabular", "Dataset"),
    "Images": ("images", "Images"),
    "idle_quadratic": ("synthetic", "idle_quadratic"),
    "load": ("tabular", "load"),
    "load_images": ("images", "load"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _SOURCES[name]
    return getattr(import_module(f"{__name__}.{module}"), there)
