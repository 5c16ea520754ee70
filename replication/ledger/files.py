"""Writing and reading of result files, which are written atomically and hold no NaN."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replication.ledger import announcement
from replication.ledger.cell import Cell
from replication.ledger.environment import cost, environment, portable
from replication.ledger.legacy import upgrade
from replication.ledger.raw import columns
from replication.ledger.reading import InvalidFile, read_text
from replication.ledger.schema import SCHEMA, validate
from replication.ledger.storage import from_json, save, signature

if TYPE_CHECKING:
    import pandas as pd


def write(
    path: str | os.PathLike,
    *,
    seeds: Sequence[int],
    data_checksums: Mapping[str, str],
    cells: Iterable[Cell],
    notebook: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    skipped: Iterable[Mapping[str, str]] = (),
    figures: Mapping[str, Any] | None = None,
    raw: "pd.DataFrame | None" = None,
    device: str = "cpu",
) -> Path:
    """Write the result file of a run atomically, so that an interrupted call leaves the old file.

    Parameters
    ----------
    path : path-like
        NAME.PROFILE.json.
    seeds : sequence of int
        All seeds that were used.
    data_checksums : mapping of str to str
        SHA-256 in hex of each dataset, by name.
    cells : iterable of Cell
        The numbers, each of the run's profile or of profile "authors".
    notebook : str, optional
        File name of the notebook, such as "01_legcnet_tables.ipynb". By default the announced one; see `announce`.
    parameters : mapping of str to value, optional
        Parameters of the notebook, including "profile"; "out" is dropped. By default the announced ones.
    skipped : iterable of mapping, default ()
        What was left out and why, with the keys "what" and "why".
    figures : mapping of str to value, optional
        Numbers behind the figures; any values that JSON can hold.
    raw : DataFrame, optional
        One row for each trained network. The verdicts are computed from it. The runner moves it to its own file.
    device : str, default "cpu"
        Device on which the numbers were computed.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, a number is NaN or infinite, or two cells share a key. An old file is then unchanged.
    """
    if notebook is None or parameters is None:
        announced = announcement.read_announcement(path)
        notebook, parameters = notebook or announced["notebook"], parameters or announced["parameters"]
    recorded = {name: value for name, value in parameters.items() if name != "out"}
    content = {
        "schema": SCHEMA,
        "notebook": notebook,
        "profile": recorded.get("profile"),
        "parameters": recorded,
        "seeds": list(seeds),
        "data_checksums": dict(data_checksums),
        "device": device,
        "environment": environment(),
        **cost(),
        "energy_joules": None,  # the runner sets these two
        "report_sha256": None,
        "cells": [asdict(cell) for cell in cells],
        "skipped": list(skipped),
        "figures": dict(figures or {}),
        "raw": None if raw is None else columns(raw),
        "raw_sha256": None,
    }
    content = _plain(content, "result")
    content["signature"] = signature(content)
    validate(content)
    content["skipped"] = [{key: portable(text) for key, text in entry.items()} for entry in content["skipped"]]
    return save(path, content)


def read(path: str | os.PathLike) -> dict[str, Any]:
    """Read and check a result file.

    Returns
    -------
    dict
        As `parse`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InvalidFile
        As `read_text` and `parse`; the message names the file.
    """
    text = read_text(path)
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidFile(path, error) from error


def parse(text: str) -> dict[str, Any]:
    """Parse and check the text of a result file.

    Returns
    -------
    dict
        `FIELDS` and their values. Files of schema 2 are converted.

    Raises
    ------
    ValueError
        If the text is not JSON or has a key twice, a field is missing or invalid, or the content was changed after it
        was signed.
    """
    content = from_json(text)
    if not isinstance(content, dict):
        raise ValueError(f"a result file must hold a JSON object, got {type(content).__name__}")
    if content.get("schema") in (2, SCHEMA) and content.get("signature") != signature(content):
        raise ValueError("the file was changed after it was written: its signature does not match its content")
    try:
        content = upgrade(content)
        validate(content)
    except (TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(f"not a result file: {error}") from error
    return content


def collect(folder: str | os.PathLike) -> list[tuple[Path, dict[str, Any]]]:
    """Read all result files of an output folder, in the order of their names.

    Returns
    -------
    list of (Path, dict)
        Path and content of each file in the folder's `results/`.

    Raises
    ------
    ValueError
        If a file is not a valid result, or its name does not end with its profile.
    """
    contents = []
    for path in sorted(Path(folder, "results").glob("*.json")):
        content = read(path)
        if not path.name.endswith(f".{content['profile']}.json"):
            raise ValueError(f"{path}: the name must end with the profile, {content['profile']!r}")
        contents.append((path, content))
    return contents


def _plain(value: Any, where: str) -> Any:
    """Convert NumPy and torch values to types of JSON. An error names the entry."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} must be finite, got {value}")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{where} must have strings as keys, got {key!r}")
        return {key: _plain(entry, f"{where}.{key}") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
    raise TypeError(f"{where} must be of a type that JSON can hold, got {type(value).__name__}")
