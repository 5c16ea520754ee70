"""The plan: which notebooks run with which parameters, checked before anything runs."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from ccprune.suite import limits, suite_file
from ccprune.suite.errors import SuiteError, near
from ccprune.suite.suite_file import Entry, SuiteFile

SUITE_FILE = Path("replication", "suite.toml")
NOTEBOOKS = Path("notebooks")

#: Parameters every notebook has, with their type. The runner gives "profile" and "out" itself.
EVERY_NOTEBOOK = {"profile": str, "seed": int, "out": str}


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
        Every parameter of the notebook but "out", defaults included.
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
            defaults = notebook_parameters(root / NOTEBOOKS / entry.notebook)
        except (OSError, ValueError) as error:
            problems.append(f"{entry.name}: {error}")
            defaults = given
        else:
            problems.extend(f"{entry.name}: {problem}" for problem in limits.problems(given, defaults, suite.limits))
        resolved = defaults | given | {"profile": profile}
        resolved.pop("out", None)
        after = tuple(runs[name] for name in entry.after)
        more = {"needs": entry.needs, "uses": entry.uses, "after": after, "seconds": entry.seconds}
        runs[entry.name] = Run(entry.name, profile, entry.notebook, resolved, **more)

    for name in entries:
        if name in chosen and name not in runs:
            resolve(entries[name])
    if problems:
        raise SuiteError("\n".join(problems))
    return list(runs.values())


def notebook_parameters(path: Path) -> dict[str, Any]:
    """Return names and defaults from the cell tagged "parameters".

    Raises
    ------
    FileNotFoundError
        If there is no such notebook.
    ValueError
        If not exactly one cell has the tag, it holds anything but assignments of literals, or one of
        `EVERY_NOTEBOOK` is missing or has another type. papermill itself would run on with the defaults.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no notebook {path.name} in {path.parent.name}/")
    cells = nbformat.read(path, as_version=4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", ())]
    if len(tagged) != 1 or tagged[0].cell_type != "code":
        raise ValueError(f"{path.name} must have exactly one code cell tagged 'parameters', it has {len(tagged)}")
    parameters = {}
    for statement in ast.parse(tagged[0].source).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                raise ValueError(f"{path.name}: line {statement.lineno} of the parameters cell is no assignment")
        try:
            parameters[name] = ast.literal_eval(value)
        except ValueError:
            raise ValueError(f"{path.name}: parameter {name!r} must be a literal") from None
    for name, kind in EVERY_NOTEBOOK.items():
        if type(parameters.get(name)) is not kind:
            raise ValueError(f"{path.name} must have a parameter {name!r} of type {kind.__name__}")
    return parameters


def _select(suite: SuiteFile, profile: str, only: Sequence[str]) -> set[str]:
    """Names of a profile's runs that are asked for; each word must stand for at least one of them."""
    here = {entry.name for entry in suite.entries[profile]}
    if not only:
        return here
    groups = {name.partition("-")[0] for name in suite.names}
    unknown = [word for word in only if word not in suite.names | groups]
    if unknown:
        known = sorted(groups | suite.names)
        raise SuiteError("\n".join(f"there is no run {word!r}{near(word, known)}" for word in unknown))
    asked = {word: {name for name in here if word in (name, name.partition("-")[0])} for word in only}
    absent = [word for word, names in asked.items() if not names]
    if absent:
        raise SuiteError(f"not in profile {profile!r}: {', '.join(absent)}")
    return set().union(*asked.values())
