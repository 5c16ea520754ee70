"""Sentences, cells and raw runs of the lesson on choosing settings."""

from collections.abc import Mapping

import pandas as pd

from ccprune.stats import paired_difference, student_interval
from replication.beyond.cheap import cheap_cells
from replication.beyond.searches import search_cells
from replication.causal.released.text import list_kinds
from replication.ledger import Cell


def regret_sentences(means: pd.DataFrame) -> list[str]:
    """Say for which tasks the regret of Optuna's search differs from that of random search, paired by repetition.

    Parameters
    ----------
    means : DataFrame
        Columns task, method, share, repetition and regret (mean of the two parts).

    Returns
    -------
    list of str
        Markdown, one sentence for each share of the cost.
    """
    found = []
    for share, part in means[means["method"] != "grid"].groupby("share", sort=False):
        kinds: dict[str, list[str]] = {}
        for task, one in part.groupby("task", sort=False):
            regret = one.pivot(index="repetition", columns="method", values="regret")
            gap = paired_difference(regret["tpe"], regret["random"])
            kind = "smaller" if gap.high < 0 else "larger" if gap.low > 0 else "not shown to differ"
            kinds.setdefault(kind, []).append(f"{task} ({gap.estimate:+.2f}, {gap.low:+.2f} to {gap.high:+.2f})")
        found.append(
            f"**At {share:.0%} of the cost**, Optuna's regret minus that of random search, with its 95% interval. "
            f"{list_kinds(kinds)}."
        )
    return found


def optimism_sentences(means: pd.DataFrame, searches: pd.DataFrame) -> list[str]:
    """Say for which tasks the value of a choice overstates it, and how many choices stay within the margin.

    Parameters
    ----------
    means : DataFrame
        Columns task, method, repetition and optimism (mean of the two parts).
    searches : DataFrame
        Tables of `search_results` with the columns margin and within: whether a choice is within it when reported.

    Returns
    -------
    list of str
        Markdown, one text for each method.
    """
    found = []
    for method, part in means.groupby("method", sort=False):
        kinds: dict[str, list[str]] = {}
        for task, one in part.groupby("task", sort=False):
            gap = student_interval(one.groupby("repetition")["optimism"].mean())
            kind = "above 0" if gap.low > 0 else "below 0" if gap.high < 0 else "not shown to be other than 0"
            kinds.setdefault(kind, []).append(f"{task} ({gap.estimate:+.3f}, {gap.low:+.3f} to {gap.high:+.3f})")
        choices = searches[searches["method"] == method]
        inside = choices["chosen"] >= -choices["margin"]
        found.append(
            f"**{method}**, mean optimism with its 95% interval. {list_kinds(kinds)}. Choices within the "
            f"margin: {inside.sum()}, of which {choices['within'][inside].sum()} still when reported."
        )
    return found


def knee_sentence(knees: pd.DataFrame) -> str:
    """List the knees of each paper's score.

    Parameters
    ----------
    knees : DataFrame
        Table of `knees`.

    Returns
    -------
    str
    """
    found = []
    for paper, part in knees.groupby("paper"):
        ways = ", ".join(f"{one.way} {one.knee:.0%}" for one in part.dropna(subset="knee").itertuples())
        none = "the full score is not shown to be better than chance, and there is nothing to keep"
        found.append(f"{paper}: {ways or none}")
    return f"{'. '.join(found)}."


def choosing_cells(searches: pd.DataFrame, runs: Mapping[str, pd.DataFrame], profile: str) -> list[Cell]:
    """Return the cells of the lesson.

    Parameters
    ----------
    searches : DataFrame
        Tables of `search_results` with a column task.
    runs : mapping of str to DataFrame
        Tables of `cheap_runs` by the kind of the idle weights.
    profile : str

    Returns
    -------
    list of Cell
    """
    found = search_cells(searches, profile)
    return found + [cell for kind, table in runs.items() for cell in cheap_cells(table, kind, profile)]
