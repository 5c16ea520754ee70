"""IPython extension that collects garbage only when a notebook's imports are made.

The worker loads it into the kernels that it starts. torch, pandas and matplotlib make half a million objects that stay.
Python would search them for garbage again and again, also when the kernel ends, which takes a fifth of the time of a
short run.
"""

import gc
import sys

# A cell that imports as many modules is the notebook's cell of imports; it is among the first cells.
_MODULES, _CELLS = 100, 4


def load_ipython_extension(shell) -> None:
    """Collect no garbage up to the end of the cell of imports, and nothing that exists then in any later collection."""
    before = len(sys.modules)

    def collect_from_here(_result) -> None:
        if len(sys.modules) >= before + _MODULES or shell.execution_count > _CELLS:
            gc.freeze()
            gc.enable()
            shell.events.unregister("post_run_cell", collect_from_here)

    gc.disable()
    shell.events.register("post_run_cell", collect_from_here)
