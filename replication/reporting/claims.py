"""One table for each claim, by case if there are few cases, otherwise by dataset and network."""

from collections import Counter
from collections.abc import Sequence

from replication.ledger import OUTCOMES
from replication.reporting.counts import Row, cases, name
from replication.reporting.markdown import number, table, with_interval, words
from replication.reporting.tables import claim_name, network_of

# Largest number of cases of a table by case.
_MOST = 16


def sections(rows: Sequence[Row], kind: str) -> list[str]:
    """Return headings and tables in Markdown of all claims (kind "claim") or controls ("control")."""
    blocks = []
    for claim, chosen in cases(rows, kind).items():
        blocks.append(f"### {name(claim)}")
        blocks.append(_by_case(chosen) if len(chosen) <= _MOST else _by_network(chosen))
    return blocks


def _by_case(rows: Sequence[Row]) -> str:
    several = len({row["quantity"] for row in rows}) > 1
    head = [
        "case",
        "published",
        "estimate [95% interval] (n)",
        "p",
        "p, Holm",
        "outcome",
        "tested alone",
        "detectable",
        "note",
    ]
    lines = [
        [
            f"{_case(row)} {words(row['quantity'])}" if several else _case(row),
            number(row["published"]),
            with_interval(row),
            *(number(row[column]) for column in ("p_value", "p_holm")),
            words(row["outcome"]),
            words(row["outcome_alone"]),
            number(row["detectable"]),
            row["note"],
        ]
        for row in rows
    ]
    return table(head, lines)


def _by_network(rows: Sequence[Row]) -> str:
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], network_of(row["table"]), row["method"]), []).append(row)
    lines = []
    for (dataset, network, method), chosen in groups.items():
        count, alone = (Counter(row[column] for row in chosen) for column in ("outcome", "outcome_alone"))
        least, most = (
            pick((row["ours"] for row in chosen if row["ours"] is not None), default=None) for pick in (min, max)
        )
        spans = f"{number(least)} to {number(most)}"
        lines.append(
            [
                ", ".join(filter(None, [dataset, network, method])),
                len(chosen),
                spans,
                *(count[word] for word in OUTCOMES[:3]),
                alone["holds"],
                alone["does_not_hold"],
            ]
        )
    outcomes = [words(word) for word in OUTCOMES[:3]]
    more = ["tested alone: holds", "tested alone: does not hold"]
    return table(["dataset, network, method", "cases", "from and to", *outcomes, *more], lines)


def margins(rows: Sequence[Row]) -> str:
    """Return a table in Markdown of whether accuracy is kept within several margins, for methods and random masks.

    It has a line for each dataset and method, with the accuracy of one test sample. It is empty without such rows.
    """
    chosen = [row for row in rows if claim_name(row["table"]) == "margins"]
    sample = {row["dataset"]: row["ours"] for row in rows if row["table"] == "resolution"}
    steps = sorted({row["margin"] for row in chosen})
    lines = []
    for key in dict.fromkeys((row["dataset"], row["method"]) for row in chosen):
        of = {row["margin"]: words(row["outcome"]) for row in chosen if (row["dataset"], row["method"]) == key}
        lines.append([*map(words, key), number(sample.get(key[0])), *(of.get(step, "–") for step in steps)])
    head = ["dataset", "method", "one test sample", *(f"within {number(step)}" for step in steps)]
    return table(head, lines) if lines else ""


def repaired_table(rows: Sequence[Row]) -> str:
    """Return a table in Markdown of the rankings of repaired LEGCNet against random masks and magnitude.

    It has a line for each ranking, with the numbers of cases in which it is better and worse. It is empty without such
    rows.
    """
    asked = {
        "accuracy against random": ("repaired", "random", "accuracy"),
        "epochs against random": ("repaired", "random", "epochs"),
        "accuracy against magnitude": ("repaired", "magnitude", "accuracy"),
        "accuracy against random, equal operations": ("repaired_operations", "random", "accuracy"),
        "accuracy against magnitude, equal operations": ("repaired_operations", "magnitude", "accuracy"),
    }
    outcomes: dict[str, dict[tuple[str, str, str], list[str]]] = {}
    for row in rows:
        key = claim_name(row["table"]), row["reference"], row["quantity"]
        if key in asked.values():
            outcomes.setdefault(row["method"], {}).setdefault(key, []).append(row["outcome"])
    lines = [
        [
            words(ranking),
            *(
                f"{of[key].count('holds')}, {of[key].count('does_not_hold')} of {len(of[key])}" if key in of else "–"
                for key in asked.values()
            ),
        ]
        for ranking, of in outcomes.items()
    ]
    return table(["ranking", *asked], lines) if lines else ""


def _case(row: Row) -> str:
    sparsity = "" if row["sparsity"] is None else f"at {row['sparsity']:g}"
    against = f"against {words(row['reference'])}" if row["reference"] not in ("", "dense") else ""
    return " ".join(filter(None, [row["dataset"], network_of(row["table"]), words(row["method"]), against, sparsity]))
