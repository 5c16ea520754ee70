"""Conclusions kept beside the results, so that a report of unchanged results is made in a second."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import ccprune
from ccprune._util.files import write_atomic
from replication import ledger as results
from replication.data import authors
from replication.ledger.cell import Cell
from replication.reporting.judging import judged

Judge = Callable[[Path, Mapping[str, Any]], list[Cell]]


def judge(path: Path, content: Mapping[str, Any]) -> list[Cell]:
    """All cells of a result, concluded from its raw runs; see `replication.reporting.judging.judged`.

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
    for path in (*sorted(Path(ccprune.__file__).parent.rglob("*.py")), authors.PUBLISHED):
        digest.update(path.read_bytes())
    return digest.hexdigest()
