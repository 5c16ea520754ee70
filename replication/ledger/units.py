"""Units of a run: its parts, each stored when it is complete, so that an interrupted run resumes."""

import json
import shutil
from functools import cached_property
from pathlib import Path

from ccprune._util import units
from ccprune._util.units import Rows, Scalar
from replication.ledger.environment import environment

__all__ = ["FOLDER", "Rows", "Scalar", "Units", "close", "count_stored", "seconds"]

#: Folder of the units in an output folder, with one folder for each run that has some.
FOLDER = "units"
# Entries of a key that are part of the file's name.
_SHOWN = ("study", "method", "stations", "between", "total", "seed")


class Units(units.Units):
    """Store of the units of one run. The commit has "+changes" if the clone has uncommitted changes.

    Parameters
    ----------
    folder : Path or None
        Folder of the units. With None nothing is stored, and every unit is computed.
    """

    def __init__(self, folder: Path | None) -> None:
        super().__init__(folder, _SHOWN)

    def commit(self) -> str | None:
        """Return the commit of the clone.

        Returns
        -------
        str or None
            With "+changes" at its end if the working tree differs from the commit. None if it is not known.
        """
        return self._commit

    @cached_property
    def _commit(self) -> str | None:
        state = environment()
        return f"{state['commit']}+changes" if state["dirty"] else state["commit"]


def count_stored(out: Path, run: str) -> int:
    """Return the number of a run's units in the output folder."""
    return len(list((out / FOLDER / run).glob("*.json")))


def seconds(out: Path, run: str) -> float:
    """Return the seconds that the stored units of a run took in all; damaged files have none."""
    spent = 0.0
    for path in (out / FOLDER / run).glob("*.json"):
        try:
            spent += json.loads(path.read_text(encoding="utf-8"))["seconds"] or 0.0
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return spent


def close(out: Path, run: str, *, keep: bool) -> None:
    """Remove what a run that has its result needs no more, and then the folder of all units if it is empty.

    With `keep` these are the files beside the units, such as checkpoints: the units stay, so that a later run with more
    repetitions computes only those that are missing. Else it is the whole folder.
    """
    folder = out / FOLDER / run
    for path in folder.glob("*") if keep else ():
        if path.suffix != ".json":
            path.unlink()
    if not (keep and count_stored(out, run)):
        shutil.rmtree(folder, ignore_errors=True)
    if (out / FOLDER).is_dir() and not any((out / FOLDER).iterdir()):
        (out / FOLDER).rmdir()
