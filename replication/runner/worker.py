"""Program that runs one notebook. The runner starts it as `python -m replication.runner.worker JOB.json`.

The exit status is 0 if the notebook was executed and its page was made, and 1 if it failed. The failure is then stored
in error.json in the job's folder.
"""

import faulthandler
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from replication.runner.process import FAILURE

KERNEL = "ccprune"
_PAGE_SECONDS = 600  # for the page of the report


def main(job_file: str) -> int:
    """Run a job file and return the exit status.

    The file has the absolute paths "notebook", "folder" and "cwd", and "parameters", "recorded" (the parameters without
    paths, which the result stores), "cell_seconds", "title" and "note".
    """
    # jsonschema, which nbformat imports, would spend a second on a parser of URIs, which no notebook's schema has.
    sys.modules["rfc3987_syntax"] = None
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    folder = Path(job["folder"])
    try:
        _install_kernel(folder)
        _run(job, folder)
    except Exception as error:  # the runner reports any error
        faulthandler.cancel_dump_traceback_later()
        report = _describe(error, folder)
        try:
            _write_failure(report, folder)
        except OSError as problem:  # a full disk
            print(f"{report['text']}\n({FAILURE} could not be written: {problem.strerror})", flush=True)
        return 1
    return 0


def _write_failure(report: dict[str, Any], folder: Path) -> None:
    (folder / FAILURE).write_text(json.dumps(report), encoding="utf-8")


def _run(job: dict[str, Any], folder: Path) -> None:
    # These search for kernels and settings when they are imported.
    import nbformat
    import papermill

    from replication.ledger import announce
    from replication.ledger.environment import portable
    from replication.runner import engine
    from replication.runner.page import to_html

    executed = folder / "executed.ipynb"
    execute = partial(
        papermill.execute_notebook,
        job["notebook"],
        executed,
        parameters=job["parameters"],
        kernel_name=KERNEL,
        engine_name=engine.NAME,
        language="python",
        cwd=job["cwd"],
        progress_bar=False,
        start_timeout=300,  # a kernel starts slowly on a busy machine
        execution_timeout=int(job["cell_seconds"]),
    )
    announce(job["parameters"]["out"], notebook=Path(job["notebook"]).name, parameters=job["recorded"])
    joules = _execute_measured(execute)
    (folder / "energy.json").write_text(json.dumps(joules), encoding="utf-8")
    with _time_limit(min(job["cell_seconds"], _PAGE_SECONDS), folder):
        page = to_html(nbformat.read(executed, as_version=4), title=job["title"], note=job["note"])
        if units := job["parameters"].get("units"):
            page = page.replace(units, f"$OUT/units/{Path(units).name}")
        # The scratch folder has a different name in each run, but the report must not depend on it.
        (folder / "report.html").write_text(portable(page.replace(str(folder), "$OUT")), encoding="utf-8")


@contextmanager
def _time_limit(seconds: float, folder: Path) -> Iterator[None]:
    """End the process if the block takes longer, also inside a long call such as that of a regular expression."""
    text = f"the page of the executed notebook took longer than {seconds:g} s: its text or its outputs are too long"
    _write_failure({"cell": None, "source": None, "text": text}, folder)
    faulthandler.dump_traceback_later(seconds, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    (folder / FAILURE).unlink()


def _execute_measured(execute: Callable[[], object]) -> float | None:
    """Execute once and return the energy of processor and graphics card in joules, or None without a counter."""
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
        energy_used = energy.measure_energy(once)
    except energy.EnergyUnavailable:
        if not executed:
            execute()
        return None
    return energy_used.cpu + energy_used.gpu if energy_used.measured else None


def _install_kernel(folder: Path) -> None:
    """Register a kernel of this interpreter.

    The kernel "python3" may be one that a user or another environment registered under that name, and it would run
    start-up scripts of the user's IPython profile.
    """
    kernel = folder / "jupyter" / "kernels" / KERNEL
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    command += [f"--IPKernelApp.extra_extensions=replication.runner.{name}" for name in ("alt_text", "rare_collection")]
    specification = {"argv": command, "display_name": KERNEL, "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    paths = [str(folder / "jupyter"), os.environ.get("JUPYTER_PATH")]
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, paths))
    os.environ["IPYTHONDIR"] = str(folder / "ipython")
    os.environ["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")  # a killed process leaves files there


def _describe(error: Exception, folder: Path) -> dict[str, Any]:
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    from replication.runner.engine import OutputTooLarge

    if isinstance(error, PapermillExecutionError):
        # papermill stores the traceback with the kernel's colour codes; str() removes them.
        return {"cell": error.cell_index, "source": error.source, "text": str(error).strip()}
    report = {"cell": None, "source": None, "text": "".join(traceback.format_exception(error)).strip()}
    if isinstance(error, CellTimeoutError | DeadKernelError | OutputTooLarge):  # these errors do not name the cell
        report["text"] = f"{type(error).__name__}: {error}".splitlines()[0]
        report |= _running_cell(folder / "executed.ipynb")
    return report


def _running_cell(executed: Path) -> dict[str, Any]:
    """Return the last cell that was started. papermill marks an interrupted cell as completed, later ones not."""
    import nbformat

    cells = nbformat.read(executed, as_version=4).cells
    begun = [index for index, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time")]
    return {"cell": begun[-1], "source": cells[begun[-1]].source} if begun else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
