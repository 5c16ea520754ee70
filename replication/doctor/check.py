"""A check: it looks for one thing, and whatever happens meanwhile becomes one line."""

import tomllib
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from replication.ledger import PROFILES
from replication.ledger.environment import portable
from replication.runner.inventory import all_runs, skipped_without
from replication.runner.spec import Run


class Missing(Exception):
    """What a check looks for is not here; the message says so in a few words."""


class Broken(Exception):
    """What a check looks for is here, and not as it must be; the message says how."""


@dataclass(frozen=True)
class Clone:
    """The project's folder, and the output folder of its runs."""

    root: Path
    out: Path

    @cached_property
    def runs(self) -> list[Run]:
        """Runs of all profiles. Raises SuiteError if the suite file is wrong."""
        return all_runs(self.root)

    @cached_property
    def project(self) -> dict[str, Any]:
        """Table "project" of pyproject.toml."""
        return tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@dataclass(frozen=True)
class Check:
    """One thing to look for.

    Attributes
    ----------
    what
        Its name.
    look
        Returns what is to be told of it; raises `Missing` if it is not here, `Broken` or anything else if it is broken.
    cost
        What one cannot do without it, or how much slower.
    required
        Whether no run works without it.
    """

    what: str
    look: Callable[[Clone], str]
    cost: str | Callable[[Clone], str]
    required: bool = False


@dataclass(frozen=True)
class Line:
    """What a check found. `told` is a version, a device, a reason; `cost` is empty where the thing works."""

    what: str
    state: Literal["works", "missing", "broken"]
    told: str
    cost: str = ""
    required: bool = False


def examined(check: Check, clone: Clone) -> Line:
    """Carry the check out. It raises nothing: an exception is a broken thing, its first line what is told."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that are imported
        try:
            return Line(check.what, "works", check.look(clone), required=check.required)
        except Missing as error:
            state, told = "missing", str(error)
        except Broken as error:
            state, told = "broken", str(error)
        except Exception as error:
            state, told = "broken", _first_line(error)
        try:
            cost = check.cost if isinstance(check.cost, str) else check.cost(clone)
        except Exception as error:  # a wrong suite file cannot say what is skipped
            cost = f"unknown, {_first_line(error)}"
    return Line(check.what, state, told, cost, check.required)


def counted(some: Sequence[Run], runs: Sequence[Run]) -> str:
    """How many of the runs they are, by profile, as in "1 of 19 smoke, 9 of 37 paper runs"."""
    numbers = {profile: [sum(run.profile == profile for run in part) for part in (some, runs)] for profile in PROFILES}
    told = [f"{part} of {whole} {profile}" for profile, (part, whole) in numbers.items() if part]
    return f"{', '.join(told)} runs" if told else "no run"


def without(clone: Clone, needs: Collection[str], *, names: bool = False) -> str:
    """How many runs are skipped where these needs cannot be had, by profile, and which if `names`."""
    skipped = skipped_without(clone.runs, needs)
    told = f"{counted(skipped, clone.runs)} skipped"
    listed = dict.fromkeys(run.name for run in skipped) if names else ()
    return f"{told}: {', '.join(listed)}" if listed else told


def _first_line(error: Exception) -> str:
    lines = portable(str(error)).strip().splitlines()
    more = f" (and {len(lines) - 1} more lines)" if len(lines) > 1 else ""
    return f"{type(error).__name__}: {lines[0]}{more}" if lines else type(error).__name__
