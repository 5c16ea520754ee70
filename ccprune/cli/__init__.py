"""The command `ccprune`. `doctor` and `pilot` need the installed package alone; the others need a clone."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from ccprune.cli import doctor, pilot

_DESCRIPTION = "Pruning by chaos and causality: a library, and the replication of two papers."
_DOCTOR = """\
Check the installation and list what each missing dependency disables. Nothing is downloaded, run or changed.

exit status
  0  everything that is required works
  1  something that is required is missing or broken
"""
_NO_CLONE = (
    "this command needs a clone of the project, but there is none at or above the working directory; "
    "clone the repository, run `make install` in it, and run the command there"
)
# Commands of `replication.cli`, listed here for the help text outside a clone.
_IN_A_CLONE = {
    "replicate": "run the notebooks, write results and reports",
    "status": "list which runs are done, and which would run again and why",
    "report": "write the tables and pages again, from the results alone",
    "verify": "check the committed results, and re-run a sample of them",
    "data": "list, download or check the data sets",
    "course": "copy the notebooks as a course",
}


class _Unavailable(Exception):
    """Raised if the replication cannot be imported; the message has the reason and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default with the arguments of the process, and return the exit status."""
    root = find_clone()
    parser = build_parser(root)
    options, unknown = parser.parse_known_args(arguments)
    refusal = getattr(options, "refusal", None)  # set for commands whose options are unknown without the replication
    if unknown and refusal is None:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if refusal is None and options.command is _doctor:
        return _doctor(root, options)
    if refusal is None and options.command is pilot.run:
        return pilot.run(options)
    if refusal is None and root is None:
        refusal = _NO_CLONE
    if refusal is not None:
        print(f"ccprune: {refusal}", file=sys.stderr)
        return 2
    return _replication(root).run(root, options)


def build_parser(root: Path | None) -> argparse.ArgumentParser:
    """Return the parser of the command line. `root` is the folder of the clone, or None outside a clone."""
    parser = argparse.ArgumentParser(prog="ccprune", description=_DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    how = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    checked = commands.add_parser("doctor", help="check the installation", description=_DOCTOR, **how)
    checked.set_defaults(command=_doctor)
    checked.add_argument("--out", type=Path, metavar="FOLDER", help="output folder of the runs (default: replication)")
    pilot.add(commands, how)
    try:
        _replication(root).add(commands)
    except _Unavailable as error:
        for name, text in _IN_A_CLONE.items():
            commands.add_parser(name, help=f"{text} (in a clone)").set_defaults(refusal=str(error))
    return parser


def find_clone() -> Path | None:
    """Return the folder of the nearest clone at or above the working directory, or None."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "replication" / "suite.toml").is_file():
            return folder
    return None


def _replication(root: Path | None) -> ModuleType:
    """Import the package `replication.cli`, from the clone if it is not installed."""
    try:
        try:
            return import_module("replication.cli")
        except ModuleNotFoundError as error:
            if root is None or error.name not in ("replication", "replication.cli"):
                raise
        sys.modules.pop("replication", None)  # it may be another folder of that name
        sys.path.insert(0, str(root))
        return import_module("replication.cli")
    except ModuleNotFoundError as error:
        advice = f"run `make install`, or pip install -e . -e replication, in {root}"
        raise _Unavailable(_NO_CLONE if root is None else f"{error.name} is not installed; {advice}") from error


def _doctor(root: Path | None, options: argparse.Namespace) -> int:
    checks = list(doctor.CHECKS)
    if root is not None:
        try:
            replication = _replication(root)
            checks += replication.checks(replication.Clone(root, options.out or root / "replication"))
        except _Unavailable as error:
            checks.append(doctor.Check("Replication", partial(_missing, str(error)), "notebooks do not run"))
    width = max(len(check.name) for check in checks)
    lines = []
    for line in map(doctor.examine, checks):
        print(doctor.format_line(line, width), flush=True)  # some checks take seconds
        lines.append(line)
    print(f"\n{doctor.summarise(lines)}")
    return 0 if all(line.state == "works" for line in lines if line.required) else 1


def _missing(reason: str) -> str:
    raise doctor.Missing(reason)
