"""The plan: which notebooks run with which parameters, checked before anything runs."""

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
    name, profile
        Together they name the result file, NAME.PROFILE.json.
    notebook
        File name inside `NOTEBOOKS`.
    parameters
        Every parameter of the notebook but `notebooks.PLACES`, defaults included.
    needs
        Data without which the run is skipped, as in "authors:data/vowel.csv".
    uses
        Data that the run uses where it can be had.
    after
        Runs that must be in place before this one begins.
    seconds
        Expected wall time on two cores: for the time left and the order, not for any result.
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
        """NAME.PROFILE, the stem of all of the run's files."""
        return f"{self.name}.{self.profile}"


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above `start` with a suite file; SuiteError if there is none."""
    for folder in (start, *start.parents):
        if (folder / SUITE_FILE).is_file():
            return folder
    raise SuiteError(f"no {SUITE_FILE} in {start} or above it; run this inside a clone of the project")


def plan(root: Path, *, profile: str, only: Sequence[str] = (), replaced: Mapping[str, Any] | None = None) -> list[Run]:
    """Resolve and check the runs of a profile.

    Parameters
    ----------
    root
        Folder that holds `SUITE_FILE` and `NOTEBOOKS`.
    profile
        "smoke", "default" or "paper". A run without a table for the profile is not in it.
    only
        Names of runs, or what comes before the "-" of several; empty for all. Those that they come after are added.
    replaced
        Parameters that every run gets in place of the suite's; each must be one of all the notebooks chosen.

    Returns
    -------
    list of Run
        In the suite's order, but none before those that it comes after.

    Raises
    ------
    SuiteError
        With one line for everything that is wrong: unknown names (with near matches), a missing notebook, a
        missing or doubled cell tagged "parameters", an unknown parameter, a value of another type or out of range.
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
    """Names of a profile's runs that are asked for; each word must stand for at least one of them."""
    here = {entry.name for entry in suite.entries[profile]}
    if not only:
        return here
    groups = {name.partition("-")[0] for name in suite.names}
    unknown = [word for word in only if word not in suite.names | groups]
    if unknown:
        known = sorted(groups | suite.names)
        raise SuiteError("\n".join(f"there is no run {word!r}{suggestion(word, known)}" for word in unknown))
    asked = {word: {name for name in here if word in (name, name.partition("-")[0])} for word in only}
    absent = [word for word, names in asked.items() if not names]
    if absent:
        raise SuiteError(f"not in profile {profile!r}: {', '.join(absent)}")
    return set().union(*asked.values())
