"""Scoring and pruning of neural networks by chaos and causality.

    with ccprune.record(model, optimizer) as recording:     # during training
        ...
    scores = ccprune.score("causal_consecutive", model, recording=recording)
    mask = ccprune.prune(model, scores, sparsity=0.9)
    with mask.enforce(model, optimizer):                    # during further training
        ...
    print(ccprune.report(model, mask))

`compare` runs these steps for several criteria, sparsities and seeds, and returns one table. `pilot` does the same from
raw data to a page on whether pruning is worth it. Importing the package imports none of its modules, so that the
command line starts quickly. The names in `__all__` are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccprune._api import prune, record, score
    from ccprune._pilot import Pilot, pilot
    from ccprune.comparison import Comparison, compare
    from ccprune.mask import Mask
    from ccprune.measure import report

__version__ = "0.1.0"
__all__ = ["Comparison", "Mask", "Pilot", "compare", "pilot", "prune", "record", "report", "score"]

_MODULES = {
    "Comparison": "comparison",
    "compare": "comparison",
    "Mask": "mask",
    "Pilot": "_pilot",
    "pilot": "_pilot",
    "report": "measure",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES.get(name, '_api')}"), name)
