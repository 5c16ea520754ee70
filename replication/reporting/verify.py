"""Check of the committed files against the results and raw runs, without running anything."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from replication import ledger
from replication.ledger import units
from replication.ledger.environment import lock
from replication.ledger.reading import read_json, read_text
from replication.ledger.storage import as_json, from_json
from replication.reporting import benchmarks, codecheck, manifest
from replication.reporting.figure import verdict_figure
from replication.reporting.index import FIGURE, Report, make_report
from replication.reporting.judging import contradictions, judge
from replication.reporting.pages import FOLDER
from replication.reporting.passages import renew

#: Path of the notebooks relative to the committed output folder.
NOTEBOOKS_LINK = "../notebooks"

#: Path of a file in the clone, and what is wrong with it.
Problem = tuple[str, str]


class Run(Protocol):
    """Attributes of a run of the suite file that are used here."""

    label: str
    profile: str
    notebook: str
    parameters: dict[str, Any]
    needs: tuple[str, ...]


def problems(root: Path, runs: Iterable[Run]) -> list[str]:
    """List the problems of the committed files.

    Each result is checked by its signature, digests, parameters and the rules of its verdicts. The tables, pages,
    pictures, passages and lists are made again from the raw runs and compared byte by byte. All other outputs are
    compared with the manifest. The pictures are compared only where matplotlib has the locked version.

    Parameters
    ----------
    root : Path
        The clone.
    runs : iterable of Run
        The suite's runs of all profiles.

    Returns
    -------
    list of str
        One line for each problem, which begins with the path of the file in the clone.
    """
    runs = list(runs)
    found: dict[str, list[str]] = {}
    valid = True
    for name, problem in _results(root, {run.label: run for run in runs}):
        found.setdefault(name, []).append(problem)
        valid = valid and not problem.startswith(_INVALID)
    for name, problem in [*_units(root, runs), *_check_skipped(root, runs), *_benchmarks(root)]:
        found.setdefault(name, []).append(problem)
    if valid:  # files made from invalid results would have the same problems
        try:
            report = make_report(
                root / "replication", judge=judge, notebooks=NOTEBOOKS_LINK, expected=expected_runs(runs)
            )
            derived = [*_check_derived(root, report), *_passages(root, report), *_codecheck(root)]
        except ValueError as error:
            derived = [("replication/results", str(error))]
        for name, problem in derived:
            found.setdefault(name, []).append(problem)
    for name, problem in manifest.problems(root):
        found.setdefault(name, [problem])  # what is known of a file already says more
    return [f"{name}: {problem}" for name, listed in found.items() for problem in listed]


def expected_runs(runs: Iterable[Run]) -> list[Run]:
    """Return the runs that a committed folder must have, which are all but those of profile smoke."""
    return [run for run in runs if run.profile != "smoke"]


def draws_as_locked(root: Path) -> bool:
    """Return whether pictures that are drawn here have the bytes of the locked version of matplotlib."""
    state = lock(root / "requirements.lock")
    return state is None or not any(name.startswith("matplotlib ") for name in state["differing"])


_INVALID = "it cannot be used: "


def _results(root: Path, runs: dict[str, Run]) -> Iterator[Problem]:
    folder = root / "replication"
    paths = sorted((folder / "results").glob("*.json"))
    if not paths:
        yield "replication/results", "no results"
    for path in paths:
        name, label = f"replication/results/{path.name}", path.name.removesuffix(".json")
        raw = ledger.raw_path(path)
        try:
            content = ledger.read(path)
        except ValueError as error:
            yield name, _INVALID + str(error).removeprefix(f"{path}: ")
            continue
        try:
            ledger.read_raw(path, content)
        except ValueError as error:
            yield f"replication/raw/{raw.name}", _INVALID + str(error).removeprefix(f"{raw}: ")
        if as_json(content) != read_text(path):
            yield name, "it has other digits, spaces or order than the package writes"
        for contradiction in contradictions(content):
            yield name, contradiction
        report = folder / "reports" / f"{label}.html"
        digest = hashlib.sha256(report.read_bytes()).hexdigest() if report.is_file() else None
        if digest != content["report_sha256"] or digest is None:
            state = "was changed after it was written" if digest else "is missing"
            yield f"replication/reports/{report.name}", f"the report of {path.name} {state}"
        if label not in runs:
            yield name, "no such run in the suite"
            continue
        if content["notebook"] != runs[label].notebook:
            yield name, f"its notebook must be {runs[label].notebook}, got {content['notebook']}"
        given, stored = runs[label].parameters, content["parameters"]
        differing = [key for key in sorted(given | stored) if given.get(key, ...) != stored.get(key, ...)]
        # A run with stored units is being made with new parameters, which the index shows.
        if differing and not units.count_stored(folder, label):
            yield name, f"its parameters differ from the suite's ({', '.join(differing)}); run it again"
    known = {path.name.removesuffix(".json") for path in paths}
    for part, ending in (("raw", "*"), ("reports", "*.html")):
        for path in sorted((folder / part).glob(ending)):
            if path.stem not in known:
                yield f"replication/{part}/{path.name}", "it belongs to no result"


def _units(root: Path, runs: Iterable[Run]) -> Iterator[Problem]:
    labels = {run.label for run in runs}
    for path in sorted((root / "replication" / units.FOLDER).glob("*/*.json")):
        try:
            text = read_text(path)
            content = from_json(text)
            intact = units.Units(path.parent).read(content["key"]) == content["rows"]
            intact = intact and json.dumps(content, indent=1) + "\n" == text
        except (ValueError, KeyError, TypeError):
            intact = False
        if not intact:
            yield path.relative_to(root).as_posix(), "it was changed after it was written"
        elif path.parent.name not in labels:
            yield path.relative_to(root).as_posix(), "no such run in the suite"


def _check_skipped(root: Path, runs: Iterable[Run]) -> Iterator[Problem]:
    """Yield the problems of skipped.json, which has the runs whose data was unavailable and that have no result."""
    path, name = root / "replication" / "skipped.json", "replication/skipped.json"
    if not path.is_file():
        return
    needs = {run.label: run.needs for run in runs}
    try:
        content = read_json(path)
        if not content or as_json(content) != read_text(path):
            yield name, "it is not as `ccprune replicate` writes it"
        for label, why in content.items():
            if not needs.get(label):
                yield name, f"the suite has no run {label} that can be skipped"
            elif (root / "replication" / "results" / f"{label}.json").is_file():
                yield name, f"the run {label} has a result"
            elif not isinstance(why, str) or not why:
                yield name, f"the run {label} has no reason"
    except ValueError as error:
        yield name, f"it cannot be read: {error}"


def _benchmarks(root: Path) -> Iterator[Problem]:
    folder = root / "benchmarks"
    wrong = [
        (path.relative_to(root).as_posix(), problem)
        for path in sorted(folder.glob("results/*.json"))
        for problem in benchmarks.problems(path)
    ]
    yield from wrong
    if wrong or not (folder / "results").is_dir():
        return
    contents = benchmarks.read(folder)
    yield from _compare(root, f"benchmarks/{benchmarks.PAGE}", benchmarks.readme(contents), "make bench")
    if draws_as_locked(root):
        name = f"benchmarks/{benchmarks.PICTURE}"
        if not _is_file(root, name) or (root / name).read_bytes() != benchmarks.draw(contents):
            yield name, "it is not the picture of the results; run `make bench`"


def _check_derived(root: Path, report: Report) -> Iterator[Problem]:
    for name, text in report.texts.items():
        yield from _compare(root, f"replication/{name}", text)
    for path in sorted((root / "replication" / FOLDER).glob("*.md")):
        if f"{FOLDER}/{path.name}" not in report.texts:
            yield f"replication/{FOLDER}/{path.name}", "no command writes it"
    figure = f"replication/{FIGURE}"
    if not report.printed and _is_file(root, figure):
        yield figure, "no command writes it"
    elif report.printed and draws_as_locked(root):
        yield from _compare(root, figure, verdict_figure(report.printed))


def _passages(root: Path, report: Report) -> Iterator[Problem]:
    for path, _, new in renew(root, report.rows):
        yield from _compare(root, path.relative_to(root).as_posix(), new)


def _codecheck(root: Path) -> Iterator[Problem]:
    if _is_file(root, codecheck.FILE):
        text = read_text(root / codecheck.FILE)
        yield from _compare(root, codecheck.FILE, codecheck.with_entries(text, codecheck.entries(root)))


def _compare(root: Path, name: str, text: str, command: str = "ccprune report") -> Iterator[Problem]:
    """Yield the first difference of a file from the bytes that the command would write."""
    content = (root / name).read_bytes() if _is_file(root, name) else b""
    if content != text.encode():
        difference = _first_difference(content.decode(errors="replace"), text)
        yield name, f"it differs from the results{difference}; run `{command}`"


def _is_file(root: Path, name: str) -> bool:
    return (root / name).is_file()


def _first_difference(old: str, new: str) -> str:
    before, after = old.split("\n"), new.split("\n")
    for number, (one, other) in enumerate(zip(before, after, strict=False), 1):
        if one != other:
            return f" (line {number} reads {_short(one)}, not {_short(other)})"
    return f" ({len(before)} lines instead of {len(after)})"


def _short(line: str) -> str:
    return repr(line if len(line) <= 200 else f"{line[:200]}...")
