"""Two tables of counts: figures by verdict, and claims by outcome. They are never added up."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from replication.ledger import AUTHORS, OUTCOMES, VERDICTS
from replication.ledger.cell import NOISE_FLOOR
from replication.reporting.markdown import number, table, title, words
from replication.reporting.tables import claim_name

Row = Mapping[str, Any]

#: Headings of the two tables, and the kinds of figures.
FIGURES = ("figures", "compared with", "distinct figures", *map(words, VERDICTS))
CLAIMS = (
    "claim",
    "cases",
    *map(words, OUTCOMES),
    "tested alone: holds",
    "tested alone: does not hold",
    "runs per case",
)
WHOSE = ("the authors' files, re-run", "our runs")
#: Prefix of the tables with figures from files of paper B's authors, and their name in the table of counts.
RELEASED, RELEASED_NAME = "released_", "B: released in files"
#: Names of claims and controls by paper, table and reference, which is empty for paper A.
NAMES = {
    ("legcnet", "fewer_epochs", ""): "A: fewer epochs than dense",
    ("legcnet", "keeps_accuracy", ""): "A: accuracy of dense kept to within a percentage point",
    ("legcnet", "keeps_f1", ""): "A: F1 of dense kept to within a percentage point",
    ("legcnet", "well_trained", ""): "A: alpha of a layer between 2 and 6",
    ("causal", "accuracy_mean", "magnitude"): "B: more accurate than magnitude pruning, mean over a curve's sparsities",
    ("causal", "accuracy", "magnitude"): "B: more accurate than magnitude pruning at the same count",
    (
        "causal",
        "accuracy",
        "iterative_magnitude",
    ): "B: more accurate than iterative magnitude pruning at the same count",
    ("causal", "accuracy", "dense"): "B: accuracy of dense kept to within a percentage point",
    ("causal", "abrupt_drop", ""): "B: accuracy drops abruptly",
    ("causal", "flatness", "dense"): "B: flatter minima than dense",
    ("legcnet", "beats_random", ""): "A: more accurate than random masks of the same count",
    ("legcnet", "beats_magnitude", ""): "A: more accurate than magnitude masks of the same count",
    ("legcnet", "beats_magnitude_unretrained", ""): "A: the same, neither retrained",
    ("legcnet", "shap_difference", ""): "A: SHAP importances nearer to dense than under other masks",
    ("legcnet", "shap_difference", NOISE_FLOOR): "A: SHAP importances nearer to dense than another dense network's",
}
#: Controls with another table, which has more than the counts by outcome.
OTHER_TABLES = ("margins", "repaired", "repaired_operations")
#: Names of controls that ask a claim's question of something else.
CONTROL_NAMES = {
    ("causal", "abrupt_drop", ""): "B: accuracy drops abruptly under other methods",
    ("causal", "flatness", "dense"): "B: flatter than dense by other measures, or after other methods",
}


def figure_rows(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of kind "figure"."""
    return [row for row in rows if row["kind"] == "figure"]


def by_verdict(rows: Iterable[Row]) -> list[int]:
    """Return the number of rows with each of `VERDICTS`."""
    count = Counter(row["verdict"] for row in rows)
    return [count[verdict] for verdict in VERDICTS]


def released_rows(rows: Iterable[Row]) -> list[Row]:
    """Return the rows with a figure that is in a released file and not printed in the paper."""
    return [row for row in figure_rows(rows) if row["table"].startswith(RELEASED)]


def figures(
    rows: Sequence[Row],
    *,
    head: Sequence[str] = FIGURES,
    whose: Sequence[str] = WHOSE,
    released: str = RELEASED_NAME,
) -> str:
    """Return a table in Markdown of figures by verdict: tables 1 to 4 of paper A, and released figures of paper B.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of verdicts.csv.
    head : sequence of str, default `FIGURES`
        Headings, which a translation replaces.
    whose : sequence of str, default `WHOSE`
        Words for the origin of the runs, which a translation replaces.
    released : str, default `RELEASED_NAME`
        Name of the released figures, which a translation replaces.

    Returns
    -------
    str
    """
    lines = []
    for name, numbers in (("1–3", "123"), ("4", "4")):
        for authors in (True, False):
            chosen = [row for row in figure_rows(rows) if row["table"] in numbers]
            chosen = [row for row in chosen if (row["profile"] == AUTHORS) == authors]
            if chosen:
                lines.append([f"A: {name}", whose[not authors], len(chosen), *by_verdict(chosen)])
    if chosen := released_rows(rows):
        lines.append([released, whose[1], len(chosen), *by_verdict(chosen)])
    return table(head, lines)


def cases(rows: Iterable[Row], kind: str) -> dict[tuple[str, str, str], list[Row]]:
    """Return the cases of all claims or controls by `claim_of`, in the order of `NAMES`, then of the rows."""
    by_claim: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["kind"] == kind and claim_of(row)[1] not in OTHER_TABLES:
            by_claim.setdefault(claim_of(row), []).append(row)
    order = list(NAMES)
    return dict(sorted(by_claim.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def claim_of(row: Row) -> tuple[str, str, str]:
    """Return paper, claim and, for paper B and another dense network, reference of a case."""
    reference = row["reference"] if row["paper"] == "causal" or row["reference"] == NOISE_FLOOR else ""
    return row["paper"], claim_name(row["table"]), reference


def claims(rows: Sequence[Row], kind: str, *, head: Sequence[str] = CLAIMS, names: Mapping | None = None) -> str:
    """Return a table in Markdown with the cases by outcome of each claim or control.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of verdicts.csv.
    kind : str
        "claim" or "control".
    head : sequence of str, default `CLAIMS`
        Headings, which a translation replaces.
    names : mapping, optional
        Names of claims and references, which a translation replaces.

    Returns
    -------
    str
    """
    lines = []
    names = names or NAMES | (CONTROL_NAMES if kind == "control" else {})
    for claim, chosen in cases(rows, kind).items():
        count = Counter(row["outcome"] for row in chosen)
        alone = Counter(row["outcome_alone"] for row in chosen)
        runs = sorted({row["n"] for row in chosen if row["n"] is not None})
        span = "–".join(dict.fromkeys([number(runs[0]), number(runs[-1])])) if runs else "–"
        before = [alone["holds"], alone["does_not_hold"]]
        lines.append([name(claim, names), len(chosen), *(count[word] for word in OUTCOMES), *before, span])
    return table(head, lines) if lines else ""


def name(claim: tuple[str, str, str], names: Mapping = NAMES) -> str:
    """Return the name of a claim or control."""
    paper, base, reference = claim
    against = f" against {words(reference)}" if reference else ""
    return names.get(claim, f"{'A' if paper == 'legcnet' else 'B'}: {title(base).lower()}{against}")
