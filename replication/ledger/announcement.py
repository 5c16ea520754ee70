"""Announcement of a result file: the name of the notebook that will write it, and the notebook's parameters."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replication.ledger.reading import read_json


def announce(path: str | os.PathLike, *, notebook: str, parameters: Mapping[str, Any]) -> None:
    """Store the notebook and parameters of a result file that is about to be written, for `ledger.write`.

    Parameters
    ----------
    path : path-like
        Path of the result file. The announcement is written beside it, with the suffix ".run".
    notebook : str
        File name of the notebook, such as "01_legcnet_tables.ipynb".
    parameters : mapping of str to value
        Parameters of the notebook that belong into the result.
    """
    _file(path).write_text(json.dumps({"notebook": notebook, "parameters": parameters}), encoding="utf-8")


def read_announcement(path: str | os.PathLike) -> dict[str, Any]:
    """Return the announcement of a result file.

    Parameters
    ----------
    path : path-like
        Path of the result file.

    Returns
    -------
    dict
        "notebook" and "parameters", as given to `announce`.

    Raises
    ------
    ValueError
        If nothing was announced for this file.
    """
    try:
        return read_json(_file(path))
    except FileNotFoundError:
        raise ValueError(
            f"notebook and parameters must be given outside `ccprune replicate`: nothing was announced for {path}"
        ) from None


def _file(path: str | os.PathLike) -> Path:
    return Path(path).with_suffix(".run")
