"""Check of the committed files against the results, without running anything."""

import hashlib
import json
import re
import runpy
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from replication import ledger as results
from replication.ledger import units
from replication.ledger.tables import MEASUREMENTS_TABLE, VERDICTS_TABLE
from replication.reporting import manifest
from replication.reporting.index import FIGURE, INDEX, write_report
from replication.reporting.pages import FOLDER
from replication.reporting.passages import renewed

#: Path of the notebooks relative to the committed output folder.
NOTEBOOKS_LINK = "../notebooks"


class Run(Protocol):
    """Attributes of a run of the suite file that are used here."""

    label: str
    profile: str
    parameters: dict[str, Any]


def problems(root: Path, runs: Iterable[Run]) -> list[str]:
    """List the problems of the committed files.

    The signature of each result, the digests of its report and raw runs, and its parameters are checked. Both tables,
    their pages, README.md, verdicts.svg, the manifest of codecheck.yml and the passages of pages are made again from
    the raw runs and compared. Of `root`/benchmarks, if present, signatures and README.md are checked.

    Parameters
    ----------
    root : Path
        The clone.
    runs : iterable of Run
        The suite's runs of all profiles.

    Returns
    -------
    list of str
        One line for each problem.
    """
    folder = root / "replication"
    runs = list(runs)
    wrong = list(_results(folder, {run.label: run for run in runs}))
    if not wrong:  # files made from invalid results would have the same problems
        wrong = [*_derived(folder, expected(runs)), *_manifest(root), *_passages(root)]
    return [*wrong, *_benchmarks(root / "benchmarks")]


def _results(folder: Path, runs: dict[str, Run]) -> Iterator[str]:
    paths = sorted((folder / "results").glob("*.json"))
    if not paths:
        yield f"{folder}: no results"
    for path in paths:
        name = f"results/{path.name}"
        try:
            content = results.read(path)
            results.read_raw(path, content)
        except ValueError as error:
            yield str(error).replace(str(path), name)
            continue
        label = path.name.removesuffix(".json")
        report = folder / "reports" / f"{label}.html"
        if not report.is_file():
            yield f"{name}: its report reports/{report.name} is missing"
        elif hashlib.sha256(report.read_bytes()).hexdigest() != content["report_sha256"]:
            yield f"reports/{report.name}: it was changed after it was written, its digest is not that in the result"
        if label not in runs:
            yield f"{name}: no such run in the suite"
            continue
        expected_parameters, stored = runs[label].parameters, content["parameters"]
        differing = [
            key
            for key in sorted(expected_parameters | stored)
            if expected_parameters.get(key, ...) != stored.get(key, ...)
        ]
        # A run with stored units is being made with new parameters, which the index shows.
        if differing and not units.stored(folder, label):
            yield f"{name}: its parameters differ from the suite's ({', '.join(differing)}); run it again"
    known = {path.name.removesuffix(".json") for path in paths}
    for raw in sorted((folder / "raw").glob("*")):
        if raw.stem not in known:
            yield f"raw/{raw.name}: it belongs to no result"
    for report in sorted((folder / "reports").glob("*.html")):
        if report.stem not in known:
            yield f"reports/{report.name}: it belongs to no result"


def expected(runs: Iterable[Run]) -> list[str]:
    """Return the labels of the runs that a committed folder must have, which are all but those of profile smoke."""
    return [run.label for run in runs if run.profile != "smoke"]


def _derived(folder: Path, labels: Iterable[str]) -> Iterator[str]:
    """Make the files again in a temporary folder, and yield the differences from the present ones."""
    with tempfile.TemporaryDirectory(prefix="ccprune-verify-") as scratch:
        again = Path(scratch)
        for part in ("results", "raw", "reports", "paper", units.FOLDER):
            if (folder / part).is_dir():
                (again / part).symlink_to((folder / part).resolve(), target_is_directory=True)
        if (folder / "skipped.json").is_file():
            shutil.copy(folder / "skipped.json", again)
        try:
            write_report(again, notebooks=NOTEBOOKS_LINK, fresh=True, expected=labels)
        except ValueError as error:
            yield str(error)
            return
        names = [VERDICTS_TABLE, MEASUREMENTS_TABLE, INDEX, FIGURE]
        pages = {path.name for place in (folder, again) for path in (place / FOLDER).glob("*.md")}
        for name in [*names, *(f"{FOLDER}/{page}" for page in sorted(pages))]:
            old, new = (
                path.read_text(encoding="utf-8") if path.is_file() else "" for path in (folder / name, again / name)
            )
            if old != new and not (name == FIGURE and _drawn_by(old) != _drawn_by(new)):
                yield f"{name}: it differs from the results{_first_difference(old, new)}; run `ccprune report`"


def _drawn_by(svg: str) -> str | None:
    """Return the version of matplotlib that drew a figure, because other versions may write other bytes."""
    match = re.search(r"<dc:title>(Matplotlib [^<]*)", svg)
    return match[1].partition(",")[0] if match else None


def _first_difference(old: str, new: str) -> str:
    before, after = old.splitlines(), new.splitlines()
    for number, (one, other) in enumerate(zip(before, after, strict=False), 1):
        if one != other:
            return f" (line {number} reads {_short(one)}, not {_short(other)})"
    return f" ({len(before)} lines instead of {len(after)})"


def _short(line: str) -> str:
    return repr(line if len(line) <= 200 else f"{line[:200]}...")


def _manifest(root: Path) -> Iterator[str]:
    path = root / manifest.FILE
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        try:
            if manifest.with_manifest(text, manifest.entries(root)) != text:
                yield f"{path.name}: its manifest differs from the files of replication/; run `ccprune report`"
        except ValueError as error:
            yield str(error)


def _passages(root: Path) -> Iterator[str]:
    try:
        for path, old, new in renewed(root):
            if old != new:
                name = path.relative_to(root)
                yield f"{name}: it differs from the results{_first_difference(old, new)}; run `ccprune report`"
    except ValueError as error:
        yield str(error)


def _benchmarks(folder: Path) -> Iterator[str]:
    if not (folder / "plot.py").is_file():
        return
    wrong = []
    for path in sorted((folder / "results").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("signature") != results.signature(content):
            wrong.append(f"benchmarks/results/{path.name}: it was changed after it was written")
    yield from wrong
    if not wrong:
        plot = runpy.run_path(str(folder / "plot.py"))
        old, new = (folder / "README.md").read_text(encoding="utf-8"), plot["readme"](plot["results"]())
        if old != new:
            difference = _first_difference(old, new)
            yield f"benchmarks/README.md: it differs from the results{difference}; run benchmarks/plot.py"
