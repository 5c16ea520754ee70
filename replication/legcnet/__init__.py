"""Paper A, LEGCNet (arXiv 2308.09955): its procedure, its tables, and what follows from our runs of it.

The names below are imported on first use, because most of their modules need torch, which the command line does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replication.legcnet.by_hand import by_hand_cells
    from replication.legcnet.cells import lesson_cells, trajectory_cells
    from replication.legcnet.choices import agreement
    from replication.legcnet.figures import PRINTED, figure, fresh_cells, published_figures, single_range
    from replication.legcnet.procedure import (
        SIGNIFICANCE,
        ExponentsAndRisk,
        exponents_and_risk,
        granger_tests,
        keep_masks,
        masks,
    )
    from replication.legcnet.rankings import shifted_p_value
    from replication.legcnet.repaired_verdicts import control_cells
    from replication.legcnet.runs import CONTROLS, fresh_runs, rerun_authors, run
    from replication.legcnet.settings import AUTHORS_MIN_RANGE, SETTINGS, Settings, WindowSettings, with_recording
    from replication.legcnet.verdicts import author_cells, comparisons

__all__ = [
    "AUTHORS_MIN_RANGE",
    "CONTROLS",
    "SIGNIFICANCE",
    "PRINTED",
    "SETTINGS",
    "ExponentsAndRisk",
    "Settings",
    "WindowSettings",
    "agreement",
    "author_cells",
    "by_hand_cells",
    "comparisons",
    "control_cells",
    "exponents_and_risk",
    "figure",
    "fresh_cells",
    "fresh_runs",
    "keep_masks",
    "lesson_cells",
    "masks",
    "published_figures",
    "rerun_authors",
    "run",
    "shifted_p_value",
    "single_range",
    "granger_tests",
    "trajectory_cells",
    "with_recording",
]

_MODULES = {
    "AUTHORS_MIN_RANGE": "settings",
    "CONTROLS": "runs",
    "SIGNIFICANCE": "procedure",
    "PRINTED": "figures",
    "SETTINGS": "settings",
    "ExponentsAndRisk": "procedure",
    "Settings": "settings",
    "WindowSettings": "settings",
    "agreement": "choices",
    "author_cells": "verdicts",
    "by_hand_cells": "by_hand",
    "comparisons": "verdicts",
    "control_cells": "repaired_verdicts",
    "exponents_and_risk": "procedure",
    "figure": "figures",
    "fresh_cells": "figures",
    "published_figures": "figures",
    "fresh_runs": "runs",
    "keep_masks": "procedure",
    "lesson_cells": "cells",
    "masks": "procedure",
    "rerun_authors": "runs",
    "run": "runs",
    "shifted_p_value": "rankings",
    "single_range": "figures",
    "granger_tests": "procedure",
    "trajectory_cells": "cells",
    "with_recording": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
