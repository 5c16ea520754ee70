"""One replication at a time in an output folder."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from replication.runner.errors import SuiteError


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the output folder's lock; SuiteError if it cannot be written, or if a process, which is named, works there.

    The system releases the lock when its process ends, however it ends: files left behind by a killed one lock nothing.
    Where there is no such lock (some network folders), two runs are not kept apart.
    """
    holder = out / ".cache" / "lock"  # beside the locked file, which Windows lets no other process read
    lock = FileLock(holder.with_suffix(".held"), timeout=0, fallback_to_soft=False)
    try:
        holder.parent.mkdir(parents=True, exist_ok=True)
        holder.touch()
        lock.acquire()
    except Timeout as error:
        name = holder.read_text(encoding="utf-8").strip() or "another process"
        raise SuiteError(f"{out} is in use by {name}; wait until it has ended") from error
    except OSError as error:
        if error.filename:  # else a file system without locks
            raise SuiteError(f"{out} cannot be written: {error.strerror} ({error.filename})") from error
    try:
        holder.write_text(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n", encoding="utf-8")
        yield
    finally:
        lock.release()
