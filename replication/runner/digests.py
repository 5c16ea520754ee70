"""Cache of the SHA-256 of data files, so that gigabytes of data are not read again in every call."""

import hashlib
import json
from pathlib import Path

from ccprune._util.files import write_atomic
from replication.ledger.reading import read_json


class Digests:
    """Cache of file digests by path, size and time of the last change, in digests.json of a folder.

    An unreadable cache is discarded. Without write access nothing is stored.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "digests.json"
        try:
            self._known: dict[str, list] = read_json(self._file)
        except (OSError, ValueError):
            self._known = {}

    def digest_file(self, path: Path) -> str:
        """Return the SHA-256 in hex of the file's content; of a pipe or device, which may never end, its kind."""
        if not path.is_file():
            return "no regular file"
        about = path.stat()
        state = [about.st_size, about.st_mtime_ns]
        remembered = self._known.get(str(path))
        if isinstance(remembered, list) and remembered[:2] == state and len(remembered) == 3:
            return remembered[2]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[str(path)] = [*state, digest]
        try:
            write_atomic(self._file, json.dumps(self._known, indent=1) + "\n")
        except OSError:
            pass
        return digest
