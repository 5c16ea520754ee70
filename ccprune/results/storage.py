"""Signing content and putting text on disk: all of it or nothing."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def signature(content: Mapping[str, Any]) -> str:
    """SHA-256 in hex of a result file's content but for the signature itself, independent of spaces and order.

    It finds a number that was changed by hand or by accident. Who wants to deceive can sign anew: against that helps
    only running again (`ccprune verify`).
    """
    unsigned = {name: value for name, value in content.items() if name != "signature"}
    text = json.dumps(unsigned, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def save(path: str | os.PathLike, content: Mapping[str, Any]) -> Path:
    """Sign and write the content of a result file, as `ccprune.results.read` gave it, atomically."""
    signed = {**content, "signature": signature(content)}
    text = json.dumps(signed, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text + "\n")
    return Path(path)


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
