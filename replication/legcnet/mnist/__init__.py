"""Paper A on MNIST: the network 784-50-30-10, its tables' last row, as far as it can be re-made without their CSV.

The names below are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replication.legcnet.mnist.cells import mask_cells, script_cells

__all__ = [
    "mask_cells",
    "script_cells",
]

_MODULES = {
    "mask_cells": "cells",
    "script_cells": "cells",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
