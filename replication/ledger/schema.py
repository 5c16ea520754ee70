"""Fields of a result file, and their checks."""

import re
from collections.abc import Iterable
from typing import Any

from replication.ledger.cell import AUTHORS, PROFILES, Cell

SCHEMA = 3

#: Fields of a result file and their types; all are required.
FIELDS = {
    "schema": int,
    "notebook": str,
    "profile": str,
    "parameters": dict,
    "seeds": list,
    "data_checksums": dict,
    "device": str,
    "environment": dict,
    "wall_seconds": float,
    "peak_memory_mb": float | None,
    "energy_joules": float | None,
    "report_sha256": str | None,
    "cells": list,
    "skipped": list,
    "figures": dict,
    "raw": dict | None,
    "raw_sha256": str | None,
    "signature": str,
}

# Keys of a result's environment that the index shows.
_ENVIRONMENT = {
    "python": str,
    "packages": dict,
    "platform": str,
    "threads": int | None,
    "commit": str | None,
    "dirty": bool | None,
}


def validate(content: dict[str, Any]) -> None:
    """Raise TypeError or ValueError that names the invalid field of a result."""
    missing, unknown = sorted(FIELDS.keys() - content.keys()), sorted(content.keys() - FIELDS.keys())
    if missing or unknown:
        raise ValueError(f"fields must be those of schema {SCHEMA}, got missing {missing}, unknown {unknown}")
    if content["schema"] != SCHEMA:
        raise ValueError(f"schema must be {SCHEMA}, got {content['schema']!r}")
    for name, kind in FIELDS.items():
        value = content[name]
        accepted = kind | int if kind in (float, float | None) else kind
        if not isinstance(value, accepted) or isinstance(value, bool):
            raise TypeError(f"{name} must be {getattr(kind, '__name__', kind)}, got {value!r}")
    profile = content["profile"]
    if profile not in PROFILES or content["parameters"].get("profile") != profile:
        raise ValueError(f"parameters must have a profile of {', '.join(PROFILES)}, got {profile!r}")
    if not content["notebook"].endswith(".ipynb") or "/" in content["notebook"]:
        raise ValueError(f"notebook must be a file name such as '01_name.ipynb', got {content['notebook']!r}")
    for seed in content["seeds"]:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seeds must be integers, got {seed!r}")
    for name, checksum in content["data_checksums"].items():
        if not isinstance(checksum, str) or not re.fullmatch(r"[0-9a-f]{64}", checksum):
            raise ValueError(f"data_checksums[{name!r}] must be a SHA-256 in hex, got {checksum!r}")
    stated = content["environment"]
    if lacking := sorted(_ENVIRONMENT.keys() - stated.keys()):
        raise ValueError(f"environment must have {', '.join(lacking)}")
    for name, kind in _ENVIRONMENT.items():
        if not isinstance(stated[name], kind):
            raise TypeError(f"environment.{name} must be {getattr(kind, '__name__', kind)}, got {stated[name]!r}")
    if not _are_text(stated["packages"].values()):
        raise TypeError(f"environment.packages must be texts, got {stated['packages']!r}")
    commit = stated["commit"]
    if commit is not None and not (isinstance(commit, str) and re.fullmatch(r"[0-9a-f]{40,64}", commit)):
        raise ValueError(f"environment.commit must be the hash of a commit or None, got {commit!r}")
    for entry in content["skipped"]:
        if not isinstance(entry, dict) or entry.keys() != {"what", "why"} or not _are_text(entry.values()):
            raise ValueError(f"skipped entries must have the texts 'what' and 'why', got {entry!r}")
    seen = set()
    for values in content["cells"]:
        cell = Cell.from_dict(values)
        if cell.profile not in (profile, AUTHORS):
            raise ValueError(f"cells must have profile {profile!r} or {AUTHORS!r}, got {cell.profile!r}")
        if cell.key in seen:
            raise ValueError(f"cells must have different keys, got twice {' '.join(cell.key)}")
        seen.add(cell.key)


def _are_text(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
