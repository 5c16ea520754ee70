"""Reading of files that a notebook, a crash or a person may have spoiled: the errors name the file and what to do."""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any

from replication.ledger.storage import from_json

#: Largest size of a file in bytes. The largest result has 0.2 million, the largest report 0.7 million.
LIMIT = 200_000_000
#: File of an output folder with the reasons of runs that have no result because their data was unavailable.
SKIPPED = "skipped.json"


class InvalidFile(ValueError):
    """Raised if a file cannot be used; the message has its path and the advice to restore or delete it."""

    def __init__(self, path: str | os.PathLike, problem: object):
        super().__init__(f"{path}: {problem}; restore or delete this file")


def check_regular(path: str | os.PathLike, limit: float | None = None) -> None:
    """Check that a path is a regular file of at most `limit` bytes (`LIMIT`). Reading a pipe would wait without end.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InvalidFile
        If it is another kind of file, or too large.
    """
    limit = LIMIT if limit is None else limit
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise InvalidFile(path, "it is not a regular file")
    if about.st_size > limit:
        raise InvalidFile(path, f"it has {about.st_size:,} bytes, more than {limit:,}")


def read_bytes(path: str | os.PathLike, limit: float | None = None) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; errors as `check_regular`."""
    check_regular(path, limit)
    return Path(path).read_bytes()


def read_text(path: str | os.PathLike) -> str:
    """Return the text of a file in UTF-8; errors as `check_regular`, and InvalidFile if it is not UTF-8."""
    check_regular(path)
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidFile(path, f"it is not UTF-8 (byte {error.start})") from error


def read_json(path: str | os.PathLike, kind: type | UnionType = dict) -> Any:
    """Return the content of a JSON file.

    Parameters
    ----------
    path : path-like
        Path of the file.
    kind : type or union of types, default dict
        Type that the content must have.

    Raises
    ------
    FileNotFoundError, InvalidFile
        As `read_text`, and if it is not JSON as `replication.ledger.storage.from_json`, or of another type.
    """
    text = read_text(path)
    try:
        content = from_json(text)
    except ValueError as error:
        raise InvalidFile(path, error) from error
    if not isinstance(content, kind):
        raise InvalidFile(path, f"it must hold {getattr(kind, '__name__', kind)}, got {type(content).__name__}")
    return content


def read_toml(path: str | os.PathLike) -> dict[str, Any]:
    """Return the content of a TOML file; errors as `read_text`, and InvalidFile if it is not TOML."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidFile(path, error) from error


def read_skipped(folder: Path) -> dict[str, str]:
    """Return the reasons of runs without data by their labels; none if the output folder has no such file.

    Raises
    ------
    InvalidFile
        As `read_json`, and if a reason is not a text.
    """
    path = folder / SKIPPED
    if not path.is_file():
        return {}
    return texts(path, read_json(path))


def texts(path: str | os.PathLike, content: Mapping[str, Any]) -> dict[str, str]:
    """Return the content, or raise InvalidFile if a value is not a text."""
    for name, value in content.items():
        if not isinstance(value, str):
            raise InvalidFile(path, f"{name!r} must be a text, got {type(value).__name__}")
    return dict(content)
