"""Paper B: protocols, methods, and the runs behind the verdicts on its claims (Shah et al., arXiv:2412.03035).

The names below are imported on first use, because most of their modules need torch, which the command line does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replication.causal.cells import granger_lasso_cells, phase_shift_cells, sparsity_cell
    from replication.causal.follow_up.ridge import ridge
    from replication.causal.methods import all_methods
    from replication.causal.phase_shift.change_point import change_point
    from replication.causal.setting import Setting

__all__ = [
    "Setting",
    "all_methods",
    "change_point",
    "granger_lasso_cells",
    "phase_shift_cells",
    "ridge",
    "sparsity_cell",
]

_MODULES = {
    "Setting": "setting",
    "all_methods": "methods",
    "change_point": "phase_shift.change_point",
    "granger_lasso_cells": "cells",
    "phase_shift_cells": "cells",
    "ridge": "follow_up.ridge",
    "sparsity_cell": "cells",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
