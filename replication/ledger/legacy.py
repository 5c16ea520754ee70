"""Conversion of result files of schema 2 to schema 3.

In schema 2 every cell had a verdict, notes held the outcomes, and the method's name held sparsity and reference. Cells
that follow from the raw runs are dropped, because they are computed again from these.
"""

import re
from collections.abc import Mapping
from typing import Any

_PACKED = (
    re.compile(r"(?P<method>.+) - (?P<reference>.+) at (?P<sparsity>[\d.]+)"),
    re.compile(r"(?P<method>.+) / (?P<reference>.+) at (?P<sparsity>[\d.]+)(?P<suffix>, \w+)"),
    re.compile(r"(?P<method>.+) at (?P<sparsity>[\d.]+)(?P<suffix>, .+)?"),
    re.compile(r"(?P<method>\w+) [-/] (?P<reference>\w+)(?P<suffix>, .+)?"),
)
_MINUS = re.compile(r"(?P<quantity>\w+)_minus_(?P<reference>\w+)")
_P = re.compile(r"sign-flip p = ([\d.e-]+)")
_TRIAL = re.compile(r"trial (\d+)(; )?")
_NULLS = ("null_rejections", "null_exponent", "crossed_pairs")
# "holds" is part of "does not hold".
_CLAIMS = {"fewer_epochs": "claim", "keeps_accuracy": "claim", "keeps_f1": "claim"}
_CLAIMS |= {"beats_random": "control", "beats_magnitude": "control"}
_VERDICTS = {"not_reproduced": "outside"}
_OUTCOMES = (("does not hold", "does_not_hold"), ("holds", "holds"), ("undecided", "undecided"))
# For each of these notebooks, the key of the raw runs in "figures", and the tables that follow from them.
_RAW = {
    "03_phase_shift.ipynb": ("curves", ("curve", "phase_shift")),
    "04_flat_minima.ipynb": ("measured", ("flatness",)),
    "05_legcnet_mnist.ipynb": ("fresh", ("1", "2", "3", "fresh", "paired_difference", *_CLAIMS)),
}
_STUDIES = {"curves": "curves", "measured": "flatness", "fresh": "fresh"}


def upgrade(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a result file in the current schema.

    Parameters
    ----------
    content : mapping
        Content of a result file of schema 2 or of the current schema. The latter is copied without a change.

    Returns
    -------
    dict
    """
    if content.get("schema") != 2:
        return dict(content)
    name, derived = _RAW.get(content["notebook"], ("", ()))
    figures = dict(content["figures"])
    raw = figures.pop(name, None)
    kept = [cell for cell in content["cells"] if raw is None or not _follows(cell, derived)]
    if raw is not None:
        raw["study"] = [_STUDIES[name]] * len(next(iter(raw.values())))
    if raw is not None and name == "fresh":
        raw = _with_trials(raw, content["cells"])
    more = {"figures": figures, "cells": [_cell(cell) for cell in kept], "raw": raw, "raw_sha256": None}
    return {**content, **more, "schema": 3}


def _follows(cell: Mapping[str, Any], derived: tuple[str, ...]) -> bool:
    return cell["table"].partition("-")[0] in derived


def _with_trials(fresh: dict[str, list], cells: list[dict[str, Any]]) -> dict[str, list]:
    """Return MNIST's raw runs with a row for each of the authors' trials and methods, made from their cells."""
    trials: dict[tuple[int, str], dict[str, Any]] = {}
    for cell in cells:
        if cell["profile"] == "authors" and cell["table"] in ("1", "2", "3"):
            key = int(_TRIAL.match(cell["note"])[1]), cell["method"]
            trials.setdefault(key, {})[cell["quantity"]] = cell["ours"]
    names = {"accuracy": "accuracy_printed", "f1": "f1_printed"}
    rows = []
    for (trial, method), values in trials.items():
        row = {names.get(name, name): value for name, value in values.items()}
        if "epochs" in values:
            row["reached"] = values["epochs"] is not None
        method = "magnitude_after" if method == "magnitude" else method
        rows.append(row | {"network": trial, "method": method, "study": "authors"})
    columns = list(dict.fromkeys([*fresh, *(name for row in rows for name in row)]))
    length = len(fresh["study"])
    return {name: fresh.get(name, [None] * length) + [row.get(name) for row in rows] for name in columns}


def _cell(old: Mapping[str, Any]) -> dict[str, Any]:
    names = ("paper", "table", "dataset", "published", "ours", "ci_low", "ci_high", "n", "profile")
    new = {name: old[name] for name in names} | {
        "method": old["method"],
        "reference": "",
        "sparsity": None,
        "quantity": old["quantity"],
        "kind": "null_test" if old["table"] in _NULLS else "measurement",
        "origin": "" if old["published"] is None else "printed",
        "margin": None,
        "p_value": None,
        "verdict": "",
        "outcome": "",
        "detectable": None,
        "trial": None,
        "note": old["note"],
    }
    if old["profile"] == "authors":
        found = _TRIAL.match(old["note"])
        new |= {"trial": int(found[1]), "note": old["note"][found.end() :]}
    elif found := _P.search(old["note"]):
        new["p_value"] = float(found[1])
    base = old["table"].partition("-")[0]
    if base in _CLAIMS:
        outcome = next((word for phrase, word in _OUTCOMES if phrase in old["note"]), "undecided")
        outcome = "cannot_be_known" if old["verdict"] == "underspecified" else outcome
        new |= {"kind": _CLAIMS[base], "outcome": outcome}
    elif base.isdigit() and old["published"] is not None:
        verdict = _VERDICTS.get(old["verdict"], old["verdict"])
        # MNIST's training rows are not released, so figures that depend on them have no verdict.
        open_ = base == "4" and verdict != "identical"
        new |= {"kind": "figure", "verdict": "underspecified" if open_ else verdict}
    elif base == "shap_difference":
        # The note's outcome follows from the interval; under the current rule it follows from the test.
        decided = new["p_value"] is not None and new["p_value"] < 0.05 and bool(old["ours"])
        outcome = ("holds" if old["ours"] > 0 else "does_not_hold") if decided else "undecided"
        new |= {"kind": "control", "outcome": outcome, "note": ""}
    elif base == "protocol_2024" and old["published"] is not None:
        new["origin"] = "derived"
    return new | _unpack(base, old["method"], old["quantity"])


def _unpack(table: str, method: str, quantity: str) -> dict[str, Any]:
    """Return method, reference, sparsity and quantity from the combined names of schema 2."""
    if match := _MINUS.fullmatch(quantity):
        return {"quantity": match["quantity"], "reference": match["reference"]}
    packed = _PACKED if table in ("shap_difference", "theorem_3_1") else _PACKED[:3]
    match = next((match for pattern in packed if (match := pattern.fullmatch(method))), None)
    if match is None:
        return {}
    parts = match.groupdict()
    new = {"method": parts["method"], "reference": parts.get("reference") or ""}
    new["sparsity"] = float(parts["sparsity"]) if parts.get("sparsity") else None
    suffix = parts.get("suffix") or ""
    if "reference" in parts:
        new["quantity"] = quantity + suffix
    else:
        new["method"] += suffix
    return new
