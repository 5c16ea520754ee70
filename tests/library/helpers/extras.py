"""What is installed here, but not by the library's dependencies, and how to hide it."""

import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def brought_by(requirements: list[str]) -> set[str]:
    """Distributions that these requirements install, those that they need in turn included."""
    found: set[str] = set()
    waiting = list(map(Requirement, requirements))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            needed = requires(name) or []
        except PackageNotFoundError:  # another platform's, or one that this torch comes without
            continue
        found.add(name)
        waiting += map(Requirement, needed)
    return found


def brought_by_extras() -> set[str]:
    """Modules that are installed, but that a reader who installed the library without its extras does not have."""
    kept = brought_by(DEPENDENCIES) | {"ccprune"}
    modules = packages_distributions()
    found = {name for name, owners in modules.items() if not kept & {canonicalize_name(owner) for owner in owners}}
    return found - {"replication", "pip"}  # the first lies in the clone, installed or not; every environment has pip


def code_that_hides(names: set[str]) -> str:
    """Return code after which Python does not find these packages.

    Every finder is wrapped, because an editable installation has one of its own.
    """
    return f"""
import sys

class WithoutHidden:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {names!r} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(WithoutHidden, sys.meta_path)
"""
