"""Source files that changed since a result was made."""

import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from replication.ledger import notebooks
from replication.ledger.notebooks import NOTEBOOKS
from replication.runner.imports import closure


def changed_since(root: Path, commit: str | None, notebook: str, *, packages: Iterable[Path]) -> list[str] | None:
    """List the files behind a notebook's numbers that differ between a commit and the working tree.

    Parameters
    ----------
    root : Path
        The clone.
    commit : str or None
        The commit in a result.
    notebook : str
        File name inside `NOTEBOOKS`.
    packages : iterable of Path
        Folders of the packages that the notebook's code imports from.

    Returns
    -------
    list of str or None
        Sorted paths in the clone: the notebook, and modules that its code imports now and that were edited or added
        since the commit. A file that was only moved counts as unchanged. None if git or the commit is missing.
    """
    differing = _differing(root, commit) if commit else None
    if differing is None:
        return None
    return sorted(differing & _sources_of(root, notebook, tuple(packages)))


@cache
def _sources_of(root: Path, notebook: str, packages: tuple[Path, ...]) -> frozenset[str]:
    path = NOTEBOOKS / notebook
    files = closure(packages, notebooks.code(notebooks.cells(root / path)))
    paths = {found.relative_to(root).as_posix() for found in files if found.is_relative_to(root)}
    return frozenset(paths | {path.as_posix()})


@cache  # many results were made at one commit
def _differing(root: Path, commit: str) -> frozenset[str] | None:
    """Return the present names of the files that differ. A file that was only moved counts as unchanged."""
    command = ["git", "diff", "--name-status", "--find-renames", commit, "--", "ccprune", "notebooks", "replication"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    if done.returncode:
        return None
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return frozenset(parts[-1] for parts in lines if parts[0] not in ("D", "R100"))
