"""Plan of a replication: the notebooks and their parameters, checked before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication.ledger import notebooks
from replication.ledger.errors import suggestion
from replication.ledger.notebooks import NOTEBOOKS
from replication.runner import limits, suite_file
from replication.runner.errors import SuiteError
from replication.runner.suite_file import Entry, SuiteFile

SUITE_FILE = Path("replication", "suite.toml")


@dataclass(frozen=True)
class Run:
    """One notebook with one set of parameters.

    Attributes
    ----------
    name, profile : str
        The result file is NAME.PROFILE.json.
    notebook : str
        File name inside `NOTEBOOKS`.
    parameters : dict
        All parameters of the notebook except `notebooks.PLACES`, including defaults.
    needs : tuple of str
        Data without which the run is skipped, such as "authors:data/vowel.csv".
    uses : tuple of str
        Data that the run uses if it is available.
    after : tuple of Run
        Runs that must have succeeded before this one starts.
    seconds : float
        Expected wall time on two cores, which affects the order of the runs and the displayed time left.
    """

    name: str
    profile: str
    notebook: str
    parameters: dict[str, Any]
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    after: tuple["Run", ...] = ()
    seconds: float = 1.0

    @property
    def label(self) -> str:
        """NAME.PROFILE, the stem of the names of the run's files."""
        return f"{self.name}.{self.profile}"


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above `start` with a suite file, or raise SuiteError if there is none."""
    for folder in (start, *start.parents):
        if (folder / SUITE_FILE).is_file():
            return folder
    raise SuiteError(f"no {SUITE_FILE} in {start} or above it; run this inside a clone of the project")


def plan(root: Path, *, profile: str, only: Sequence[str] = (), replaced: Mapping[str, Any] | None = None) -> list[Run]:
    """Resolve and check the runs of a profile.

    Parameters
    ----------
    root : Path
        Folder that holds `SUITE_FILE` and `NOTEBOOKS`.
    profile : str
        "smoke", "default" or "paper". Runs without a table for the profile are left out.
    only : sequence of str, default ()
        Names of runs, or the common part of several names before the first "-"; empty for all runs. The runs that they
        depend on are added.
    replaced : mapping of str to value, optional
        Parameters that replace the suite's in every run. Each must be a parameter of all selected notebooks.

    Returns
    -------
    list of Run
        In the suite's order, except that every run follows those that it depends on.

    Raises
    ------
    SuiteError
        With one line for each problem: unknown names (with suggestions), a missing notebook, not exactly one cell
        tagged "parameters", an unknown parameter, a value of another type or out of range.
    """
    suite = suite_file.read(root / SUITE_FILE)
    entries = {entry.name: entry for entry in suite.entries[profile]}
    chosen = _select(suite, profile, only)
    runs: dict[str, Run] = {}
    problems: list[str] = []

    def resolve(entry: Entry) -> None:
        for name in entry.after:
            if name not in runs:
                resolve(entries[name])
        given = entry.given | dict(replaced or {})
        try:
            defaults = notebooks.parameters(root / NOTEBOOKS / entry.notebook)
        except (OSError, ValueError) as error:
            problems.append(f"{entry.name}: {error}")
            defaults = given
        else:
            problems.extend(f"{entry.name}: {problem}" for problem in limits.problems(given, defaults, suite.limits))
        resolved = defaults | given | {"profile": profile}
        for name in notebooks.PLACES:
            resolved.pop(name, None)
        after = tuple(runs[name] for name in entry.after)
        more = {"needs": entry.needs, "uses": entry.uses, "after": after, "seconds": entry.seconds}
        runs[entry.name] = Run(entry.name, profile, entry.notebook, resolved, **more)

    for name in entries:
        if name in chosen and name not in runs:
            resolve(entries[name])
    if problems:
        raise SuiteError("\n".join(problems))
    return list(runs.values())


def _select(suite: SuiteFile, profile: str, only: Sequence[str]) -> set[str]:
    """Return the names of the selected runs of a profile. Each word must select at least one."""
    here = {entry.name for entry in suite.entries[profile]}
    if not only:
        return here
    groups = {name.partition("-")[0] for name in suite.names}
    unknown = [word for word in only if word not in suite.names | groups]
    if unknown:
        known = sorted(groups | suite.names)
        raise SuiteError("\n".join(f"no run {word!r} in the suite{suggestion(word, known)}" for word in unknown))
    selected = {word: {name for name in here if word in (name, name.partition("-")[0])} for word in only}
    absent = [word for word, names in selected.items() if not names]
    if absent:
        raise SuiteError(f"profile {profile!r} has no run {', '.join(absent)}")
    return set().union(*selected.values())
