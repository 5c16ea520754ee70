"""Putting files on disk: all of the content or nothing."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text so that the path holds the old text or all of the new, even after a crash."""
    write_atomic_bytes(path, text.encode())


def write_atomic_bytes(path: str | os.PathLike, content: bytes) -> None:
    """As `write_atomic`, for bytes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a file beside the path to write to, which takes its place at the end; after an error it is gone."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's files are private
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
