"""Lock of an output folder, so that one process at a time writes to it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from replication.runner.errors import SuiteError


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the lock of an output folder.

    The system releases the lock when the process ends, also if it is killed. On file systems without locks, such as
    some network folders, nothing is locked.

    Parameters
    ----------
    out : Path
        Output folder.

    Raises
    ------
    SuiteError
        If the folder cannot be written, or another process holds the lock; the message names that process.
    """
    holder = out / ".cache" / "lock"  # not the locked file itself, which other processes cannot read on Windows
    lock = FileLock(holder.with_suffix(".held"), timeout=0, fallback_to_soft=False)
    try:
        holder.parent.mkdir(parents=True, exist_ok=True)
        holder.touch()
        lock.acquire()
    except Timeout as error:
        name = holder.read_text(encoding="utf-8").strip() or "another process"
        raise SuiteError(f"{out} is in use by {name}; wait until it has ended") from error
    except OSError as error:
        if error.filename:  # without a file name, the file system has no locks
            raise SuiteError(f"{out} cannot be written: {error.strerror} ({error.filename})") from error
    try:
        holder.write_text(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n", encoding="utf-8")
        yield
    finally:
        lock.release()
