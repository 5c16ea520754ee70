"""Commands of `ccprune` that need a clone, with a module for each group."""

import argparse
import sys
from pathlib import Path

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
        return options.command(root, options)
    except SuiteError as error:
        print(f"ccprune: {error}".replace("\n", "\nccprune: "), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ccprune: interrupted; completed runs are kept", file=sys.stderr)
        return 130
