"""Lock of an output folder, so that one process at a time writes to it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from replication.runner.errors import SuiteError
from replication.runner.folder import claim


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the lock of an output folder.

    The system releases the lock when the process ends, also if it is killed. The lock survives the deletion of `.cache`
    where the system can lock folders. On file systems without locks, such as some network folders, nothing is locked.

    Parameters
    ----------
    out : Path
        Output folder.

    Raises
    ------
    SuiteError
        If the folder cannot be written, as `claim`, or another process holds the lock; the message names that process.
    """
    claim(out)
    holder = out / ".cache" / "lock"  # not the locked file itself, which other processes cannot read on Windows
    lock = FileLock(holder.with_suffix(".held"), timeout=0, fallback_to_soft=False)
    folder = None
    try:
        holder.parent.mkdir(parents=True, exist_ok=True)
        holder.touch()
        lock.acquire()
        folder = _lock_folder(out)
    except (Timeout, BlockingIOError) as error:
        lock.release()
        name = holder.read_text(encoding="utf-8", errors="replace").strip() or "another process"
        raise SuiteError(f"{out} is in use by {name}; wait until it has ended") from error
    except OSError as error:
        if error.filename:  # without a file name, the file system has no locks
            raise SuiteError(f"{out} cannot be written: {error.strerror} ({error.filename})") from error
    try:
        holder.write_text(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n", encoding="utf-8")
        yield
    finally:
        lock.release()
        if folder is not None:
            os.close(folder)


def _lock_folder(out: Path) -> int | None:
    """Lock the folder itself, whose lock does not end with the deletion of a file, and return its handle.

    Returns None where the system cannot lock folders, such as Windows, on which a locked file cannot be deleted.
    """
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return handle
