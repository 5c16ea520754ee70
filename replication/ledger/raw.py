"""Raw runs: one row for each network that a run trained, in a compressed Parquet file for each result."""

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replication.ledger.journal import commit
from replication.ledger.reading import InvalidFile
from replication.ledger.storage import sign

if TYPE_CHECKING:
    import pandas as pd  # slow to import, and most calls have no table

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


def columns(frame: "pd.DataFrame") -> dict[str, list[Any]]:
    """Return the columns of a table as lists by name, with None for missing values, so that JSON can hold them."""
    import pandas as pd

    return {str(name): [None if pd.isna(value) else value for value in frame[name]] for name in frame}


def place(result: str | os.PathLike, content: Mapping[str, Any]) -> Path:
    """Write a result file, and move the raw runs inside the content to their own file.

    Parameters
    ----------
    result : path-like
        Path of the result file, OUT/results/RUN.PROFILE.json.
    content : mapping
        As `replication.ledger.read` returns it.

    Returns
    -------
    Path
        Path of the result file.

    Raises
    ------
    ValueError
        As `list_files`.
    OSError
        As `replication.ledger.journal.commit`.
    """
    result = Path(result)
    label = result.name.removesuffix(".json")
    commit(result.parent.parent, label, list_files(label, content))
    return result


def list_files(label: str, content: Mapping[str, Any]) -> dict[str, bytes | None]:
    """Return the files of a result for `replication.ledger.journal.commit`: the result file and its raw runs.

    Raises
    ------
    ValueError
        If the raw runs inside the content are no table.
    """
    result, raw = f"results/{label}.json", f"{FOLDER}/{label}.parquet"
    if content["raw"] is None:
        return {result: sign(content).encode()} | ({raw: None} if content["raw_sha256"] is None else {})
    import pandas as pd

    held = io.BytesIO()
    try:
        pd.DataFrame(content["raw"]).to_parquet(held, index=False, compression="zstd")
    except (TypeError, ValueError, AttributeError) as error:  # of pandas and of Arrow, whose errors derive from these
        raise ValueError(f"raw must be columns of equal length, each of one type: {error}") from error
    digest = hashlib.sha256(held.getvalue()).hexdigest()
    text = sign({**content, "raw": None, "raw_sha256": digest})
    return {raw: held.getvalue(), result: text.encode()}


def read_raw(result: str | os.PathLike, content: Mapping[str, Any]) -> "pd.DataFrame | None":
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
        If the file is missing, its checksum differs from the one in the result, or it is not a Parquet file.
    """
    import pandas as pd

    if content["raw"] is not None:
        return pd.DataFrame(content["raw"])
    if content["raw_sha256"] is None:
        return None
    path = raw_path(result)
    if raw_digest(path) != content["raw_sha256"]:
        state = "was changed after it was written" if path.is_file() else "is missing"
        raise ValueError(f"{path}: the file with the raw runs of {Path(result).name} {state}")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InvalidFile(path, error) from error
