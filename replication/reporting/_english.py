"""English sentences on the results of each paper, made of the counts in `statements.Facts`.

Each paragraph opens in bold: with an answer where the counts that follow give it, else with its topic.
"""

from typing import TYPE_CHECKING

from replication.causal.released.text import count, list_items

if TYPE_CHECKING:
    from replication.reporting.counts import Row
    from replication.reporting.statements import Facts

#: Answer and topic of each paragraph.
LEADS = {
    "figures": ("Most of paper A's figures are reproduced", "Paper A's figures"),
    "claims": (
        "Paper A's saving of epochs is not shown, and random masks keep the accuracy no less often",
        "Paper A's claims",
    ),
    "explanation": ("Paper A's explanation is not supported", "Paper A's explanation"),
    "accuracy": ("Whether paper B's causal pruning beats magnitude pruning is open", "Paper B's accuracy"),
    "drop": ("Paper B's abrupt drop and flatter minima are not shown", "Paper B's phase shift and flatter minima"),
    "released": (
        "Most figures that paper B's authors released are not compared yet",
        "Figures that paper B's authors released",
    ),
}

#: References under the protocol of 2024, and their names in a sentence.
REWOUND = {
    "shuffled": "its own mask shuffled within each layer",
    "iterative_magnitude": "iterative magnitude pruning of as many weights",
}


def paper_a(counted: "Facts") -> list[str]:
    """Return the paragraphs on paper A's figures, claims and explanation."""
    found = {"figures": _figures_a(counted), "claims": _claims_a(counted), "explanation": _explanation(counted)}
    return _paragraphs(counted, found)


def paper_b(counted: "Facts") -> list[str]:
    """Return the paragraphs on paper B's claims and figures."""
    claims = claims_b(counted)
    rest = [claims[name] for name in ("drop", "flatness") if name in claims]
    found = {
        "accuracy": " ".join(claims[name] for name in ("accuracy", "controls") if claims.get(name)),
        "drop": " ".join([*rest, "All other cases are undecided."] if rest else []),
        "released": _figures_b(counted),
    }
    return [*_paragraphs(counted, found), *_what_would_change(counted)]


def _paragraphs(counted: "Facts", found: dict[str, str]) -> list[str]:
    return [f"**{LEADS[name][name not in counted.answered]}.** {text}" for name, text in found.items() if text]


def _figures_a(counted: "Facts") -> str:
    theirs, ours = counted.theirs, counted.ours
    if not theirs and not ours:
        return ""
    number = sum((theirs or ours).values())
    text = f"{count(number, 'distinct figure')} of tables 1 to 3 {'was' if number == 1 else 'were'} compared."
    if theirs:
        searched = f", {counted.searched} of them with settings found by a search" if counted.searched else ""
        text += (
            f" A re-run of the authors' files gives {theirs['identical']} to the last digit{searched}; "
            f"{theirs['outside']} differ, and {theirs['underspecified']} depend on something that was not released."
        )
    if ours:
        text += (
            f" Compared with new training runs, {ours['within_noise']} lie in the range of single runs, "
            f"{ours['outside']} outside it, and {ours['underspecified']} cannot be compared"
        )
        if counted.chance is not None:
            seen, expected, low, high = counted.chance
            text += (
                f" (on six small datasets {seen} lie outside; chance alone gives {expected:.1f}, 95% range {low} to "
                f"{high})"
            )
        text += "."
    return text


def _claims_a(counted: "Facts") -> str:
    epochs, accuracy = (counted.tallies.get(("legcnet", name, "")) for name in ("fewer_epochs", "keeps_accuracy"))
    parts, random = [], counted.tallies["random masks"]
    if epochs and epochs.known:
        unknown = epochs.cases - epochs.known
        more = f"; {unknown} more cannot be known" if unknown else ""
        parts.append(
            f"That more pairs of networks need fewer epochs than need more is shown in {epochs.holds} of "
            f"{epochs.known} cases, and the opposite in {epochs.fails}{more}. A case is a dataset, recorded "
            "over full training (FT) or a part of it (PT)."
        )
    if accuracy and accuracy.known:
        text = (
            f"Accuracy is shown to be kept to within a percentage point in {accuracy.holds} of {accuracy.known} cases"
        )
        if random.cases:
            text += f", and under random masks of the same count in {random.holds} of {random.known}"
        parts.append(f"{text}.")
    return " ".join(parts)


def _explanation(counted: "Facts") -> str:
    if counted.own_risk is None or counted.another_risk is None:
        return ""
    own, another = percent(counted.own_risk), percent(counted.another_risk)
    on = f" (on {list_items(counted.crossed)})" if counted.crossed else ""
    text = (
        f"The Granger test calls {own} of the weights causal for the errors of their own network, and {another} for "
        f"the errors of another network{on}"
    )
    higher, cases = counted.own_higher
    return f"{text}; the first share is higher in {higher} of {cases} cases (95% intervals)." if cases else f"{text}."


def claims_b(counted: "Facts") -> dict[str, str]:
    """Return the results of our runs on paper B's claims "accuracy", "drop" and "flatness", in sentences.

    "controls" has the sentences on accuracy beside those against magnitude pruning.
    """
    magnitude, updates, lamp, dense = (
        counted.tallies.get(("causal", "accuracy", name)) for name in ("magnitude", "squared_updates", "lamp", "dense")
    )
    curves = counted.tallies.get(("causal", "accuracy_mean", "magnitude"))
    drops, flat = (counted.tallies.get(key) for key in (("causal", "abrupt_drop", ""), ("causal", "flatness", "dense")))
    found = {}
    if magnitude and magnitude.tested:
        whole = ""
        if curves and curves.tested:
            whole = (
                "Averaged over the sparsities of a curve, causal pruning is better than magnitude pruning of as many "
                f"weights on {curves.holds} of {curves.tested} curves and worse on {curves.fails}, after correction "
                f"for their number (tested alone on {curves.holds_alone} and {curves.fails_alone}). "
            )
        found["accuracy"] = (
            f"{whole}At {magnitude.tested} single points ({counted.points}) it is better at {magnitude.holds_alone} "
            f"and worse at {magnitude.fails_alone} tested alone, and at {magnitude.holds} and {magnitude.fails} after "
            "correction, which few can pass with so few networks. The schedules of these comparisons are shorter than "
            "the authors'."
        )
        controls = []
        if lamp and lamp.tested:
            controls.append(
                "Compared with LAMP, which scales magnitudes layer by layer, it is better at "
                f"{lamp.holds_alone} of {lamp.tested} points tested alone and worse at {lamp.fails_alone}."
            )
        if updates and updates.tested:
            controls.append(
                "Compared with squared updates, which is causal pruning's score without the loss, it is better at "
                f"{updates.holds_alone} of {updates.tested} points and worse at {updates.fails_alone}."
            )
        few, many = (counted.tallies[name] for name in ("dense, to 90%", "dense, above 90%"))
        if dense and few.tested and many.tested:
            controls.append(
                "Tested alone, the dense accuracy is kept to within a percentage point at "
                f"{few.holds_alone} of {few.tested} points up to 90% pruned and lost at {few.fails_alone}; beyond 90% "
                f"it is kept at {many.holds_alone} of {many.tested} and lost at {many.fails_alone}."
            )
        found["controls"] = " ".join(controls)
    if text := " ".join(_rewound(counted)):
        found["controls"] = f"{found.get('controls', '')} {text}".strip()
    if drops:
        found["drop"] = f"An abrupt drop of accuracy is shown in {drops.holds} of {drops.cases} curves."
        if power := counted.drop_powers:
            found["drop"] += (
                " Simulations estimate the power of this test for a straight fall of the same depth, from where the "
                f"curve bends to the last sparsity: {list_items(f'{100 * share:.0f}' for share in sorted(power))}% on "
                f"the {count(len(power), 'curve')} with several networks, before any correction."
            )
    if flat:
        found["flatness"] = (
            "The Hessian's top eigenvalue and trace on the remaining weights are lower than the dense network's in "
            f"{flat.holds_alone} of {flat.cases} cases tested alone and higher in {flat.fails_alone}; after correction "
            f"in {flat.holds} and {flat.fails}. A trace over fewer weights tends to be lower.{_sharper(counted)}"
        )
    return found


def _rewound(counted: "Facts") -> list[str]:
    """Return a sentence for each network and data set under the protocol of 2024."""
    found = []
    for (network, dataset, sparsity, number), compared in counted.rewound.items():
        parts = []
        for row in compared:
            by, low, high = size(row)
            parts.append(
                f"{'more' if row['ours'] > 0 else 'less'} accurate than {REWOUND[row['reference']]} by {by:.3f} "
                f"[{low:.3f}, {high:.3f}] ({'undecided' if row['outcome'] == 'undecided' else 'shown'})"
            )
        found.append(
            f"Under the authors' protocol of 2024 with shorter training ({network} on {dataset}, {sparsity:.0%} "
            f"pruned, {count(number, 'network')}) causal pruning is {' and '.join(parts)}."
        )
    return found


def size(row: "Row") -> tuple[float, float, float]:
    """Return the size of a difference with its 95% interval, both with the other sign if the difference is negative."""
    ends = (row["ours"], row["ci_low"], row["ci_high"])
    return ends if row["ours"] > 0 else (-ends[0], -ends[2], -ends[1])


def _sharper(counted: "Facts") -> str:
    """Return the sentence on flatness beside magnitude pruning, by all measures."""
    beside = counted.tallies.get(("causal", "flatness", "magnitude"))
    if not beside or not beside.tested:
        return ""
    return (
        " Over all measures of flatness together, causally pruned networks are flatter than magnitude-pruned ones of "
        f"as many weights in {beside.holds_alone} of {beside.tested} cases tested alone and sharper in "
        f"{beside.fails_alone}; after correction in {beside.holds} and {beside.fails}."
    )


def _figures_b(counted: "Facts") -> str:
    every, (counts, same) = sum(counted.released.values()), counted.designed
    sentence = (
        f"Of {every} distinct figures, {counted.compared} stand beside our runs: "
        f"{counted.beside['within_noise'] + counted.beside['identical']} lie in the range of single runs, "
        f"{counted.beside['outside']} outside it, and {counted.beside['underspecified']} depend on a setting that was "
        f"not released. {counts} are counts that the design of a run fixes ({same} of them identical when computed "
        f"here). The other {every - counted.compared - counts} have no number of ours yet."
    )
    return sentence if every else ""


def _what_would_change(counted: "Facts") -> list[str]:
    figures = "runs of those protocols" if counted.released else "a comparison with figures of its authors"
    sentence = "For paper B more seeds, its own schedule of hundreds of epochs on larger networks, and"
    tested = any(isinstance(claim, tuple) and claim[0] == "causal" for claim in counted.tallies)
    return [f"**What would change this.** {sentence} {figures}."] if tested else []


def percent(ends: tuple[float, float], to: str = " to ") -> str:
    """Return two shares as a range in percent, such as "94 to 96%"."""
    return to.join(dict.fromkeys(f"{100 * end:.0f}" for end in ends)) + "%"
