"""Effects of pruning other than on accuracy: operations, time, energy, spectra, explanations, distance to dense.

The names below are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replication.diagnostics.cells import (
        energy_cells,
        epsilon_cells,
        epsilon_ratio_cells,
        epsilon_ratios,
        operation_cells,
        pixel_cells,
        shap_cells,
        time_cells,
        trap_cells,
    )

__all__ = [
    "energy_cells",
    "epsilon_cells",
    "epsilon_ratio_cells",
    "epsilon_ratios",
    "operation_cells",
    "pixel_cells",
    "shap_cells",
    "time_cells",
    "trap_cells",
]

_MODULES = {
    "energy_cells": "cells",
    "epsilon_cells": "cells",
    "epsilon_ratio_cells": "cells",
    "epsilon_ratios": "cells",
    "operation_cells": "cells",
    "pixel_cells": "cells",
    "shap_cells": "cells",
    "time_cells": "cells",
    "trap_cells": "cells",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
