"""One replication at a time in an output folder."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replication.runner.errors import SuiteError


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds the output folder's lock; SuiteError if it cannot be written, or if a process, which is named, works there.

    The system lets go of the lock when its process ends, however it ends: a file left behind by a killed one locks
    nothing. Where there is no such lock (Windows, some network folders), two runs are not kept apart.
    """
    path = out / ".cache" / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise SuiteError(f"{out} cannot be written: {error.strerror} ({error.filename})") from error
    with file:
        if not _take(file.fileno()):
            file.seek(0)
            raise SuiteError(f"{out} is in use by {file.read().strip() or 'another process'}; wait until it has ended")
        file.truncate(0)
        file.write(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield


def _take(handle: int) -> bool:
    """Whether the lock is ours now, or there are no locks here."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
