"""Command `ccprune course`."""

import argparse
from pathlib import Path

from replication import course
from replication.ledger.translation import LANGUAGES
from replication.runner import SuiteError

_NEW = """\
Write a copy of the lessons for students into FOLDER: the notebooks in notebooks/lessons.toml without outputs and
solutions, this list, the files that they link to, and a README.md with goals, times and requirements of the exercises.
If an error occurs, nothing is written.

exit status
  0  the copy was written
  2  FOLDER is not empty or cannot be written, or a lesson is not valid; nothing was written
"""


def add(commands) -> None:
    """Add the command to a parser's subparsers."""
    text = "copy the notebooks as a course"
    group = commands.add_parser("course", help=text, description=f"{text.capitalize()}.")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    how = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    new = actions.add_parser("new", help="write a copy without solutions", description=_NEW, **how)
    new.set_defaults(command=_new)
    new.add_argument("folder", type=Path, metavar="FOLDER", help="a new or an empty folder")
    new.add_argument("--solutions", action="store_true", help="keep the solutions")
    new.add_argument(
        "--language", choices=("en", *LANGUAGES), default="en", help="of the lessons that are translated (default: en)"
    )


def _new(root: Path, options: argparse.Namespace) -> int:
    try:
        course.new(root, options.folder, solutions=options.solutions, language=options.language)
    except (ValueError, OSError) as error:
        raise SuiteError(f"no course was written: {error}") from error
    print(options.folder / "README.md")
    return 0
