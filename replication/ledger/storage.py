"""Signatures of result files."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ccprune._util.files import write_atomic


def signature(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 in hex of a result file's content without its signature.

    It does not depend on white space and on the order of keys. It detects accidental changes, not fraud, because
    anybody can sign a changed file again. Only a re-run (`ccprune verify`) detects fraud.

    Parameters
    ----------
    content : mapping
        Content of the file.

    Returns
    -------
    str
    """
    unsigned = {name: value for name, value in content.items() if name != "signature"}
    text = json.dumps(unsigned, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def save(path: str | os.PathLike, content: Mapping[str, Any]) -> Path:
    """Sign the content of a result file and write it atomically.

    Parameters
    ----------
    path : path-like
        Path of the result file.
    content : mapping
        As `replication.ledger.read` returns it.

    Returns
    -------
    Path
        Path of the file.
    """
    write_atomic(path, as_json({**content, "signature": signature(content)}))
    return Path(path)


def as_json(content: Mapping[str, Any]) -> str:
    """Return the text of a JSON file of an output folder; the same content gives the same text."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Any:
    """Parse JSON, or raise ValueError if a number is not finite or an object has a key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"keys must be unique, got twice {max(names, key=names.count)!r}")
        return found

    def refuse(name: str) -> None:
        raise ValueError(f"numbers must be finite, got {name}")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
