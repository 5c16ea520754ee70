"""The suite file: which notebooks run with which parameters, checked before anything runs."""

import ast
import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from ccprune.results import PROFILES
from ccprune.suite import requirements

SUITE_FILE = Path("replication", "suite.toml")
NOTEBOOKS = Path("notebooks")

#: Parameters every notebook has, with their type. The runner gives "profile" and "out" itself.
EVERY_NOTEBOOK = {"profile": str, "seed": int, "out": str}

_RUN_KEYS = ("name", "notebook", "needs", "uses", "parameters", *PROFILES)


class SuiteError(ValueError):
    """Something in the suite, or asked of it, is wrong; nothing has been run."""


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
    """

    name: str
    profile: str
    notebook: str
    parameters: dict[str, Any]
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()

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
        Names of runs, or what comes before the "-" of several; empty for all.
    replaced
        Parameters that every run gets in place of the suite's; each must be one of all the notebooks chosen.

    Raises
    ------
    SuiteError
        With one line for everything that is wrong: unknown names (with near matches), a missing notebook, a
        missing or doubled cell tagged "parameters", an unknown parameter, a value of another type.
    """
    entries = _load(root / SUITE_FILE)
    names = _select([entry["name"] for entry in entries], only)
    entries = [entry for entry in entries if entry["name"] in names]
    absent = [entry["name"] for entry in entries if profile not in entry]
    # Of a group those that the profile has are run; a run asked for by its own name must be in it.
    if only and (len(absent) == len(entries) or set(absent) & set(only)):
        raise SuiteError(f"not in profile {profile!r}: {', '.join(absent)}")
    runs, problems = [], []
    for entry in entries:
        if profile not in entry:
            continue
        given = entry.get("parameters", {}) | entry[profile] | dict(replaced or {})
        try:
            defaults = notebook_parameters(root / NOTEBOOKS / entry["notebook"])
        except (OSError, ValueError) as error:
            problems.append(f"{entry['name']}: {error}")
            continue
        found = list(_parameter_problems(given, defaults))
        problems += [f"{entry['name']}: {problem}" for problem in found]
        resolved = defaults | given | {"profile": profile}
        del resolved["out"]
        needs, uses = tuple(entry.get("needs", ())), tuple(entry.get("uses", ()))
        runs.append(Run(entry["name"], profile, entry["notebook"], resolved, needs, uses))
    if problems:
        raise SuiteError("\n".join(problems))
    return runs


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


def near(word: str, words: Iterable[str]) -> str:
    """Return ' (did you mean ...?)' or nothing."""
    matches = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""


def _load(path: Path) -> list[dict[str, Any]]:
    try:
        suite = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{path.name}: {error}") from error
    entries, problems, seen = suite.get("run", []), [], set()
    problems += [f"unknown key {key!r}{near(key, ['run'])}" for key in suite if key != "run"]
    for entry in entries:
        name = entry.get("name")
        problems += [f"{name}: unknown key {key!r}{near(key, _RUN_KEYS)}" for key in entry if key not in _RUN_KEYS]
        for key in ("name", "notebook"):
            if not isinstance(entry.get(key), str):
                problems.append(f"{name}: {key} must be a string, got {entry.get(key)!r}")
        for need in (*entry.get("needs", ()), *entry.get("uses", ())):
            if problem := requirements.problem(need):
                problems.append(f"{name}: {problem}")
        if name in seen:
            problems.append(f"{name}: two runs have this name")
        seen.add(name)
    if problems:
        raise SuiteError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return entries


def _select(names: list[str], only: Sequence[str]) -> set[str]:
    groups = {name.partition("-")[0] for name in names}
    unknown = [word for word in only if word not in names and word not in groups]
    if unknown:
        known = sorted(groups | set(names))
        raise SuiteError("\n".join(f"there is no run {word!r}{near(word, known)}" for word in unknown))
    return {name for name in names if not only or name in only or name.partition("-")[0] in only}


def _parameter_problems(given: dict[str, Any], defaults: dict[str, Any]) -> Iterable[str]:
    for name, value in given.items():
        if name in ("profile", "out"):
            yield f"parameter {name!r} is given by the runner, not by the suite"
        elif name not in defaults:
            yield f"the notebook has no parameter {name!r}{near(name, defaults)}"
        elif not _fits(value, defaults[name]):
            yield (
                f"parameter {name!r} must be of type {type(defaults[name]).__name__} "
                f"as in its default {defaults[name]!r}, got {value!r}"
            )


def _fits(value: Any, default: Any) -> bool:
    """Whether a value from the suite file can stand where the notebook has this default."""
    if default is None:
        return True
    if isinstance(default, list | tuple):
        return isinstance(value, list) and all(_fits(entry, default[0]) for entry in value if default)
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)
