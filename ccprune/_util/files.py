"""Atomic writing of files, with all of the content or nothing."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: str | os.PathLike, content: str | bytes) -> None:
    """Write bytes, or UTF-8 text, so that the path holds the old or all of the new content, even after a crash."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_temporary(path: str | os.PathLike, content: bytes) -> Path:
    """Write bytes to a new file beside the path, wait until the disk has them, and return the new file's path."""
    temporary = _new_file(Path(path))
    try:
        temporary.write_bytes(content)
        _finish(temporary)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_folder(folder: str | os.PathLike) -> None:
    """Wait until the disk has the names of a folder's files. Windows has no such call."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_plain(path: Path) -> None:
    """Raise ValueError if the path is a link, a folder or a device, which a file must not replace."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError(f"path must be a new or a regular file, got {path}, which is a link, a folder or a device")


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary file beside the path, which replaces the path at the end and is deleted after an error.

    The permissions of a file at the path are kept. ValueError is raised for a link, a folder or a device.
    """
    path = Path(path)
    require_plain(path)
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    temporary = _new_file(path)
    try:
        yield temporary
        _finish(temporary)
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _new_file(path: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    return Path(name)


def _finish(temporary: Path) -> None:
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)  # mkstemp makes private files
