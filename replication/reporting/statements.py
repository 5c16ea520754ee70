"""Sentences on the results of each paper, for README, index, essay and the Japanese page.

`facts` computes the counts, and `_english` and `japanese` make sentences of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from replication.ledger import AUTHORS
from replication.legcnet.figures import SEARCHED
from replication.reporting._english import REWOUND, paper_a, paper_b
from replication.reporting.counts import Row, cases, figure_rows, released_rows

# Largest share that paper B's authors prune in their follow-up.
_MODERATE = 0.9
# Tables of accuracies under the protocol of 2024, for each network.
_PROTOCOL_2024 = "accuracy_protocol_2024-"


@dataclass(frozen=True)
class Tally:
    """Numbers of cases, of those with a test, of those that hold or do not hold after Holm's correction, and alone.

    `known` is the number of cases whose settings are known.
    """

    cases: int
    known: int
    tested: int
    holds: int
    fails: int
    holds_alone: int
    fails_alone: int


@dataclass(frozen=True)
class Facts:
    """Counts of the sentences. Counters are empty, tallies have 0 cases and others are None if nothing was run.

    Attributes
    ----------
    theirs, ours : mapping of str to int
        Verdicts on the distinct figures of tables 1 to 3, from the authors' files and from our runs.
    searched : int
        Number of figures that the authors' files give with settings that were found by a search for these figures.
    chance : tuple or None
        As from `count_outside`.
    tallies : mapping
        Tallies by (paper, claim, reference) as in `counts.NAMES`; "random masks" for the accuracy kept under random
        masks; and "dense, to 90%" and "dense, above 90%" for paper B's accuracy of dense kept, by sparsity.
    own_risk, another_risk : tuple of float or None
        Smallest and largest share of weights that the Granger test calls causal for the errors of their own network,
        and of another.
    crossed : tuple of str
        Data sets of these shares.
    own_higher : tuple of int
        Number of cases in which the interval of the share for their own network less that for another is above 0, and
        of all such cases.
    released : mapping of str to int
        Verdicts on the figures in released files of paper B's authors.
    beside : mapping of str to int
        Verdicts on those of these figures that stand beside runs of ours.
    designed : tuple of int
        Number of these figures that the design of a run fixes, and of the identical ones among them.
    points : str
        Tested sparsities of paper B's accuracy against magnitude by dataset, such as "27 on mnist, 14 on cifar10".
    drop_powers : tuple of float
        Power of each curve with several networks for a straight fall from where it bends to the last sparsity.
    rewound : mapping of tuple to list of mapping
        By network, data set, sparsity and number of networks, the tested rows of causal pruning under the protocol of
        2024 against the references in `REWOUND`, in their order.
    """

    theirs: Mapping[str, int]
    ours: Mapping[str, int]
    searched: int
    chance: tuple[int, float, int, int] | None
    tallies: Mapping[object, Tally]
    own_risk: tuple[float, float] | None
    another_risk: tuple[float, float] | None
    crossed: tuple[str, ...] = ()
    own_higher: tuple[int, int] = (0, 0)
    released: Mapping[str, int] = field(default_factory=Counter)
    beside: Mapping[str, int] = field(default_factory=Counter)
    designed: tuple[int, int] = (0, 0)
    points: str = ""
    drop_powers: tuple[float, ...] = ()
    rewound: Mapping[tuple[str, str, float, int], list[Row]] = field(default_factory=dict)

    @property
    def compared(self) -> int:
        """Number of released figures that stand beside runs of ours."""
        return sum(self.beside.values())

    @property
    def answered(self) -> frozenset[str]:
        """The paragraphs, by the names in `LEADS`, whose counts give their answer."""
        epochs, kept = (self.tallies.get(("legcnet", name, "")) for name in ("fewer_epochs", "keeps_accuracy"))
        magnitude, drops, flat = (
            self.tallies.get(("causal", *claim))
            for claim in (("accuracy_mean", "magnitude"), ("abrupt_drop", ""), ("flatness", "dense"))
        )
        random = self.tallies["random masks"]
        given = {
            "figures": 2 * self.theirs["identical"] > sum(self.theirs.values()),
            "claims": epochs
            and kept
            and epochs.known
            and kept.known
            and not epochs.holds
            and random.known == kept.known
            and random.holds >= kept.holds,
            "explanation": self.own_higher[1] and not self.own_higher[0],
            "accuracy": magnitude and 2 * max(magnitude.holds, magnitude.fails) < magnitude.tested,
            "drop": drops and flat and not drops.holds and not flat.holds,
            "released": 2 * self.compared < sum(self.released.values()),
        }
        return frozenset(name for name, answer in given.items() if answer)


def facts(rows: Sequence[Row]) -> Facts:
    """Compute the counts of `english` from rows of both tables.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of both tables.

    Returns
    -------
    Facts
    """
    printed = [row for row in figure_rows(rows) if row["table"] in ("1", "2", "3")]
    tallies: dict[object, Tally] = {}
    for kind in ("control", "claim"):
        tallies |= {claim: _tally(chosen) for claim, chosen in cases(rows, kind).items()}
    accuracy = cases(rows, "claim").get(("legcnet", "keeps_accuracy", ""), [])
    like = {(row["dataset"], row["margin"]) for row in accuracy}
    random = [row for row in rows if row["table"] == "margins" and row["method"].startswith("random")]
    tallies["random masks"] = _tally([row for row in random if (row["dataset"], row["margin"]) in like])
    kept = cases(rows, "claim").get(("causal", "accuracy", "dense"), [])
    tallies["dense, to 90%"] = _tally([row for row in kept if row["sparsity"] <= _MODERATE])
    tallies["dense, above 90%"] = _tally([row for row in kept if row["sparsity"] > _MODERATE])
    against = cases(rows, "claim").get(("causal", "accuracy", "magnitude"), [])
    points = [row["dataset"] for row in against if row["p_value"] is not None]
    released = released_rows(rows)
    designed = [
        row for row in released if row["verdict"] != "not_run" and row["ours"] is not None and not row["profile"]
    ]
    differences = [row for row in rows if row["quantity"] == "own_minus_another"]
    own, another = (
        [row["ours"] for row in rows if row["table"] == "crossed_pairs" and row["quantity"] == quantity]
        for quantity in ("own_risk", "another_risk")
    )
    power = [row["ours"] for row in rows if row["table"].startswith("abrupt_power_")]
    return Facts(
        Counter(row["verdict"] for row in printed if row["profile"] == AUTHORS),
        Counter(row["verdict"] for row in printed if row["profile"] != AUTHORS),
        sum(
            row["verdict"] == "identical" and row["dataset"] in SEARCHED for row in printed if row["profile"] == AUTHORS
        ),
        count_outside(rows),
        tallies,
        (min(own), max(own)) if own else None,
        (min(another), max(another)) if another else None,
        tuple(dict.fromkeys(row["dataset"] for row in rows if row["table"] == "crossed_pairs")),
        (sum(row["ci_low"] is not None and row["ci_low"] > 0 for row in differences), len(differences)),
        Counter(row["verdict"] for row in released),
        Counter(row["verdict"] for row in released if row["profile"]),
        (len(designed), sum(row["verdict"] == "identical" for row in designed)),
        ", ".join(f"{number} on {dataset}" for dataset, number in Counter(points).items()),
        tuple(power),
        _rewound(rows),
    )


def _rewound(rows: Sequence[Row]) -> dict[tuple[str, str, float, int], list[Row]]:
    """Return `Facts.rewound`."""
    tested = [row for row in rows if row["table"].startswith(_PROTOCOL_2024) and row["p_value"] is not None]
    found: dict[tuple[str, str, float, int], list[Row]] = {}
    for row in (row for reference in REWOUND for row in tested if row["reference"] == reference):
        network = row["table"].removeprefix(_PROTOCOL_2024)
        found.setdefault((network, row["dataset"], row["sparsity"], int(row["n"])), []).append(row)
    return found


def english(counted: Facts) -> dict[str, list[str]]:
    """Return the sentences in Markdown by paper, "legcnet" and "causal".

    Parameters
    ----------
    counted : Facts
        Result of `facts`.

    Returns
    -------
    dict of list of str
    """
    return {
        "legcnet": paper_a(counted) or ["Nothing of paper A was run here."],
        "causal": paper_b(counted) or ["Nothing of paper B was run here."],
    }


def bullets(rows: Sequence[Row]) -> str:
    """Return all sentences as one list in Markdown.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of both tables.

    Returns
    -------
    str
    """
    return "\n".join(f"- {text}" for texts in english(facts(rows)).values() for text in texts)


def count_outside(rows: Sequence[Row]) -> tuple[int, float, int, int] | None:
    """Count the figures of the six small datasets outside our range, and the number expected by chance.

    The distribution by chance is that of figures of one of our own networks in place of the printed trial, over all
    networks (table "outside_by_chance"). The datasets are independent, so their distributions are convolved.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of both tables.

    Returns
    -------
    tuple or None
        Observed number, expected number, and the ends of its 95% range. None without such rows.
    """
    shares: dict[str, dict[int, float]] = {}
    for row in rows:
        if row["table"] == "outside_by_chance":
            shares.setdefault(row["dataset"], {})[int(row["quantity"].split("_")[2])] = row["ours"]
    if not shares:
        return None
    total = np.ones(1)
    for counts in shares.values():
        total = np.convolve(total, [counts.get(k, 0.0) for k in range(max(counts) + 1)])
    below = np.cumsum(total)
    low, high = (int(np.searchsorted(below, level)) for level in (0.025, 0.975))
    ours = [row for row in figure_rows(rows) if row["profile"] != AUTHORS and row["dataset"] in shares]
    seen = sum(row["verdict"] == "outside" for row in ours)
    return seen, float(total @ np.arange(len(total))), low, high


def best_trials(rows: Sequence[Row]) -> tuple[int, int, float, float]:
    """Count the datasets in which the printed trial of LEGCNet-FT saves the most epochs of all the authors' trials.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of both tables.

    Returns
    -------
    tuple
        Number of such datasets, of all datasets, the expected number for random trials, and the p-value.
    """
    saved: dict[str, list[tuple[float, bool]]] = {}
    epochs = {
        (row["dataset"], row["method"], row["trial"]): row
        for row in rows
        if row["trial"] is not None and row["quantity"] == "epochs"
    }
    for (dataset, name, trial), row in epochs.items():
        dense = epochs.get((dataset, "dense", trial))
        if name == "ft" and dense is not None and dense["ours"] is not None:
            difference = np.inf if row["ours"] is None else row["ours"] - dense["ours"]
            saved.setdefault(dataset, []).append((difference, row["kind"] == "figure"))
    first, chances = 0, []
    for trials in saved.values():
        least = min(difference for difference, _ in trials)
        if any(printed for _, printed in trials):
            first += any(printed and difference == least for difference, printed in trials)
            chances.append(sum(difference == least for difference, _ in trials) / len(trials))
    if not chances:
        return 0, 0, 0.0, 1.0
    from scipy.stats import binom  # slow to import

    p_value = float(binom.sf(first - 1, len(chances), np.mean(chances)))
    return first, len(chances), float(np.sum(chances)), p_value


def _tally(chosen: Sequence[Row]) -> Tally:
    count, alone = (Counter(row[column] for row in chosen) for column in ("outcome", "outcome_alone"))
    tested = sum(row["p_value"] is not None for row in chosen)
    known = len(chosen) - count["cannot_be_known"]
    return Tally(
        len(chosen), known, tested, count["holds"], count["does_not_hold"], alone["holds"], alone["does_not_hold"]
    )
