"""Runs one notebook; started by the runner as `python -m ccprune.suite.worker JOB.json`, one process each.

Exit status 0: executed and rendered. 1: it failed, and error.json in the job's folder says how.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

KERNEL = "ccprune"


def main(job_file: str) -> int:
    """Run the job: {"notebook", "folder", "cwd", "parameters", "title", "note"}, paths absolute."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    folder = Path(job["folder"])
    _install_kernel(folder)
    try:
        _run(job, folder)
    except Exception as error:  # whatever it is, the runner has to tell it
        text = json.dumps(_describe(error))
        (folder / "error.json").write_text(text, encoding="utf-8")
        return 1
    return 0


def _run(job: dict[str, Any], folder: Path) -> None:
    # These look for kernels and settings when they are imported.
    import nbformat
    import papermill

    from ccprune.results.environment import portable
    from ccprune.suite.page import to_html

    executed = folder / "executed.ipynb"
    execute = partial(
        papermill.execute_notebook,
        job["notebook"],
        executed,
        parameters=job["parameters"],
        kernel_name=KERNEL,
        language="python",
        cwd=job["cwd"],
        progress_bar=False,
    )
    joules = _measured(execute)
    (folder / "energy.json").write_text(json.dumps(joules), encoding="utf-8")
    page = to_html(nbformat.read(executed, as_version=4), title=job["title"], note=job["note"])
    (folder / "report.html").write_text(portable(page), encoding="utf-8")


def _measured(execute: Callable[[], object]) -> float | None:
    """Execute once; joules of the processor and graphics card meanwhile, None where no counter tells them."""
    if find_spec("codecarbon") is None:
        execute()
        return None
    from ccprune.diagnostics import energy

    executed = False

    def once() -> None:
        nonlocal executed
        executed = True
        execute()

    try:
        found = energy.measured(once)
    except energy.EnergyUnavailable:
        if not executed:
            execute()
        return None
    return found.cpu + found.gpu if found.measured else None


def _install_kernel(folder: Path) -> None:
    """Make a kernel that is this interpreter.

    "python3" is whatever kernel a user or another environment registered under that name last; a start-up
    script in the user's IPython profile would run too.
    """
    kernel = folder / "jupyter" / "kernels" / KERNEL
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": command, "display_name": KERNEL, "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    paths = [str(folder / "jupyter"), os.environ.get("JUPYTER_PATH")]
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, paths))
    os.environ["IPYTHONDIR"] = str(folder / "ipython")


def _describe(error: Exception) -> dict[str, Any]:
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        # The last lines papermill keeps are the traceback as the kernel coloured it; str() takes the colours
        # off.
        return {"cell": error.cell_index, "source": error.source, "text": str(error).strip()}
    return {"cell": None, "source": None, "text": "".join(traceback.format_exception(error)).strip()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
