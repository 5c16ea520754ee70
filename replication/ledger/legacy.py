"""Result files of schema 2, read as those of schema 3.

Until then a verdict was given to every cell, outcomes were written into notes, and sparsity and reference into the
method's name. What follows from the raw runs is dropped here, because it is computed anew from them.
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
# Of these notebooks the raw runs lie in "figures" under this name; and the tables that follow from them.
_RAW = {
    "03_phase_shift.ipynb": ("curves", ("curve", "phase_shift")),
    "04_flat_minima.ipynb": ("measured", ("flatness",)),
    "05_legcnet_mnist.ipynb": ("fresh", ("1", "2", "3", "fresh", "paired_difference", *_CLAIMS)),
}
_STUDIES = {"curves": "curves", "measured": "flatness", "fresh": "fresh"}


def upgraded(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a result file in today's schema; one of today's is returned as it is."""
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
    """MNIST's raw runs with a row for each of the authors' trials and methods, from what was stored of them."""
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
        "kind": "null" if old["table"] in _NULLS else "measurement",
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
        outcome = next((word for said, word in _OUTCOMES if said in old["note"]), "undecided")
        outcome = "cannot_be_known" if old["verdict"] == "underspecified" else outcome
        new |= {"kind": _CLAIMS[base], "outcome": outcome}
    elif base.isdigit() and old["published"] is not None:
        verdict = _VERDICTS.get(old["verdict"], old["verdict"])
        # MNIST's training rows are not released, so that no figure that depends on them can be judged.
        open_ = base == "4" and verdict != "identical"
        new |= {"kind": "figure", "verdict": "underspecified" if open_ else verdict}
    elif base == "shap_difference":
        # The note's outcome was read off the interval; by today's rule it is that of the test.
        decided = new["p_value"] is not None and new["p_value"] < 0.05 and bool(old["ours"])
        outcome = ("holds" if old["ours"] > 0 else "does_not_hold") if decided else "undecided"
        new |= {"kind": "control", "outcome": outcome}
    elif base == "protocol_2024" and old["published"] is not None:
        new["origin"] = "derived"
    return new | _unpacked(base, old["method"], old["quantity"])


def _unpacked(table: str, method: str, quantity: str) -> dict[str, Any]:
    """Reference and sparsity out of the names that they were packed into."""
    if found := _MINUS.fullmatch(quantity):
        return {"quantity": found["quantity"], "reference": found["reference"]}
    packed = _PACKED if table in ("shap_difference", "theorem_3_1") else _PACKED[:3]
    found = next((found for pattern in packed if (found := pattern.fullmatch(method))), None)
    if found is None:
        return {}
    parts = found.groupdict()
    new = {"method": parts["method"], "reference": parts.get("reference") or ""}
    new["sparsity"] = float(parts["sparsity"]) if parts.get("sparsity") else None
    suffix = parts.get("suffix") or ""
    if "reference" in parts:
        new["quantity"] = quantity + suffix
    else:
        new["method"] += suffix
    return new
