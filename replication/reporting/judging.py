"""Computation of verdicts from raw runs, with a cache, so that a report of unchanged results takes a second.

A notebook stores one row for each trained network. Verdicts and outcomes are computed from these rows, by functions
without side effects, whenever the tables are made. They are not stored with the result.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from ccprune._util.files import write_atomic
from replication import ledger
from replication.data import authors
from replication.ledger.cell import Cell, Judge
from replication.ledger.claims import outcome_of
from replication.ledger.environment import SOURCE_FOLDERS
from replication.ledger.figures import verdict_exact
from replication.ledger.reading import read_json

# For each notebook with stored figures, the module whose function `judge_figure` computes their verdicts, and
# `claim_cells` the claims that follow from them.
_FIGURES = {"05_legcnet_mnist.ipynb": "replication.diagnostics.mnist_alpha"}
# For each notebook, the module whose function `cells` computes the cells from its raw runs.
_JUDGES = {
    "01_legcnet_tables.ipynb": "replication.legcnet.verdicts",
    "03_phase_shift.ipynb": "replication.causal.phase_shift.verdicts",
    "04_flat_minima.ipynb": "replication.causal.flatness.verdicts",
    "05_legcnet_mnist.ipynb": "replication.legcnet.mnist.verdicts",
    "15_legcnet_repaired.ipynb": "replication.legcnet.repaired_verdicts",
    "18_released_networks.ipynb": "replication.causal.follow_up.released_cells",
    "24_released_fits.ipynb": "replication.causal.fit_logs.verdicts",
}

# Quantities of older files. The Jaccard indices of pruned and of kept weights had the same name.
_RENAMED = {
    ("legcnet", "jaccard"): "jaccard_pruned",
    ("causal", "jaccard"): "jaccard_kept",
    ("causal", "least_jaccard"): "least_jaccard_kept",
    ("causal", "least_jaccard_weighted"): "least_jaccard_kept_weighted",
}


def cells_of(content: Mapping[str, Any], raw: pd.DataFrame | None) -> list[Cell]:
    """Return all cells of a result: those computed from its raw runs, and stored ones with other keys.

    Parameters
    ----------
    content : mapping
        A result file, as `replication.ledger.read` returns it.
    raw : DataFrame or None
        Its raw runs, as `replication.ledger.read_raw` returns them.

    Returns
    -------
    list of Cell

    Raises
    ------
    ValueError
        If a column or value of the raw runs is missing or of another type.
    """
    stored = [_present(Cell.from_dict(values)) for values in content["cells"]]
    if name := _FIGURES.get(content["notebook"]):
        module = import_module(name)
        stored = [module.judge_figure(cell) if cell.kind == "figure" and cell.table == "4" else cell for cell in stored]
        stored += module.claim_cells(stored)
    name = _JUDGES.get(content["notebook"])
    if name is None or raw is None:
        return stored
    try:
        computed = import_module(name).cells(raw, content)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"the raw runs of {content['notebook']} lack what its verdicts need: {error!r}") from error
    keys = {cell.key for cell in computed}
    return [cell for cell in stored if cell.key not in keys] + computed


def _present(cell: Cell) -> Cell:
    """Return a stored cell under the present name of its quantity, without a note on the outcome of an earlier rule."""
    quantity = _RENAMED.get((cell.paper, cell.quantity), cell.quantity)
    return replace(cell, quantity=quantity, note="" if cell.table == "shap_difference" else cell.note)


def contradictions(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the stored cells of a result whose verdict or outcome does not follow from their own numbers.

    These are cells without raw runs, so that their numbers are taken as given. `content` is the result file, as
    `replication.ledger.read` returns it.
    """
    name = _FIGURES.get(content["notebook"])
    module = import_module(name) if name else None
    rule = module.judge_figure if module else _correct_identical
    for cell in (Cell.from_dict(values) for values in content["cells"]):
        place = " ".join(filter(None, cell.key))
        if cell.kind == "figure":
            try:
                again = rule(cell)
            except KeyError:
                yield f"{place} is no figure of the paper"
                continue
            # Verdicts and notes of these figures are computed when the tables are made, by a rule that has changed.
            if module and cell.verdict in module.stored_verdicts(cell):
                again = replace(again, verdict=cell.verdict, note=cell.note)
            for field in ("published", "verdict", "note"):
                old, new = getattr(cell, field), getattr(again, field)
                if old != new:
                    yield f"{place} has {field} {old!r}, but {new!r} follows from its number and the paper's figure"
        elif cell.outcome and cell.p_value is not None and cell.ours is not None:
            outcome = outcome_of(cell.p_value, cell.ours + (cell.margin or 0))
            if cell.outcome != outcome:
                yield f"{place} has outcome {cell.outcome!r}, but {outcome!r} follows from its p-value and difference"


def _correct_identical(cell: Cell) -> Cell:
    """Return a figure, which is not identical if its number is another one at the decimals of the published one."""
    decimals = max(0, -int(Decimal(repr(cell.published)).normalize().as_tuple().exponent))
    if cell.verdict == "identical" and verdict_exact(cell.published, cell.ours, decimals=decimals) != "identical":
        return replace(cell, verdict="outside")
    return cell


def judge(path: Path, content: Mapping[str, Any]) -> list[Cell]:
    """Return all cells of a result file by `cells_of`, or raise ValueError if its raw runs are missing or were changed.

    `content` is the result file at `path`, as `replication.ledger.read` returns it.
    """
    return cells_of(content, ledger.read_raw(path, content))


def with_cache(folder: Path) -> Judge:
    """Return `judge` with a cache in `folder`/.cache, which is not committed.

    An entry is valid only for the same bytes of the result, its raw runs, the sources of both packages and the
    published figures. An unreadable entry is computed again. Without write access nothing is cached.
    """
    kept = folder / ".cache" / "verdicts"

    def judge_cached(path: Path, content: Mapping[str, Any]) -> list[Cell]:
        raw = ledger.read_raw(path, content)  # a changed file is an error, also with a cache entry
        if raw is None:
            return cells_of(content, None)
        key = hashlib.sha256(f"{content['signature']} {content['raw_sha256']} {_sources()}".encode()).hexdigest()
        entry = kept / f"{path.stem}.json"
        try:
            known = read_json(entry)
            if known["key"] == key:
                return [Cell.from_dict(values) for values in known["cells"]]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        cells = cells_of(content, raw)
        text = json.dumps({"key": key, "cells": [asdict(cell) for cell in cells]})
        try:
            write_atomic(entry, text)
        except OSError:
            pass
        return cells

    return judge_cached


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    code = (path for package in SOURCE_FOLDERS for path in sorted(package.rglob("*.py")))
    for path in (*code, *sorted(authors.PUBLISHED.parent.glob("*.json"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
