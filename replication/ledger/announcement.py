"""What the runner tells a notebook's result file beforehand: which notebook writes it, with which parameters."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def announce(path: str | os.PathLike, *, notebook: str, parameters: Mapping[str, Any]) -> None:
    """Store which notebook is about to write a result file, and its parameters, for `ledger.write` to find."""
    _file(path).write_text(json.dumps({"notebook": notebook, "parameters": parameters}), encoding="utf-8")


def announced(path: str | os.PathLike) -> dict[str, Any]:
    """Return the "notebook" and "parameters" that were announced for a result file; ValueError if none were."""
    try:
        return json.loads(_file(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError("notebook and parameters must be given where `ccprune replicate` does not run it") from None


def _file(path: str | os.PathLike) -> Path:
    return Path(path).with_suffix(".run")
