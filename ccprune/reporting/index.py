"""The index of an output folder: README.md beside verdicts.csv and a figure, made from its results alone."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ccprune import results
from ccprune.reporting.counts import overall, per_table
from ccprune.reporting.figure import verdict_figure
from ccprune.reporting.markdown import bold, number, table, title, with_interval, words
from ccprune.results.cell import AUTHORS, PROFILES
from ccprune.stats import VERDICTS

INDEX, FIGURE = "README.md", "verdicts.svg"

_PAPERS = {
    "legcnet": "LEGCNet (Sahu et al. 2023, arXiv:2308.09955)",
    "causal": "Causal pruning (Shah et al. 2024, arXiv:2412.03035)",
}
_MEANING = {
    "identical": "a deterministic re-run gives the printed figure at the printed decimals",
    "within_noise": "the printed figure, one run, lies in the central 95% range of our single runs; "
    "for a claim, our interval shows it",
    "not_reproduced": "neither of these",
    "underspecified": "the paper leaves open a setting that decides the figure",
    "not_published": "the paper prints no such figure",
}
# Too many rows for a page that is read. A table's name may go on after a hyphen with the network's.
_CSV_ONLY = ("paired_difference", "curve", "own_model", "shap", "shap_difference", "epsilon")
_COLUMNS_TOLD = (
    "**Authors' files**: a deterministic re-run of what the authors released, a figure per trial, the trial the paper "
    "prints in bold. **Ours**: the mean over fresh initialisations with its interval, and the number of runs (n)."
)


def write_report(folder: str | os.PathLike, *, notebooks: str | None = None, redraw: bool = True) -> None:
    """Write verdicts.csv, verdicts.svg and README.md of an output folder.

    Parameters
    ----------
    folder
        The output folder.
    notebooks
        Path of the notebooks' folder as seen from there, for links; None: they are named only.
    redraw
        Also draw a figure that was drawn after the table last changed, which takes longer than all the rest.

    Raises
    ------
    ValueError
        If a result file is not valid, or two give the same number.
    """
    folder = Path(folder)
    found = results.collect(folder)
    changed = results.write_verdicts(folder).stat().st_mtime_ns
    rows = results.verdict_rows(found)
    figure = folder / FIGURE
    published = [row for row in rows if row["published"] is not None]
    if not published:
        figure.unlink(missing_ok=True)
    elif redraw or not figure.is_file() or figure.stat().st_mtime_ns < changed:
        results.write_atomic(figure, verdict_figure(published))
    results.write_atomic(folder / INDEX, _index(folder, found, rows, notebooks, with_figure=bool(published)))


def _index(folder: Path, found: list, rows: list[dict[str, Any]], notebooks: str | None, *, with_figure: bool) -> str:
    parts = [
        "# Published figures, re-run and replicated",
        "Made by `ccprune report` from `results/`; do not edit. All rows, paired differences among them: "
        "[verdicts.csv](verdicts.csv).",
    ]
    if all(content["profile"] == "smoke" for _, content in found) and found:
        parts.append("**Smoke profile: sizes that test the machinery. Its numbers say nothing about the papers.**")
    if with_figure:
        parts.append("![Published figures against ours, one mark per cell](verdicts.svg)")
    parts += ["## Verdicts", overall(rows)] if rows else []
    parts += [_COLUMNS_TOLD, "\n".join(f"- **{words(w)}**: {_MEANING[w]}." for w in VERDICTS)]
    for paper, reference in _PAPERS.items():
        tables = dict.fromkeys(row["table"] for row in rows if row["paper"] == paper)
        if tables:
            chosen = [row for row in rows if row["paper"] == paper]
            parts += [f"## {reference}", per_table(chosen, notebooks), _sentences(found, paper)]
        for name in [name for name in tables if name.partition("-")[0] not in _CSV_ONLY]:
            chosen = [row for row in rows if (row["paper"], row["table"]) == (paper, name)]
            parts.append(f"### {title(name)}")
            parts.append(_paper_table(chosen) if name.isdigit() else _claim_table(chosen))
    parts += ["## Runs", _runs(folder, found), _versions(found)] if found else []
    missing = _missing(folder, found)
    if missing:
        parts += ["## Not run", missing]
    return "\n\n".join(filter(None, parts)) + "\n"


def _paper_table(rows: list[dict[str, Any]]) -> str:
    """One line per published cell; of the authors' trials all are shown, the published one in bold."""
    lines = []
    for key in dict.fromkeys(_cell_key(row) for row in rows):
        same = [row for row in rows if _cell_key(row) == key]
        trials, ours = ([row for row in same if (row["profile"] == AUTHORS) == authors] for authors in (True, False))
        compared = [row for row in same if row["published"] is not None]
        several = len(trials) > 1
        shown = [bold(number(row["ours"]), several and row["published"] is not None) for row in trials]
        notes = [f"{_source(row)}: {row['note']}" for row in compared if row["note"]]
        lines.append(
            [
                *key,
                next((number(row["published"]) for row in compared), "–"),
                ", ".join(shown) or "–",
                _verdicts(row for row in trials if row in compared),
                " ".join(with_interval(row) for row in ours) or "–",
                _verdicts(ours),
                "; ".join(notes),
            ]
        )
    head = ["dataset", "method", "quantity", "published", "authors' files", "verdict"]
    return table([*head, "ours [95% interval] (n)", "verdict", "note"], lines)


def _claim_table(rows: list[dict[str, Any]]) -> str:
    lines = [
        [
            *_cell_key(row),
            number(row["published"]),
            with_interval(row),
            row["profile"],
            words(row["verdict"]),
            row["note"],
        ]
        for row in rows
    ]
    head = [
        "dataset",
        "method",
        "quantity",
        "published",
        "ours [95% interval] (n)",
        "profile",
        "verdict",
        "note",
    ]
    return table(head, lines)


def _sentences(found: list, paper: str) -> str:
    """What each run says of a paper's claims in one sentence, of the largest profile that has it."""
    said: dict[str, str] = {}
    for _, content in sorted(found, key=lambda item: PROFILES.index(item[1]["profile"])):
        said |= content["figures"].get("sentences", {}).get(paper, {})
    return (
        "\n".join(["### Do the claims hold? In a sentence each", "", *(f"- {said[key]}" for key in sorted(said))])
        if said
        else ""
    )


def _runs(folder: Path, found: list) -> str:
    lines = []
    for path, content in found:
        report = folder / "reports" / f"{path.stem}.html"
        environment = content["environment"]
        commit = (environment["commit"] or "none")[:10] + (", with local changes" if environment["dirty"] else "")
        lines.append(
            [
                path.stem.removesuffix(f".{content['profile']}"),
                content["profile"],
                f"[{report.name}](reports/{report.name})" if report.is_file() else "–",
                commit,
                content["device"],
                environment["threads"] or "–",
                f"{content['wall_seconds']:.0f}",
                "–" if content["peak_memory_mb"] is None else f"{content['peak_memory_mb']:.0f}",
            ]
        )
    return table(["run", "profile", "report", "commit", "device", "threads", "seconds", "peak MiB"], lines)


def _versions(found: list) -> str:
    kinds = Counter()
    for _, content in found:
        environment = content["environment"]
        packages = ", ".join(f"{name} {version}" for name, version in sorted(environment["packages"].items()))
        kinds[f"Python {environment['python']} on {environment['platform']}; {packages}"] += 1
    return "\n".join(f"- {count} of {len(found)} runs: {kind}." for kind, count in sorted(kinds.items()))


def _missing(folder: Path, found: list) -> str:
    """What was left out, as a whole or in part, and what failed when it was run last."""
    lines = []
    noted = folder / "skipped.json"
    if noted.is_file():
        skipped = json.loads(noted.read_text(encoding="utf-8"))
        lines += [[label, "all", why] for label, why in sorted(skipped.items())]
    for path, content in found:
        lines += [[path.stem, entry["what"], entry["why"]] for entry in content["skipped"]]
    for path in sorted((folder / "reports").glob("*.failed.ipynb")):
        label = path.name.removesuffix(".failed.ipynb")
        lines.append([label, "the last run", f"failed; see reports/{path.name}. A result above is an older one."])
    return table(["run", "what", "why"], lines) if lines else ""


def _cell_key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["dataset"], row["method"], row["quantity"]


def _source(row: dict[str, Any]) -> str:
    return "authors' files" if row["profile"] == AUTHORS else row["profile"]


def _verdicts(rows: Iterable[dict[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(words(row["verdict"]) for row in rows)) or "–"
