"""Command `ccprune course`."""

import argparse
import tempfile
from pathlib import Path

from replication import answers, course
from replication.ledger.notebooks import NOTEBOOKS
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

_MARKS = """\
List the right answers of each student by exercise. They are read from the saved outputs of the notebooks, which
students can edit. --execute runs the notebooks instead, in a temporary copy of the course. Nothing is written into
FOLDER.

exit status
  0  the answers were listed
  2  FOLDER has no notebook with checked exercises, or FILE cannot be written
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
    text = "list which checked answers are right in a folder of submissions"
    mark = actions.add_parser("marks", help=text, description=_MARKS, **how)
    mark.set_defaults(command=_marks)
    mark.add_argument("folder", type=Path, metavar="FOLDER", help="folder with a folder of notebooks for each student")
    mark.add_argument("--execute", action="store_true", help="run the notebooks; this runs the students' code")
    mark.add_argument("--csv", type=Path, metavar="FILE", help="file for a table with a row for each result")
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


def _marks(root: Path, options: argparse.Namespace) -> int:
    from replication.answers import marks  # pandas and Jupyter take a second

    try:
        key = answers.read(root / NOTEBOOKS)
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch, "course")
            if options.execute:
                course.new(root, place)
            marked = marks.marks(options.folder, key, execute_in=place / NOTEBOOKS if options.execute else None)
        if options.csv:
            marked.to_csv(options.csv, index=False)
    except (ValueError, OSError) as error:
        raise SuiteError(f"no marks: {error}") from error
    print("From notebooks run here." if options.execute else "From saved outputs, which students can edit.")
    print(marks.summary(marked).to_string())
    return 0
