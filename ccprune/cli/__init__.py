"""The command `ccprune`. `doctor` needs the installed package alone; the other commands need a clone of the project."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ccprune.cli import doctor

_DESCRIPTION = "Pruning by chaos and causality: a library, and the replication of two papers."
_DOCTOR = """\
Check the installation and list what each missing dependency disables. Nothing is fetched, run or changed.

exit status
  0  everything that is required works
  1  something that is required is missing or broken
"""
# Commands of `replication.cli`; here so that they can be named where there is no clone.
_IN_A_CLONE = {
    "replicate": "run the notebooks, write results and reports",
    "status": "list which runs are done, and which would run again and why",
    "report": "write the tables and pages again, from the results alone",
    "verify": "check the committed results, and re-run a sample of them",
    "data": "list, fetch or check the data sets",
    "course": "copy the notebooks as a course",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    root = find_clone()
    replication = _replication(root)
    if replication is None:
        options, _ = build_parser(root).parse_known_args(arguments)
    else:
        options = build_parser(root).parse_args(arguments)
    if options.command in (_doctor, _needs_clone) or replication is None:
        return options.command(root, options)
    return _needs_clone(root, options) if root is None else replication.run(root, options)


def build_parser(root: Path | None) -> argparse.ArgumentParser:
    """Return the parser of the command line; `root` is the clone, if there is one."""
    parser = argparse.ArgumentParser(prog="ccprune", description=_DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    how = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    checked = commands.add_parser("doctor", help="check the installation", description=_DOCTOR, **how)
    checked.set_defaults(command=_doctor)
    checked.add_argument("--out", type=Path, metavar="FOLDER", help="output folder of the runs (default: replication)")
    if (replication := _replication(root)) is not None:
        replication.add(commands)
    else:
        for name, text in _IN_A_CLONE.items():
            commands.add_parser(name, help=f"{text} (in a clone)").set_defaults(command=_needs_clone)
    return parser


def find_clone() -> Path | None:
    """Folder of the nearest clone at or above the working directory, or None."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "replication" / "suite.toml").is_file():
            return folder
    return None


def _replication(root: Path | None) -> ModuleType | None:
    """The package `replication.cli`, found in the clone if it is not installed; None where it is not at all."""
    for _ in range(2):
        try:
            return import_module("replication.cli")
        except ModuleNotFoundError as error:
            if error.name not in ("replication", "replication.cli"):
                raise
        if root is None:
            break
        sys.modules.pop("replication", None)  # a folder of that name elsewhere
        sys.path.insert(0, str(root))
    return None


def _doctor(root: Path | None, options: argparse.Namespace) -> int:
    checks = list(doctor.CHECKS)
    replication = _replication(root)
    if root is not None and replication is not None:
        checks += replication.checks(replication.Clone(root, options.out or root / "replication"))
    width = max(len(check.what) for check in checks)
    found = []
    for line in map(doctor.examine, checks):
        print(doctor.format_line(line, width), flush=True)  # some take seconds
        found.append(line)
    print(f"\n{doctor.summarise(found)}")
    return 0 if all(line.state == "works" for line in found if line.required) else 1


def _needs_clone(root: Path | None, options: argparse.Namespace) -> int:
    print(
        "ccprune: this command needs a clone of the project, and there is none at or above the working directory.\n"
        "ccprune: clone the repository, run `make install` in it, and call the command there.",
        file=sys.stderr,
    )
    return 2
