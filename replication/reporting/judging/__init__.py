"""From raw runs to verdicts: which figures come out, which claims hold.

A notebook stores one row for each network that it trained. Everything that is concluded from these rows is computed
here, by functions without side effects, whenever the tables are made; nothing concluded is stored.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pandas as pd

from replication.ledger.cell import Cell

# By notebook: the module whose function `cells` concludes from its raw runs.
_JUDGES = {
    "01_legcnet_tables.ipynb": "legcnet",
    "03_phase_shift.ipynb": "curves",
    "04_flat_minima.ipynb": "flatness",
    "05_legcnet_mnist.ipynb": "legcnet_mnist",
    "15_legcnet_repaired.ipynb": "repaired",
}


def judged(content: Mapping[str, Any], raw: pd.DataFrame | None) -> list[Cell]:
    """All cells of a result: those it stored, and those that follow from its raw runs.

    Parameters
    ----------
    content
        A result file, as `replication.ledger.read` returns it.
    raw
        Its raw runs, as `replication.ledger.raw` returns them.
    """
    stored = [Cell.from_dict(values) for values in content["cells"]]
    name = _JUDGES.get(content["notebook"])
    if name is None or raw is None:
        return stored
    return stored + import_module(f"{__name__}.{name}").cells(raw, content)
