"""Stamps: what a finished run was made from, so that a second call runs only what changed.

A stamp lies in the output folder's `.cache`, which is not committed: a fresh clone runs everything, whatever
results were committed with it.
"""

import hashlib
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat

import ccprune
from ccprune.results import write_atomic
from ccprune.results.environment import package_versions
from ccprune.suite import requirements
from ccprune.suite.digests import Digests
from ccprune.suite.imports import closure
from ccprune.suite.spec import NOTEBOOKS, Run


def sources(root: Path, run: Run) -> dict[str, Any]:
    """Digests of all that a run's numbers depend on, but for the data. Call it before the run.

    Of the library, the files that the notebook's code leads to: a change elsewhere does not make it run again.
    """
    cells = nbformat.read(root / NOTEBOOKS / run.notebook, as_version=4).cells
    package = Path(ccprune.__file__).parent
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    return {
        "notebook": _digest(json.dumps([[cell.cell_type, cell.source] for cell in cells]).encode()),
        "parameters": run.parameters,
        "package": _digests(package, closure(package, code)),
        "paper": _digests(root, (root / "replication" / "paper").rglob("*")),
        "versions": package_versions() | {"python": platform.python_version()},
    }


def key(made_from: dict[str, Any], run: Run, digests: Digests) -> str:
    """SHA-256 over the sources and the data that is here. Call it after the run, which may have fetched some."""
    data = {
        need: {path.name: digests.of(path) for path in requirements.paths(need)} if requirements.is_here(need) else None
        for need in (*run.needs, *run.uses)
    }
    return _digest(json.dumps(made_from | {"data": data}, sort_keys=True).encode())


def is_current(out: Path, root: Path, run: Run) -> bool:
    """Whether result and report are there and are what this folder's last run made of the same key."""
    result, report = _files(out, run)
    try:
        stamp = json.loads(_stamp(out, run).read_text(encoding="utf-8"))
        content = _digest(result.read_bytes())
    except (OSError, ValueError):
        return False
    expected = {"key": key(sources(root, run), run, Digests(out / ".cache")), "result": content}
    return stamp == expected and report.is_file()


def write(out: Path, run: Run, made_from: dict[str, Any]) -> None:
    """Stamp a run whose result and report are in place."""
    stamp = {"key": key(made_from, run, Digests(out / ".cache")), "result": _digest(_files(out, run)[0].read_bytes())}
    write_atomic(_stamp(out, run), json.dumps(stamp, indent=1) + "\n")


def _files(out: Path, run: Run) -> tuple[Path, Path]:
    return out / "results" / f"{run.label}.json", out / "reports" / f"{run.label}.html"


def _stamp(out: Path, run: Run) -> Path:
    return out / ".cache" / f"{run.label}.json"


def _digests(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    files = (path for path in sorted(paths) if path.is_file())
    return {path.relative_to(folder).as_posix(): _digest(path.read_bytes()) for path in files}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
