"""Effects of pruning other than on accuracy: operations, time, energy, spectra, explanations, distance to dense.

The names below are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replication.diagnostics.cells import epsilon_ratios, lesson_cells

__all__ = [
    "epsilon_ratios",
    "lesson_cells",
]

_MODULES = {
    "epsilon_ratios": "cells",
    "lesson_cells": "cells",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
