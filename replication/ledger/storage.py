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
    signed = {**content, "signature": signature(content)}
    text = json.dumps(signed, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text + "\n")
    return Path(path)
