"""Units: parts of a long run, each stored when it is complete, so that an interrupted run resumes."""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ccprune._util.files import write_atomic
from replication.ledger.environment import environment

Scalar = str | int | float | bool
Rows = list[dict[str, Any]]

#: Folder of the units in an output folder, with one folder for each unfinished run.
FOLDER = "units"
# Entries of a key that are part of the file's name.
_SHOWN = ("study", "method", "stations", "between", "total", "seed")


class Units:
    """Store of the units of one run, with one JSON file for each unit: its key, rows, commit and seconds.

    Parameters
    ----------
    folder : Path or None
        Folder of the units. With None nothing is stored, and every unit is computed.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, key: Mapping[str, Scalar], compute: Callable[[], Rows]) -> Rows:
        """Return the stored rows of a unit, or compute and store them.

        Parameters
        ----------
        key : mapping of str to scalar
            Everything that the rows depend on except the code, and nothing else.
        compute : callable
            Function without arguments that returns the rows, whose values JSON must be able to hold.

        Returns
        -------
        list of dict
            The rows. They are computed again if the file is unreadable, was changed, or has another key.
        """
        if self._folder is None:
            return compute()
        path = self._folder / _file_name(key)
        stored = _read(path, key)
        if stored is not None:
            return stored
        began = time.perf_counter()
        rows = compute()
        self.store(key, rows, commit=self._commit, seconds=round(time.perf_counter() - began, 2))
        return rows

    def store(self, key: Mapping[str, Scalar], rows: Rows, *, commit: str | None, seconds: float | None) -> Path:
        """Store the rows of a unit atomically.

        Parameters
        ----------
        key : mapping of str to scalar
            As in `get`.
        rows : list of dict
            The rows.
        commit : str or None
            Commit of the code, with "+changes" if the clone has uncommitted changes.
        seconds : float or None
            Wall time of the computation.

        Returns
        -------
        Path
            Path of the file.

        Raises
        ------
        ValueError
            If the units have no folder.
        """
        if self._folder is None:
            raise ValueError("folder must be given to store units, got None")
        content = {"key": dict(key), "rows": rows, "commit": commit, "seconds": seconds}
        path = self._folder / _file_name(key)
        write_atomic(path, json.dumps(content | {"digest": _digest(content)}, indent=1) + "\n")
        return path

    @cached_property
    def _commit(self) -> str | None:
        state = environment()
        return f"{state['commit']}+changes" if state["dirty"] else state["commit"]


def stored(out: Path, run: str) -> int:
    """Return the number of a run's units in the output folder."""
    return len(list((out / FOLDER / run).glob("*.json")))


def remove(out: Path, run: str) -> None:
    """Remove the units of a run from the output folder, and then the folder of all units if it is empty."""
    shutil.rmtree(out / FOLDER / run, ignore_errors=True)
    if (out / FOLDER).is_dir() and not any((out / FOLDER).iterdir()):
        (out / FOLDER).rmdir()


def _file_name(key: Mapping[str, Scalar]) -> str:
    """Return a name made of a readable part of the key and the hash of the whole key."""
    shown = "-".join(key[n] if isinstance(key[n], str) else f"{n}{key[n]}" for n in _SHOWN if n in key)
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', shown)}-{_digest(key)[:12]}.json"


def _read(path: Path, key: Mapping[str, Scalar]) -> Rows | None:
    """Return the rows of the file, or None if it is unreadable, was changed, or has another key."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        intact = content.pop("digest") == _digest(content)
        return content["rows"] if intact and content["key"] == dict(key) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
