"""Atomic writing of files, with all of the content or nothing."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text so that the path holds the old text or all of the new text, even after a crash."""
    write_atomic_bytes(path, text.encode())


def write_atomic_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write bytes so that the path holds the old content or all of the new content, even after a crash."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary file beside the path, which replaces the path at the end and is deleted after an error."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes private files
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
