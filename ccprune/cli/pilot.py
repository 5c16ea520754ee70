"""The command `ccprune pilot`: starter files, and pilots of files, modules and tables."""

import argparse
import importlib.util
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from ccprune._util.files import write_atomic

KINDS = ("table", "images", "text", "loop")
DESCRIPTION = """\
Measure whether pruning is worth it for a model, and write a page with the answer.

  ccprune pilot new KIND FILE.py      write a starter file that runs as it is (KIND: table, images, text, loop)
  ccprune pilot FILE.py               run the pilot of a file, or of a module given by name, whose function settings()
                                      returns the arguments of ccprune.pilot
  ccprune pilot FILE.csv --target COLUMN
                                      run a pilot that predicts a column of a table

Trained networks are stored in the folder, and the same command resumes an interrupted pilot.

exit status
  0  the page was written, or the dry run printed the expected time
  1  the time ended before one seed was complete
  2  an argument, the file or its settings are invalid, or a package is missing
"""


def add(commands: Any, how: dict[str, Any]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("pilot", help="measure whether pruning is worth it", description=DESCRIPTION, **how)
    parser.set_defaults(command=run)
    parser.add_argument("what", nargs="+", metavar="FILE", help="FILE.py, a module, FILE.csv, or: new KIND FILE.py")
    parser.add_argument("--target", metavar="COLUMN", help="column of the table to predict")
    parser.add_argument("--folder", metavar="FOLDER", help="folder of the page (default: pilot-FILE)")
    parser.add_argument("--language", choices=("en", "ja"), help="language of the page")
    parser.add_argument("--seeds", type=int, metavar="N", help="number of seeds")
    parser.add_argument("--seconds", type=float, metavar="N", help="time after which no new network is trained")
    parser.add_argument(
        "--search", type=float, metavar="SHARE", help="choose first, with this share of the grid's epochs"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes, each with one seed at a time")
    parser.add_argument("--dry-run", action="store_true", default=None, help="only print how long training would take")


def run(options: argparse.Namespace) -> int:
    """Run the command, and return its exit status."""
    try:
        if options.what[0] == "new":
            return _new(options.what[1:])
        if len(options.what) > 1:
            raise ValueError(f"FILE must be one file or module, got {options.what}")
        settings = _settings(options.what[0])
    except (ValueError, OSError, ImportError) as error:
        return _refuse(error)
    names = ("target", "folder", "language", "seeds", "seconds", "search", "workers", "dry_run")
    # Each file has a folder of its own, so that the page of one does not replace that of another.
    settings = {"folder": f"pilot-{_name(options.what[0])}"} | settings
    settings |= {name: value for name in names if (value := getattr(options, name)) is not None}
    from ccprune import pilot  # torch is slow to import
    from ccprune._pilot import OutOfTime

    try:
        found = pilot(**settings)
    except OutOfTime as error:
        print(f"ccprune: {error}", file=sys.stderr)
        return 1
    except (ValueError, TypeError, ImportError) as error:
        return _refuse(error)
    if isinstance(found, float):
        print(f"Training takes about {found:.0f} s on one worker.")
        return 0
    print(found.sentence)
    print(found.folder / "index.html")
    return 0


def _name(what: str) -> str:
    """Return the name of a file without its folder and ending, or of a module without its packages."""
    path = Path(what)
    return path.stem if path.suffix in (".py", ".csv") else what.rpartition(".")[2]


def _new(what: list[str]) -> int:
    if len(what) != 2 or what[0] not in KINDS:
        raise ValueError(f"new must be followed by one of {KINDS} and a file name, got {what}")
    path = Path(what[1])
    if path.exists():
        raise ValueError(f"FILE.py must not exist yet, got {path}")
    write_atomic(path, files("ccprune._pilot.starters").joinpath(f"{what[0]}.py").read_text(encoding="utf-8"))
    print(f"{path} runs as it is: ccprune pilot {path}")
    return 0


def _settings(what: str) -> dict[str, Any]:
    """Return the settings of a file or module."""
    path = Path(what)
    if path.suffix == ".csv":
        return {"train": path}
    if path.suffix == ".py":
        if not path.is_file():
            raise ValueError(f"FILE must exist, got {path}")
        from ccprune._pilot._checks import require_extra  # torch is slow to import

        require_extra()  # before the file, whose own imports would name only the first missing package
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # worker processes get its functions by value
        spec.loader.exec_module(module)
        import cloudpickle

        cloudpickle.register_pickle_by_value(module)
    else:
        module = import_module(what)
    if not callable(getattr(module, "settings", None)):
        raise ValueError(f"{what} must have a function settings() that returns the arguments of ccprune.pilot")
    found = module.settings()
    if not isinstance(found, dict):
        raise ValueError(f"settings() of {what} must return a dict, got {type(found).__name__}")
    return found


def _refuse(error: BaseException) -> int:
    print(f"ccprune: {error}", file=sys.stderr)
    return 2
