"""Runs one notebook; started by the runner as `python -m replication.runner.worker JOB.json`, one process each.

Exit status 0: executed and rendered. 1: it failed, and error.json in the job's folder says how.
"""

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

KERNEL = "ccprune"


def main(job_file: str) -> int:
    """Run a job file: "notebook", "folder", "cwd" (absolute paths), "parameters", "cell_seconds", "title", "note".

    Its "recorded" parameters are those that belong into the result: all but those that say where to write.
    """
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    folder = Path(job["folder"])
    try:
        _install_kernel(folder)
        _run(job, folder)
    except Exception as error:  # whatever it is, the runner has to tell it
        told = _describe(error, folder)
        try:
            (folder / "error.json").write_text(json.dumps(told), encoding="utf-8")
        except OSError as problem:  # a full disk
            print(f"{told['text']}\n(and error.json could not be written: {problem.strerror})", flush=True)
        return 1
    return 0


def _end_with(parent: int) -> None:
    """End this process and its kernel when the runner has died: nobody would take its result."""
    while os.getppid() == parent:
        time.sleep(0.5)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            process.kill()
    os._exit(1)


def _run(job: dict[str, Any], folder: Path) -> None:
    # These look for kernels and settings when they are imported.
    import nbformat
    import papermill

    from replication.ledger import announce
    from replication.ledger.environment import portable
    from replication.runner.page import to_html

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
        start_timeout=300,  # a busy machine takes its time
        execution_timeout=int(job["cell_seconds"]),
    )
    announce(job["parameters"]["out"], notebook=Path(job["notebook"]).name, parameters=job["recorded"])
    joules = _measured(execute)
    (folder / "energy.json").write_text(json.dumps(joules), encoding="utf-8")
    page = to_html(nbformat.read(executed, as_version=4), title=job["title"], note=job["note"])
    if units := job["parameters"].get("units"):
        page = page.replace(units, f"$OUT/units/{Path(units).name}")
    # The scratch folder has another name every time; the report of the same run must not.
    (folder / "report.html").write_text(portable(page.replace(str(folder), "$OUT")), encoding="utf-8")


def _measured(execute: Callable[[], object]) -> float | None:
    """Execute once; joules of the processor and graphics card meanwhile, None where no counter tells them."""
    if find_spec("codecarbon") is None:
        execute()
        return None
    from replication.ledger import energy

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


def _describe(error: Exception, folder: Path) -> dict[str, Any]:
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        # The last lines papermill keeps are the traceback as the kernel coloured it; str() takes the colours
        # off.
        return {"cell": error.cell_index, "source": error.source, "text": str(error).strip()}
    told = {"cell": None, "source": None, "text": "".join(traceback.format_exception(error)).strip()}
    if isinstance(error, CellTimeoutError | DeadKernelError):  # these do not say where
        told["text"] = f"{type(error).__name__}: {error}".splitlines()[0]
        told |= _running_cell(folder / "executed.ipynb")
    return told


def _running_cell(executed: Path) -> dict[str, Any]:
    """The last cell that was begun: papermill notes a cell that was cut off as completed, and those after it not."""
    import nbformat

    cells = nbformat.read(executed, as_version=4).cells
    begun = [index for index, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time")]
    return {"cell": begun[-1], "source": cells[begun[-1]].source} if begun else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
