"""Commands of `ccprune` that need a clone, with a module for each group."""

import argparse
import sys
from pathlib import Path

import ccprune
import replication
from replication.cli import course, datasets, running, verifying
from replication.cli.clone_checks import Clone, checks
from replication.runner import SuiteError

__all__ = ["Clone", "add", "checks", "run"]


def add(commands) -> None:
    """Add the commands to a parser's subparsers."""
    for group in (running, verifying, datasets, course):
        group.add(commands)


def run(root: Path, options: argparse.Namespace) -> int:
    """Run a parsed command and return the exit status."""
    try:
        _require_own_code(root)
        return options.command(root, options)
    except SuiteError as error:
        print(f"ccprune: {error}".replace("\n", "\nccprune: "), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ccprune: interrupted; completed runs are kept", file=sys.stderr)
        return 130


def _require_own_code(root: Path) -> None:
    """Raise SuiteError if the clone has packages of its own that are not the imported ones.

    Its notebooks would run with the code of another clone, under the commit and the stamps of this one.
    """
    for package in (ccprune, replication):
        own = root / package.__name__ / "__init__.py"
        imported = Path(str(package.__file__))
        if own.is_file() and not own.samefile(imported):
            raise SuiteError(
                f"{root} has its own {package.__name__}, but this environment imports that of {imported.parents[1]}: "
                f"run `make install` in {root} and use its .venv, or work in {imported.parents[1]}"
            )
