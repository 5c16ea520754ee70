"""From raw runs to verdicts, and a cache of them, so that a report of unchanged results is made in a second.

A notebook stores one row for each network that it trained. Everything that is concluded from these rows is computed
whenever the tables are made, by functions without side effects; nothing concluded is stored with the result.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from ccprune._util.files import write_atomic
from replication import ledger as results
from replication.data import authors
from replication.ledger.cell import Cell
from replication.ledger.environment import SOURCE_FOLDERS
from replication.ledger.tables import Judge

# By notebook: the module whose function `cells` concludes from its raw runs.
_JUDGES = {
    "01_legcnet_tables.ipynb": "replication.legcnet.verdicts",
    "03_phase_shift.ipynb": "replication.causal.verdicts",
    "04_flat_minima.ipynb": "replication.causal.flatness_verdicts",
    "05_legcnet_mnist.ipynb": "replication.legcnet.mnist.verdicts",
    "15_legcnet_repaired.ipynb": "replication.legcnet.repaired_verdicts",
}


def judged(content: Mapping[str, Any], raw: pd.DataFrame | None) -> list[Cell]:
    """All cells of a result: those it stored, and those that follow from its raw runs.

    Parameters
    ----------
    content
        A result file, as `replication.ledger.read` returns it.
    raw
        Its raw runs, as `replication.ledger.raw` returns them.
    """
    stored = [Cell.from_dict(values) for values in content["cells"]]
    name = _JUDGES.get(content["notebook"])
    if name is None or raw is None:
        return stored
    return stored + import_module(name).cells(raw, content)


def judge(path: Path, content: Mapping[str, Any]) -> list[Cell]:
    """All cells of a result, concluded from its raw runs; see `judged`.

    Raises ValueError where the raw runs are missing or were changed.
    """
    return judged(content, results.read_raw(path, content))


def cached(folder: Path) -> Judge:
    """`judge` with a cache in `folder`/.cache, which the version control ignores.

    A conclusion is used again only while the result, its raw runs, this package's sources and the published figures
    are the same, byte for byte. An unreadable entry is concluded anew; without write access nothing is kept.
    """
    kept = folder / ".cache" / "verdicts"

    def found(path: Path, content: Mapping[str, Any]) -> list[Cell]:
        raw = results.read_raw(path, content)  # a changed file is an error, whatever is in the cache
        if raw is None:
            return judged(content, None)
        key = hashlib.sha256(f"{content['signature']} {content['raw_sha256']} {_sources()}".encode()).hexdigest()
        entry = kept / f"{path.stem}.json"
        try:
            known = json.loads(entry.read_text(encoding="utf-8"))
            if known["key"] == key:
                return [Cell.from_dict(values) for values in known["cells"]]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        cells = judged(content, raw)
        text = json.dumps({"key": key, "cells": [asdict(cell) for cell in cells]})
        try:
            write_atomic(entry, text)
        except OSError:
            pass
        return cells

    return found


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    code = (path for package in SOURCE_FOLDERS for path in sorted(package.rglob("*.py")))
    for path in (*code, *sorted(authors.PUBLISHED.parent.glob("*.json"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
