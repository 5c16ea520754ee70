"""Signing the content of result files."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ccprune._util.files import write_atomic


def signature(content: Mapping[str, Any]) -> str:
    """SHA-256 in hex of a result file's content but for the signature itself, independent of spaces and order.

    It finds a number that was changed by hand or by accident. Who wants to deceive can sign anew: against that helps
    only running again (`ccprune verify`).
    """
    unsigned = {name: value for name, value in content.items() if name != "signature"}
    text = json.dumps(unsigned, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def save(path: str | os.PathLike, content: Mapping[str, Any]) -> Path:
    """Sign and write the content of a result file, as `replication.ledger.read` gave it, atomically."""
    signed = {**content, "signature": signature(content)}
    text = json.dumps(signed, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text + "\n")
    return Path(path)
