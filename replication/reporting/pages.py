"""Pages of the long tables of an output folder, in OUT/tables/."""

from collections.abc import Iterable, Sequence
from typing import Any

from replication.ledger import AUTHORS, VERDICTS
from replication.reporting.counts import by_verdict
from replication.reporting.markdown import bold, number, table, title, with_interval, words
from replication.reporting.tables import claim_name

#: Folder of the pages in an output folder.
FOLDER = "tables"
# Tables with too many rows for a page. Their names may end with a hyphen and the network's name.
_CSV_ONLY = ("paired_difference", "curve", "own_model", "shap", "shap_difference", "epsilon", "outside_by_chance")
_COLUMNS_TOLD = (
    "**Authors' files** has a deterministic re-run of the released files, with a figure per trial; the trial that the "
    "paper prints is in bold. **Ours** has the median of epochs and the mean of all other quantities over fresh "
    "initialisations, with the 95% interval and the number of runs. A figure that the paper prints twice, that follows "
    "from another, or that is not a result is listed once or not at all."
)

Row = dict[str, Any]


def pages(rows: Sequence[Row]) -> dict[str, str]:
    """Return the text of every page by file name. The same rows give the same text."""
    page_texts: dict[str, list[str]] = {}
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if claim_name(row["table"]) not in _CSV_ONLY:
            groups.setdefault((row["paper"], row["table"]), []).append(row)
    for (paper, name), chosen in groups.items():
        file, text = _page(paper, name, chosen)
        page_texts.setdefault(file, []).append(text)
    made = "Made by `ccprune report`; do not edit. [All tables](../README.md)."
    return {file: "\n\n".join([f"# {_heading(file)}", made, *texts]) + "\n" for file, texts in page_texts.items()}


def _page(paper: str, name: str, chosen: Sequence[Row]) -> tuple[str, str]:
    if name.isdigit():
        return f"{paper}_table_{name}.md", "\n\n".join([_COLUMNS_TOLD, _paper_table(chosen)])
    if all(row["kind"] == "figure" for row in chosen):
        return f"{paper}_figures.md", f"## {title(name)}\n\n{_figure_table(chosen)}"
    compared = any(row["kind"] in ("claim", "control") for row in chosen)
    kind = "claims" if compared else "measurements"
    text = _claim_table(chosen) if compared else _measured_table(chosen)
    return f"{paper}_{kind}.md", f"## {title(name)}\n\n{text}"


def _heading(file: str) -> str:
    paper, _, rest = file.removesuffix(".md").partition("_")
    return f"{ {'legcnet': 'LEGCNet', 'causal': 'Causal pruning'}[paper] }: {words(rest)}"


def _paper_table(rows: Sequence[Row]) -> str:
    """Build the table with one line per printed figure and all authors' trials, the printed one in bold."""
    lines = []
    for key in dict.fromkeys(_key(row) for row in rows):
        same = [row for row in rows if _key(row) == key]
        trials, ours = ([row for row in same if (row["profile"] == AUTHORS) == authors] for authors in (True, False))
        figures = [row for row in same if row["kind"] == "figure"]
        shown = [bold(number(row["ours"]), row["kind"] == "figure") for row in trials]
        notes = [
            f"{whose}: {note}"
            for whose, half in (("authors' files", trials), ("ours", ours))
            for note in dict.fromkeys(row["note"] for row in half if row["kind"] == "figure" and row["note"])
        ]
        lines.append(
            [
                *key,
                next((number(row["published"]) for row in figures), "–"),
                ", ".join(shown) or "–",
                _verdicts(row for row in trials if row["kind"] == "figure"),
                " ".join(with_interval(row) for row in ours) or "–",
                _verdicts(row for row in ours if row["kind"] == "figure"),
                "; ".join(notes),
            ]
        )
    head = ["dataset", "method", "quantity", "published", "authors' files", "verdict"]
    counts = ", ".join(f"{count} {words(v)}" for v, count in zip(VERDICTS, by_verdict(rows), strict=True) if count)
    return f"{counts}.\n\n" + table([*head, "ours [95% interval] (n)", "verdict", "note"], lines)


def _claim_table(rows: Iterable[Row]) -> str:
    head = ["dataset", "method", "reference", "quantity", "sparsity", "margin", "published"]
    head += ["estimate [95% interval] (n)"]
    lines = [
        [
            row["dataset"],
            row["method"],
            row["reference"],
            row["quantity"],
            *(number(row[name]) for name in ("sparsity", "margin", "published")),
            with_interval(row),
            *(number(row[name]) for name in ("p_value", "p_holm")),
            words(row["outcome"]),
            words(row["outcome_alone"]),
            number(row["detectable"]),
            row["note"],
        ]
        for row in rows
    ]
    return table([*head, "p", "p, Holm", "outcome", "tested alone", "detectable", "note"], lines)


def _figure_table(rows: Sequence[Row]) -> str:
    """Build the table of figures from released files: one line for each, with ours where there is one."""
    head = ["dataset", "method", "sparsity", "quantity", "published", "origin", "ours", "verdict", "note"]
    lines = [
        [
            row["dataset"],
            row["method"],
            number(row["sparsity"]),
            words(row["quantity"]),
            number(row["published"]),
            row["origin"],
            number(row["ours"]),
            words(row["verdict"]),
            row["note"],
        ]
        for row in rows
    ]
    counts = ", ".join(f"{count} {words(v)}" for v, count in zip(VERDICTS, by_verdict(rows), strict=True) if count)
    return f"{counts}.\n\n" + table(head, lines)


def _measured_table(rows: Iterable[Row]) -> str:
    head = ["dataset", "method", "reference", "quantity", "sparsity", "ours [95% interval] (n)", "profile", "note"]
    lines = [
        [
            row["dataset"],
            row["method"],
            row["reference"],
            row["quantity"],
            number(row["sparsity"]),
            with_interval(row),
            row["profile"],
            row["note"],
        ]
        for row in rows
    ]
    return table(head, lines)


def _key(row: Row) -> tuple[str, str, str]:
    return row["dataset"], row["method"], row["quantity"]


def _verdicts(rows: Iterable[Row]) -> str:
    return ", ".join(dict.fromkeys(words(row["verdict"]) for row in rows)) or "–"
