"""Raw runs: one row for each network that a run trained, in one compressed Parquet file beside its result."""

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
    """Where the raw runs of a result file OUT/results/RUN.PROFILE.json lie: OUT/raw/RUN.PROFILE.parquet."""
    result = Path(result)
    return result.parent.parent / FOLDER / f"{result.name.removesuffix('.json')}.parquet"


def raw_digest(path: str | os.PathLike) -> str | None:
    """SHA-256 in hex of a file of raw runs, None where there is none."""
    path = Path(path)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """A table as lists that JSON can hold; what is missing becomes None."""
    return {str(name): [None if pd.isna(value) else value for value in frame[name]] for name in frame}


def place(result: str | os.PathLike, content: Mapping[str, Any]) -> Path:
    """Write a result file, and the raw runs that it holds inside to their own file.

    Whatever cuts this off, a reader finds the old result with its raw runs or the new one with its own: the new raw
    runs lie beside the old ones until the result names them.

    Parameters
    ----------
    result
        Path of the result file.
    content
        As `replication.ledger.read` returns it.
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
    """The raw runs of a result, from inside it or from their own file; None where it has none.

    Parameters
    ----------
    result
        Path of the result file.
    content
        What `replication.ledger.read` returned for it.

    Raises
    ------
    ValueError
        If the file is missing, or is not the one that the result names.
    """
    if content["raw"] is not None:
        return pd.DataFrame(content["raw"])
    if content["raw_sha256"] is None:
        return None
    path = raw_path(result)
    if raw_digest(_next(path)) == content["raw_sha256"]:  # it was cut off before it took its place
        return pd.read_parquet(_next(path))
    if raw_digest(path) != content["raw_sha256"]:
        state = "was changed after it was written" if path.is_file() else "is missing"
        raise ValueError(f"{path}: the raw runs that {Path(result).name} names: the file {state}")
    return pd.read_parquet(path)
