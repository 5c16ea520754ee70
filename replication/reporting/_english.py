"""English sentences on the results of each paper, made of the counts in `statements.Facts`."""

from typing import TYPE_CHECKING

from replication.causal.released.text import listed

if TYPE_CHECKING:
    from replication.reporting.statements import Facts


def paper_a(counted: "Facts") -> list[str]:
    """Return the sentences on paper A's figures, claims and explanation."""
    return [*_figures_a(counted), *_claims_a(counted), *_explanation(counted)]


def paper_b(counted: "Facts") -> list[str]:
    """Return the sentences on paper B's claims and figures."""
    return [*_claims_b(counted), *_figures_b(counted), *_what_would_change(counted)]


def _figures_a(counted: "Facts") -> list[str]:
    theirs, ours = counted.theirs, counted.ours
    if not theirs and not ours:
        return []
    text = "**Paper A's figures**"
    if theirs:
        searched = f" ({counted.searched} with settings found by a search for them)" if counted.searched else ""
        text += (
            f": of {sum(theirs.values())} distinct figures in tables 1 to 3, a re-run of the authors' files gives "
            f"{theirs['identical']} to the last digit{searched}, {theirs['outside']} differ, and "
            f"{theirs['underspecified']} depend on something that was not released"
        )
    if ours:
        text += (
            f"{';' if theirs else ':'} {ours['within_noise']} are within the range of our single runs, "
            f"{ours['outside']} are outside it, and {ours['underspecified']} cannot be compared"
        )
    if counted.chance is not None:
        seen, expected, low, high = counted.chance
        text += f" (on six small datasets {seen} are outside; by chance {expected:.1f}, 95% range {low} to {high})"
    return [f"{text}."]


def _claims_a(counted: "Facts") -> list[str]:
    epochs, accuracy = (counted.tallies.get(("legcnet", name, "")) for name in ("fewer_epochs", "keeps_accuracy"))
    parts, random = [], counted.tallies["random masks"]
    if epochs:
        parts.append(
            f"in {epochs.holds} of {epochs.cases} cases (a dataset, recorded over full training, FT, or a part of it, "
            f"PT) more pairs of networks need fewer epochs than need more, and in {epochs.fails} it is the other way "
            "round"
        )
    if accuracy:
        text = f"accuracy is kept to within a percentage point in {accuracy.holds} of {accuracy.cases}"
        if random.cases:
            text += f", and under random masks of the same count in {random.holds} of {random.cases}"
        parts.append(text)
    return [f"**Its claims**: {'; '.join(parts)}."] if parts else []


def _explanation(counted: "Facts") -> list[str]:
    if counted.own_risk is None or counted.another_risk is None:
        return []
    own, another = percent(counted.own_risk), percent(counted.another_risk)
    on = f" (on {listed(counted.crossed)})" if counted.crossed else ""
    return [
        f"**Its explanation**: the Granger test calls {own} of the weights causal for the errors of their own "
        f"network, and {another} for the errors of another network{on}."
    ]


def claims_b(counted: "Facts") -> dict[str, str]:
    """Return the results of our runs on paper B's claims "accuracy", "drop" and "flatness", in a clause each."""
    magnitude, updates, dense = (
        counted.tallies.get(("causal", "accuracy", name)) for name in ("magnitude", "squared_updates", "dense")
    )
    drops, flat = (counted.tallies.get(key) for key in (("causal", "abrupt_drop", ""), ("causal", "flatness", "dense")))
    found = {}
    if magnitude:
        found["accuracy"] = (
            "with schedules shorter than the authors', causal pruning is better than magnitude pruning of as many "
            f"weights in {magnitude.holds_alone} and worse in {magnitude.fails_alone} of {magnitude.tested} cases (a "
            "dataset, a network, a schedule and a sparsity, with two networks or more) tested alone, and better in "
            f"{magnitude.holds} and worse in {magnitude.fails} after correction for their number, which few cases can "
            "pass with three networks"
        )
        if updates:
            found["accuracy"] += (
                "; it is better than squared updates, its own score without the loss, in "
                f"{updates.holds_alone} and worse in {updates.fails_alone} of {updates.tested} tested alone"
            )
        if dense:
            few, many = (counted.tallies[name] for name in ("dense, to 90%", "dense, above 90%"))
            found["accuracy"] += (
                "; tested alone, the dense accuracy is kept to within a percentage point in "
                f"{few.holds_alone} and lost in {few.fails_alone} of {few.tested} cases with up to 90% pruned, and in "
                f"{many.holds_alone} and {many.fails_alone} of {many.tested} beyond"
            )
    if drops:
        found["drop"] = f"an abrupt drop of accuracy is shown in {drops.holds} of {drops.cases} curves"
    if flat:
        found["flatness"] = (
            f"the Hessian's top eigenvalue and trace on the remaining weights are lower than the dense network's in "
            f"{flat.holds_alone} and higher in {flat.fails_alone} of {flat.cases} cases tested alone, {flat.holds} and "
            f"{flat.fails} after correction (a trace over fewer weights tends to be lower)"
        )
    return found


def _claims_b(counted: "Facts") -> list[str]:
    found = claims_b(counted)
    rest = [found[name] for name in ("drop", "flatness") if name in found]
    lines = [f"**Paper B's accuracy**: {found['accuracy']}."] if "accuracy" in found else []
    return lines + (
        [f"**Its phase shift and flatter minima**: {'; '.join(rest)}; all other cases are undecided."] if rest else []
    )


def _figures_b(counted: "Facts") -> list[str]:
    every, (counts, same) = sum(counted.released.values()), counted.designed
    sentence = (
        f"**Figures that paper B's authors released**: of {every} distinct figures {counted.compared} are compared "
        f"with our runs, {counts} are counts that the design of a run fixes ({same} of them identical when computed "
        f"here), and {every - counted.compared - counts} have no number of ours yet: no run was made, or a setting was "
        "not released."
    )
    return [sentence] if every else []


def _what_would_change(counted: "Facts") -> list[str]:
    figures = "runs of those protocols" if counted.released else "a comparison with figures of its authors"
    sentence = "for paper B more seeds, its own schedule of hundreds of epochs on larger networks, and"
    tested = any(isinstance(claim, tuple) and claim[0] == "causal" for claim in counted.tallies)
    return [f"**What would change this**: {sentence} {figures}."] if tested else []


def percent(ends: tuple[float, float], to: str = " to ") -> str:
    """Return two shares as a range in percent, such as "94 to 96%"."""
    return to.join(dict.fromkeys(f"{100 * end:.0f}" for end in ends)) + "%"
