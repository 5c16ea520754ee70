"""IPython extension that the worker loads into the kernels that it starts."""

import gc
import sys

from replication.runner.alt_text import add_alt_texts

# A cell that imports as many modules is the notebook's cell of imports; it is among the first cells.
_MODULES, _CELLS = 100, 4


def load_ipython_extension(shell) -> None:
    """Give figures alternative texts, and collect garbage only when the notebook's imports are made.

    torch, pandas and matplotlib make half a million objects that stay. Python would search them for garbage again and
    again, also when the kernel ends, which takes a fifth of the time of the imports.
    """
    add_alt_texts(shell)
    before = len(sys.modules)

    def collect_from_here(_result) -> None:
        if len(sys.modules) >= before + _MODULES or shell.execution_count > _CELLS:
            gc.freeze()
            gc.enable()
            shell.events.unregister("post_run_cell", collect_from_here)

    gc.disable()
    shell.events.register("post_run_cell", collect_from_here)
