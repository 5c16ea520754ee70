"""Raw runs: one row for each network that a run trained, in a compressed Parquet file for each result."""

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ccprune._util.files import write_atomic_bytes
from replication.ledger.storage import save

#: Folder of the raw runs in an output folder.
FOLDER = "raw"


def raw_path(result: str | os.PathLike) -> Path:
    """Return the path of a result's raw runs: OUT/raw/RUN.PROFILE.parquet for OUT/results/RUN.PROFILE.json."""
    result = Path(result)
    return result.parent.parent / FOLDER / f"{result.name.removesuffix('.json')}.parquet"


def raw_digest(path: str | os.PathLike) -> str | None:
    """Return the SHA-256 in hex of a file of raw runs, or None if there is no such file."""
    path = Path(path)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns of a table as lists by name, with None for missing values, so that JSON can hold them."""
    return {str(name): [None if pd.isna(value) else value for value in frame[name]] for name in frame}


def place(result: str | os.PathLike, content: Mapping[str, Any]) -> Path:
    """Write a result file, and move the raw runs inside the content to their own file.

    An interrupted call leaves the old result with its raw runs, or the new result with the new ones. To this end the
    new raw runs are stored beside the old ones until the result has been written.

    Parameters
    ----------
    result : path-like
        Path of the result file.
    content : mapping
        As `replication.ledger.read` returns it.

    Returns
    -------
    Path
        Path of the result file.
    """
    path = raw_path(result)
    if content["raw"] is None:
        save(result, content)
        if content["raw_sha256"] is None:
            path.unlink(missing_ok=True)
        return Path(result)
    held = io.BytesIO()
    pd.DataFrame(content["raw"]).to_parquet(held, index=False, compression="zstd")
    write_atomic_bytes(_next(path), held.getvalue())
    save(result, {**content, "raw": None, "raw_sha256": hashlib.sha256(held.getvalue()).hexdigest()})
    _next(path).replace(path)
    return Path(result)


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def read_raw(result: str | os.PathLike, content: Mapping[str, Any]) -> pd.DataFrame | None:
    """Read the raw runs of a result, from the result itself or from their own file.

    Parameters
    ----------
    result : path-like
        Path of the result file.
    content : mapping
        What `replication.ledger.read` returned for this file.

    Returns
    -------
    DataFrame or None
        None if the result has no raw runs.

    Raises
    ------
    ValueError
        If the file is missing, or its checksum differs from the one in the result.
    """
    if content["raw"] is not None:
        return pd.DataFrame(content["raw"])
    if content["raw_sha256"] is None:
        return None
    path = raw_path(result)
    if raw_digest(_next(path)) == content["raw_sha256"]:  # `place` was interrupted before it moved the file
        return pd.read_parquet(_next(path))
    if raw_digest(path) != content["raw_sha256"]:
        state = "was changed after it was written" if path.is_file() else "is missing"
        raise ValueError(f"{path}: the file with the raw runs of {Path(result).name} {state}")
    return pd.read_parquet(path)
