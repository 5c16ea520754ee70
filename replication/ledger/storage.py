"""Signatures of result files."""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ccprune._util.files import write_atomic

#: Largest depth of JSON. Results have five levels.
DEPTH = 50
_TOO_DEEP = f"it must be nested at most {DEPTH} deep"


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
    write_atomic(path, sign(content))
    return Path(path)


def sign(content: Mapping[str, Any]) -> str:
    """Return the text of a result file with its signature. `content` is as `replication.ledger.read` returns it."""
    return as_json({**content, "signature": signature(content)})


def as_json(content: Mapping[str, Any]) -> str:
    """Return the text of a JSON file of an output folder; the same content gives the same text."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Any:
    """Parse JSON.

    Raises
    ------
    ValueError
        If it is not JSON, a number is not finite, an object has a key twice, or it is nested deeper than `DEPTH`.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"keys must be unique, got twice {max(names, key=names.count)!r}")
        return found

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"numbers must be finite, got {name}")

    def finite(digits: str) -> float:
        return float(digits) if math.isfinite(float(digits)) else refuse(digits)

    try:
        content = json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level, depth = [content], 0
    while level := [value for parent in level if isinstance(parent, dict | list) for value in _inside(parent)]:
        depth += 1
        if depth > DEPTH:
            raise ValueError(_TOO_DEEP)
    return content


def _inside(parent: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return parent.values() if isinstance(parent, dict) else parent
