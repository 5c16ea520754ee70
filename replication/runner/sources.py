"""Source files that changed since a result was made."""

import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from replication.ledger import notebooks
from replication.ledger.notebooks import NOTEBOOKS
from replication.runner.imports import closure

# Folders of files that results depend on and that are no modules.
_INPUTS = ("replication/paper/", "replication/data/files/")


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
        Sorted paths in the clone that were edited or added since the commit: the notebook, modules that its code
        imports now, published figures and packaged data. A file that was only moved counts as unchanged. None if git or
        the commit is missing.
    """
    differing = _differing(root, commit) if commit else None
    if differing is None:
        return None
    inputs = {name for name in differing if name.startswith(_INPUTS)}
    return sorted(differing & _sources_of(root, notebook, tuple(packages)) | inputs)


def is_ancestor(root: Path, commit: str) -> bool | None:
    """Return whether a commit belongs to the history of the clone, or None if the clone does not have all of it."""
    shallow = _git(root, "rev-parse", "--is-shallow-repository")
    if shallow is None or shallow.stdout.strip() != "false":
        return None
    return _git(root, "merge-base", "--is-ancestor", commit, "HEAD") is not None


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess | None:
    """Run git, and return None if it is missing or fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    return None if done.returncode else done


@cache
def _sources_of(root: Path, notebook: str, packages: tuple[Path, ...]) -> frozenset[str]:
    path = NOTEBOOKS / notebook
    files = closure(packages, notebooks.code(notebooks.cells(root / path)))
    paths = {found.relative_to(root).as_posix() for found in files if found.is_relative_to(root)}
    return frozenset(paths | {path.as_posix()})


@cache  # many results were made at one commit
def _differing(root: Path, commit: str) -> frozenset[str] | None:
    """Return the present names of the files that differ. A file that was only moved counts as unchanged."""
    done = _git(root, "diff", "--name-status", "--find-renames", commit, "--", "ccprune", "notebooks", "replication")
    if done is None:
        return None
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return frozenset(parts[-1] for parts in lines if parts[0] not in ("D", "R100"))
