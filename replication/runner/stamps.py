"""Stamps: digests of the sources of a completed run, so that a second call runs only what changed.

Stamps are stored in the output folder's `.cache`, which is not committed. A fresh clone therefore runs everything, even
where it has committed results.
"""

import hashlib
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ccprune._util.files import write_atomic
from replication.ledger import notebooks
from replication.ledger.environment import SOURCE_FOLDERS, package_versions
from replication.ledger.notebooks import NOTEBOOKS
from replication.ledger.reading import read_bytes, read_json
from replication.runner import requirements
from replication.runner.digests import Digests
from replication.runner.imports import closure
from replication.runner.spec import Run


def sources(root: Path, run: Run) -> dict[str, Any]:
    """Return the digests of everything that a run's numbers depend on, except the data. Call it before the run.

    Of the packages, these are the files that the notebook's code imports, so that changes elsewhere do not cause a
    re-run.
    """
    cells = notebooks.cells(root / NOTEBOOKS / run.notebook)
    return {
        "notebook": _digest(json.dumps([[cell.kind, cell.source] for cell in cells]).encode()),
        "parameters": run.parameters,
        "after": {one.label: _digest(json.dumps(sources(root, one), sort_keys=True).encode()) for one in run.after},
        "package": _code(cells),
        "paper": _digests(root, (root / "replication" / "paper").rglob("*")),
        "versions": package_versions() | {"python": platform.python_version()},
    }


def with_data(made_from: dict[str, Any], run: Run, digests: Digests) -> dict[str, Any]:
    """Add the digests of the data on this machine. Call it after the run, which may have downloaded some."""
    data = {
        need: {path.name: digests.digest_file(path) for path in requirements.paths(need)}
        if requirements.is_here(need)
        else None
        for need in (*run.needs, *run.uses)
    }
    return json.loads(json.dumps(made_from | {"data": data}))  # the same types as after a read


def differences(then: dict[str, Any], now: dict[str, Any]) -> str:
    """Return one line with the differences of two results of `sources` or `with_data`; empty if there are none."""
    names = [name for name in now if then.get(name) != now[name]]
    return "; ".join(_difference(name, then.get(name), now[name]) for name in names)


def why_not_current(out: Path, root: Path, run: Run) -> str | None:
    """Return why a run must be run again, or None if its result and report were made from the present sources."""
    try:
        stamp = read_json(_stamp(out, run))
        then, content = stamp["made_from"], [stamp["result"], stamp["report"]]
        then.items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "not run in this folder"
    try:
        now = [_digest(read_bytes(path)) for path in _files(out, run)]
    except (OSError, ValueError):
        return "its result or report is missing"
    if now != content:
        return "its result or report was changed"
    changed = differences(then, with_data(sources(root, run), run, Digests(out / ".cache")))
    return f"changed: {changed}" if changed else None


def name(run: Run) -> str:
    """Return the path of a run's stamp in the output folder."""
    return f".cache/{run.label}.json"


def write(out: Path, run: Run, made_from: dict[str, Any]) -> None:
    """Write the stamp of a run whose result and report are stored."""
    write_atomic(_stamp(out, run), text(out, run, made_from, *(path.read_bytes() for path in _files(out, run))))


def text(out: Path, run: Run, made_from: dict[str, Any], result: bytes, report: bytes) -> str:
    """Return the text of the stamp of a run with this result and report."""
    made_from = with_data(made_from, run, Digests(out / ".cache"))
    content = {"made_from": made_from, "result": _digest(result), "report": _digest(report)}
    return json.dumps(content, indent=1) + "\n"


def _code(cells: Iterable[notebooks.Cell]) -> dict[str, str]:
    files = closure(SOURCE_FOLDERS, notebooks.code(cells))
    parts = (
        _digests(package.parent, (path for path in files if path.is_relative_to(package))) for package in SOURCE_FOLDERS
    )
    return {name: digest for part in parts for name, digest in part.items()}


def _difference(name: str, then: Any, now: Any) -> str:
    if not isinstance(then, dict) or not isinstance(now, dict):
        return name
    changed = sorted(key for key in then.keys() | now.keys() if then.get(key, ...) != now.get(key, ...))
    return f"{name} ({', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''})"


def _files(out: Path, run: Run) -> tuple[Path, Path]:
    return out / "results" / f"{run.label}.json", out / "reports" / f"{run.label}.html"


def _stamp(out: Path, run: Run) -> Path:
    return out / name(run)


def _digests(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    files = (path for path in sorted(paths) if path.is_file())
    return {path.relative_to(folder).as_posix(): _digest(path.read_bytes()) for path in files}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
