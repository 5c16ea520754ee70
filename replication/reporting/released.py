"""Released figures of paper B on the pages: which rows they make, how many are answered, what they show alone."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from replication.causal import released
from replication.causal.released import ReleasedFigures
from replication.causal.released.checks import SHRINKBENCH
from replication.causal.released.costs import core_hours
from replication.causal.released.rows import cells, rows
from replication.causal.released.statements import statements
from replication.causal.released.text import CLAIMS, Statement, count, extent, list_items, span
from replication.ledger.cell import Cell
from replication.reporting._english import LEADS, claims_b
from replication.reporting.counts import RELEASED, Row, released_rows
from replication.reporting.essay import locate
from replication.reporting.markdown import table, words
from replication.reporting.statements import facts

_NAMES = {"lenet": "LeNet", "resnet18": "ResNet-18", "resnet20": "ResNet-20", "resnet56": "ResNet-56"}
_NAMES |= {"vgg-like": "VGG-like"}
# Top-5 accuracy with 10 classes, of which 0.5 is chance, below which a network is said to be near it.
NEAR_CHANCE = 0.6
# Methods of the one-shot study that are no causal fits.
_NO_FITS = ("dense", "fisher", "magnitude", "random")
# Cores that the stated hours are for.
_CORES = 2


def read(folder: str | os.PathLike) -> ReleasedFigures | None:
    """Read the released figures of an output folder.

    Parameters
    ----------
    folder : path-like
        Output folder.

    Returns
    -------
    ReleasedFigures or None
        None if the folder has no such file.

    Raises
    ------
    ValueError
        As `replication.causal.released.load`.
    """
    path = Path(folder, "paper", released.FILE)
    return released.load(path) if path.is_file() else None


def find(folder: str | os.PathLike) -> ReleasedFigures | None:
    """Read the released figures of an output folder, which is searched for by `essay.locate`.

    Parameters
    ----------
    folder : path-like
        Output folder, relative to the working directory or a folder above it.

    Returns
    -------
    ReleasedFigures or None
        None if there is no such file.

    Raises
    ------
    ValueError
        As `replication.causal.released.load`.
    """
    try:
        return released.load(locate(Path(folder, "paper", released.FILE)))
    except FileNotFoundError:
        return None


def declared_cells(folder: str | os.PathLike) -> list[Cell]:
    """Cells for the released figures of an output folder, which stand in the table until a run answers them."""
    found = read(folder)
    return [] if found is None else cells(found)


def section(figures: ReleasedFigures, found: Sequence[Row]) -> list[str]:
    """Markdown blocks: how many figures were released and are answered, then each statement with its table.

    Parameters
    ----------
    figures
        The released figures.
    found
        Rows of the table of verdicts, for the counts.
    """
    blocks = [overview(figures, found), f"The file: [{released.FILE}](paper/{released.FILE})."]
    blocks += ["### The three claims, answered twice", answered_twice(figures, found)]
    for one in statements(figures):
        blocks += statement(one, found)
    return blocks


def lesson(figures: ReleasedFigures, found: Sequence[Row]) -> str:
    """Return all statements as Markdown under headings of a lesson.

    Parameters
    ----------
    figures : ReleasedFigures
        The released figures.
    found : sequence of mapping
        Rows of the table of verdicts.

    Returns
    -------
    str
    """
    return "\n\n".join(block for one in statements(figures) for block in statement(one, found, heading="####"))


def answered_twice(figures: ReleasedFigures, found: Sequence[Row]) -> str:
    """Return a table in Markdown with the paper's three claims, each answered by its authors' files and by our runs.

    Parameters
    ----------
    figures : ReleasedFigures
        The released figures.
    found : sequence of mapping
        Rows of both tables.

    Returns
    -------
    str
    """
    theirs: dict[str, list[str]] = {}
    for one in statements(figures):
        if one.claim:
            theirs.setdefault(one.claim, []).append(one.answer)
    counted = facts(found)
    ours, leads = claims_b(counted), {}
    for name, claim in (("drop", ("abrupt_drop", "")), ("flatness", ("flatness", "dense"))):
        if name in ours:
            tally = counted.tallies["causal", *claim]
            leads[name] = extent(tally.holds, tally.cases)
    if "accuracy" in ours:
        leads["accuracy"] = LEADS["accuracy"]["accuracy" not in counted.answered]
        ours["accuracy"] += _full_length(found)
    lines = [
        [text, " ".join(theirs.get(name, ["–"])), f"{leads[name]}. {ours[name]}" if name in ours else "Not run here."]
        for name, text in CLAIMS.items()
    ]
    return table(["claim", "its authors' files", "our runs"], lines)


def _full_length(found: Sequence[Row]) -> str:
    """Return a sentence on the networks that were trained as long as the authors', empty without them."""
    table = f"{RELEASED}lenet_cifar10_accuracy-lenet"
    ran = [row for row in found if row["table"] == table and row["profile"] and row["ours"] is not None]
    parts = [f"{row['ours']:.4f} by {row['method']} pruning at {row['sparsity']:g}" for row in ran]
    runs = {row["n"] for row in ran}
    return (
        f" Trained as long as the authors' networks, LeNet on CIFAR-10 has an accuracy of {list_items(parts)} "
        f"({count(min(runs), 'network')} each)."
        if parts
        else ""
    )


def statement(one: Statement, found: Sequence[Row], *, heading: str = "###") -> list[str]:
    """Heading, text, table and caveat of one statement, and our run of the same design, as Markdown blocks."""
    blocks = [f"{heading} {one.title}", one.text]
    if one.lines:
        blocks.append(table(one.head, one.lines))
    return [*blocks, f"*Caveat: {one.caveat}*", *(_before_retraining(found) if one.title == SHRINKBENCH else [])]


def _before_retraining(found: Sequence[Row]) -> list[str]:
    """Our own network of ShrinkBench's design at half the weights, before retraining; nothing if it was not run."""
    chosen = [row for row in found if (row["table"], row["quantity"]) == ("one_shot-resnet20", "top-5 accuracy")]
    values = {row["method"]: row["ours"] for row in chosen if row["sparsity"] == 0.5}
    fits = [value for name, value in values.items() if name not in _NO_FITS]
    if not fits or not {"magnitude", "random", "fisher"} <= set(values):
        return []
    networks = max(row["n"] for row in chosen)
    text = (
        f"**Our run of this design**: on {count(networks, 'ResNet-20')} trained here, at 2× and before retraining, the "
        f"top-5 accuracy is {span(fits, 2)} with the masks of {len(fits)} causal fits, {values['fisher']:.2f} with the "
        f"mean squared gradient, which leaves the losses out, {values['random']:.2f} with random masks and "
        f"{values['magnitude']:.2f} with magnitude masks."
    )
    if max(fits) < NEAR_CHANCE < values["magnitude"]:
        text += (
            f" Masks of this kind are near chance here, too, so that a fault is not needed to explain the authors' "
            f"runs; this is shown on {count(networks, 'network')} only."
        )
    return [text]


def overview(figures: ReleasedFigures, found: Sequence[Row]) -> str:
    """Return sentences on how many figures were released and have a verdict, and what the others would cost.

    Parameters
    ----------
    figures : ReleasedFigures
        The released figures.
    found : sequence of mapping
        Rows of the table of verdicts.

    Returns
    -------
    str
        Markdown.
    """
    groups, origins = len({one.group for one in figures.figures}), Counter(one.origin for one in figures.figures)
    verdicts = {_key(row): row["verdict"] for row in released_rows(found)}
    made = rows(figures)
    open_rows = [row for row in made if verdicts.get(_key(asdict(row.cell)), "not_run") == "not_run"]
    left = [figure for row in open_rows for figure in row.figures]
    costs = [
        f"{spent / _CORES:,.0f} hours of {_CORES} cores for {networks} {_NAMES.get(name, name)} networks"
        for name, (networks, spent) in sorted(core_hours(left, figures).items())
    ]
    text = (
        f"With their follow-up the authors released {origins['released']:,} figures in {groups} groups, from which "
        f"{origins['derived']:,} more were computed, most of them statistics of draws. Means, medians of draws and "
        f"figures that follow from others share a row, which makes {len(made)} rows of the table of verdicts. "
        f"{len(made) - len(open_rows)} rows ({len(figures.figures) - len(left):,} figures) have a verdict"
        f"{_composition(released_rows(found))}. The other {len(open_rows)} rows ({len(left):,} figures) are not run, "
        "each with the reason in its note"
    )
    if costs:
        text += (
            f"; training them once under the stated protocols would take about {list_items(costs)}, without the "
            "training of start networks and the measurements, where an epoch was timed"
        )
    return (
        f"{text}. What follows needs no training: every number is computed from the released file when this page is "
        "made. None of these figures is printed in the paper of 2024."
    )


def _composition(found: Sequence[Row]) -> str:
    """Return what the rows with a verdict are compared with, in words."""
    ran = Counter(tuple(row["table"].removeprefix(RELEASED).split("-")) for row in found if row["profile"])
    counted = sum(row["ours"] is not None and not row["profile"] for row in found)
    parts = [f"{number} of {words(group)} ({words(network)})" for (group, network), number in ran.most_common()]
    parts += [f"{counted} counts that the design of a run fixes"] if counted else []
    others = sum(row["verdict"] not in ("", "not_run") for row in found) - ran.total() - counted
    parts += [f"{others} that depend on another network than the file names"] if others else []
    return f": {', '.join(parts)}" if parts else ""


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells rows of released figures apart; the table of verdicts rounds the sparsity."""
    sparsity = "" if row["sparsity"] is None else f"{row['sparsity']:.6g}"
    return row["table"], row["dataset"], row["method"], row["quantity"], sparsity
