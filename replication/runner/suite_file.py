"""Reading and checking of the suite file, whose grids are expanded to one entry per combination."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from replication.ledger import PROFILES
from replication.ledger.errors import suggestion
from replication.ledger.reading import InvalidFile, read_toml
from replication.runner import requirements
from replication.runner.errors import SuiteError
from replication.runner.limits import Limit, limit

_RUN_KEYS = ("name", "notebook", "needs", "uses", "after", "seconds", "parameters", *PROFILES)


@dataclass(frozen=True)
class Entry:
    """One run of one profile in the suite file.

    Attributes
    ----------
    name, notebook : str
        As in `replication.runner.Run`.
    needs, uses : tuple of str
        As in `replication.runner.Run`.
    after : tuple of str
        Names of the runs that must have succeeded before this one starts.
    given : dict
        Parameters in the file. All others have the notebook's defaults.
    seconds : float
        Expected wall time on two cores.
    """

    name: str
    notebook: str
    given: dict[str, Any]
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    after: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class SuiteFile:
    """Content of a suite file.

    Attributes
    ----------
    entries : dict of str to tuple of Entry
        Entries of each profile, in the file's order.
    limits : dict of str to Limit
        Limits of parameters, by name.
    """

    entries: dict[str, tuple[Entry, ...]]
    limits: dict[str, Limit]

    @property
    def names(self) -> set[str]:
        """Names of the runs of all profiles."""
        return {entry.name for entries in self.entries.values() for entry in entries}


def read(path: Path) -> SuiteFile:
    """Read and check a suite file, or raise SuiteError with one line for each problem."""
    try:
        text = read_toml(path)
    except InvalidFile as error:
        raise SuiteError(str(error)) from error
    runs, stated = text.get("run", []), text.get("limits", {})
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs) or not isinstance(stated, dict):
        raise SuiteError(f"{path.name}: it must hold tables [[run]] and a table [limits]")
    problems = [
        f"unknown key {key!r}{suggestion(key, ('run', 'limits'))}" for key in text if key not in ("run", "limits")
    ]
    limits = {}
    for name, table in stated.items():
        try:
            limits[name] = limit(table)
        except ValueError as error:
            problems.append(f"limits: {name}: {error}")
    for run in runs:
        problems += [f"{run.get('name')}: {problem}" for problem in _problems(run)]
    if not problems:
        suite = SuiteFile({profile: _entries(runs, profile) for profile in PROFILES}, limits)
        problems = list(_contradictions(suite))
    if problems:
        raise SuiteError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return suite


def _problems(run: Mapping[str, Any]) -> Iterator[str]:
    misshapen = list(_misshapen(run))
    yield from misshapen
    if misshapen:
        return
    if not re.fullmatch(r"\w+(-[\w.]+)*", run["name"]):
        yield "name must be words of letters, digits and _, with hyphens between"
    profiles = [profile for profile in PROFILES if profile in run]
    if not profiles:
        yield f"must have a table for at least one profile of {', '.join(PROFILES)}"
    for profile in profiles:
        grid = run[profile].get("grid", {})
        if not isinstance(grid, dict) or not all(_is_axis(values) for values in grid.values()):
            yield f"{profile}.grid must give a list of different texts or numbers for each parameter, got {grid!r}"
        seconds = run.get("seconds", {}).get(profile)
        if not (type(seconds) in (int, float) and seconds > 0):
            yield f"seconds.{profile} must be the expected wall time, a number above 0, got {seconds!r}"


def _misshapen(run: Mapping[str, Any]) -> Iterator[str]:
    """Yield unknown keys and values of the wrong type."""
    yield from (f"unknown key {key!r}{suggestion(key, _RUN_KEYS)}" for key in run if key not in _RUN_KEYS)
    for key in ("name", "notebook"):
        if not isinstance(run.get(key), str):
            yield f"{key} must be a string, got {run.get(key)!r}"
    for key in ("needs", "uses", "after"):
        listed = run.get(key, [])
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            yield f"{key} must be a list of strings, got {listed!r}"
    for key in ("seconds", "parameters", *PROFILES):
        if not isinstance(run.get(key, {}), dict):
            yield f"{key} must be a table, got {run[key]!r}"


def _is_axis(values: Any) -> bool:
    different = isinstance(values, list) and len({str(value) for value in values}) == len(values) > 0
    return different and all(type(value) in (int, float, str) for value in values)


def _entries(runs: list[dict[str, Any]], profile: str) -> tuple[Entry, ...]:
    return tuple(entry for run in runs if profile in run for entry in _of_grid(run, profile))


def _of_grid(run: Mapping[str, Any], profile: str) -> Iterator[Entry]:
    """Yield one entry per point of the profile's grid, NAME-VALUE-VALUE, or the run itself without a grid."""
    table = dict(run[profile])
    grid = table.pop("grid", {})
    for values in itertools.product(*grid.values()):
        given = run.get("parameters", {}) | table | dict(zip(grid, values, strict=True))

        def fill(key: str, given=given) -> tuple[str, ...]:
            return tuple(re.sub(r"\{(\w+)\}", lambda m: str(given.get(m[1], m[0])), text) for text in run.get(key, ()))

        name = "-".join([run["name"], *map(str, values)])
        seconds = run["seconds"][profile]
        yield Entry(name, run["notebook"], given, fill("needs"), fill("uses"), fill("after"), seconds)


def _contradictions(suite: SuiteFile) -> Iterator[str]:
    """Yield problems between runs: duplicate names, unknown data, missing or circular dependencies."""
    checked = set()
    for profile, entries in suite.entries.items():
        names = [entry.name for entry in entries]
        yield from (f"{name}: two runs have this name" for name in sorted({n for n in names if names.count(n) > 1}))
        after = {entry.name: entry.after for entry in entries}
        for entry in entries:
            for need in (*entry.needs, *entry.uses):
                if (entry.name, need) not in checked and (problem := requirements.problem(need)):
                    yield f"{entry.name}: {problem}"
                checked.add((entry.name, need))
            for name in entry.after:
                if name not in after:
                    yield f"{entry.name}: after: profile {profile!r} has no run {name!r}{suggestion(name, after)}"
        try:
            TopologicalSorter(after).prepare()
        except CycleError as error:
            yield from (f"{name}: after: the run depends on itself" for name in after if name in error.args[1])
