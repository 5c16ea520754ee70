"""The command line: `ccprune COMMAND`; a module here for each group of commands."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from replication.cli import course, machine, running, verifying
from replication.runner import SuiteError, find_root

_DESCRIPTION = "Pruning by chaos and causality: replicate two papers."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        root = find_root(Path.cwd())
        return options.command(root, options)
    except SuiteError as error:
        print(f"ccprune: {error}".replace("\n", "\nccprune: "), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ccprune: interrupted; finished runs are kept", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ccprune", description=_DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (running, verifying, machine, course):
        group.add(commands)
    return parser
