"""Units: parts of long work, each stored when it is complete, so that interrupted work resumes."""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ccprune._util.files import write_atomic

Scalar = str | int | float | bool
Rows = list[dict[str, Any]]


class Units:
    """Store of units, with one JSON file in `folder` for each: its key, rows, commit and seconds.

    Without a folder nothing is stored, and every unit is computed. `shown` entries of a key are part of a file's name.
    """

    def __init__(self, folder: Path | None, shown: Sequence[str]) -> None:
        self._folder = folder
        self._shown = shown

    def get(self, key: Mapping[str, Scalar], compute: Callable[[], Rows], *, earlier: float = 0.0) -> Rows:
        """Return the stored rows of a unit, or compute rows that JSON can hold, and store them.

        The key has everything that the rows depend on except the code, and nothing else. `earlier` are the seconds of
        interrupted calls that `compute` resumes; they are part of the unit's seconds.
        """
        stored = self.read(key)
        if stored is not None:
            return stored
        began = time.perf_counter()
        rows = compute()
        if self._folder is not None:
            seconds = earlier + time.perf_counter() - began
            self.store(key, rows, commit=self.commit(), seconds=round(seconds, 2))
        return rows

    def read(self, key: Mapping[str, Scalar]) -> Rows | None:
        """Return the stored rows, or None if there is no file, or it is unreadable, was changed or has another key."""
        if self._folder is None:
            return None
        try:
            content = json.loads((self._folder / self._file_name(key)).read_text(encoding="utf-8"))
            intact = content.pop("digest") == _digest(content)
            return content["rows"] if intact and content["key"] == dict(key) else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def store(self, key: Mapping[str, Scalar], rows: Rows, *, commit: str | None, seconds: float | None) -> Path:
        """Store the rows of a unit atomically, and return the file's path; raise ValueError without a folder."""
        if self._folder is None:
            raise ValueError("folder must be given to store units, got None")
        content = {"key": dict(key), "rows": rows, "commit": commit, "seconds": seconds}
        path = self._folder / self._file_name(key)
        write_atomic(path, json.dumps(content | {"digest": _digest(content)}, indent=1) + "\n")
        return path

    def commit(self) -> str | None:
        """Return the version of the code, which is stored with the rows."""
        return None

    def _file_name(self, key: Mapping[str, Scalar]) -> str:
        shown = "-".join(key[n] if isinstance(key[n], str) else f"{n}{key[n]}" for n in self._shown if n in key)
        return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', shown)}-{_digest(key)[:12]}.json"


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
