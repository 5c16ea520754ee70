"""Rows of verdicts.csv as pictures, for the essay."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from replication.causal.released import Figure, ReleasedFigures
from replication.figures import intervals, sparsity_axis
from replication.figures._style import legend_below, legend_beside, line_style
from replication.reporting.essay import select, spread


def printed_and_ours(claims: pd.DataFrame, trials: pd.DataFrame) -> Axes:
    """Draw paper A's printed difference in epochs among the authors' trials, and our median with its interval.

    Parameters
    ----------
    claims : DataFrame
        Rows of the table "fewer_epochs", those on MNIST among them, where the paper's own row has more epochs.
    trials : DataFrame
        Result of `essay.trials`.

    Returns
    -------
    Axes
    """
    known = claims.outcome.map(lambda outcome: " (settings unknown)" if outcome == "cannot_be_known" else "")
    rows = claims.assign(name=claims.dataset + ", " + claims.method.str.upper() + known, group=claims.method)
    rows = rows.rename(columns={"ours": "estimate", "ci_low": "low", "ci_high": "high"})
    ax = intervals(rows, label="", reference=0.0)
    ax.set_xlabel(f"epochs, pruned minus dense\n(authors: single runs; ours: medians of n = {spread(rows.n)})")
    for y, row in enumerate(rows.iloc[::-1].itertuples()):
        theirs = select(trials, dataset=row.dataset, method=row.method)
        label = {"trial": "authors' trial", "printed": "printed"} if y == 0 else {"trial": None, "printed": None}
        ax.plot(theirs.difference, [y] * len(theirs), "|", color="0.45", ms=10, label=label["trial"])
        ax.plot(row.published, y, "o", mfc="none", mec="black", ms=12, label=label["printed"])
    for i, method in enumerate(dict.fromkeys(rows.method)):
        ax.plot([], [], label=f"ours, {method.upper()}, 95% interval", lw=2, ms=7, **line_style(i) | {"ls": "-"})
    legend_beside(ax)
    return ax


def differences_by_sparsity(curves: pd.DataFrame, *, title: str) -> Axes:
    """Draw paper B's differences in accuracy against sparsity with their intervals, one line per reference.

    Parameters
    ----------
    curves : DataFrame
        Rows of one claim's table for one network and data set.
    title : str
        Title.

    Returns
    -------
    Axes
    """
    ax = plt.subplots(figsize=(7.0, 4.2))[1]
    for i, (reference, part) in enumerate(curves.groupby("reference")):
        part = part.sort_values("sparsity")
        at = (1 - part.sparsity) * (1 + 0.025 * i)  # a little apart, so that bars do not cover each other
        ends = [part.ours - part.ci_low, part.ci_high - part.ours]
        ax.errorbar(at, part.ours, ends, ms=5, lw=1.2, capsize=2, label=reference.replace("_", " "), **line_style(i))
    ax.axhline(0, color="0.4", lw=1, ls=":")
    sparsity_axis(ax, curves.sparsity)
    label = f"test accuracy, causal pruning minus another\n(mean, 95% interval, n = {spread(curves.n)} seeds)"
    ax.set(ylabel=label, title=title)
    legend_beside(ax)
    return ax


def released_accuracies(released: ReleasedFigures) -> list[Axes]:
    """Draw the test accuracy against sparsity that paper B's authors released, for two networks.

    Causal and magnitude pruning are shown. Small marks are single runs, lines their means; a dotted line is the dense
    network, where it was released.

    Parameters
    ----------
    released : ReleasedFigures
        The released figures.

    Returns
    -------
    list of Axes
        One per network.
    """
    axes = plt.subplots(1, 2, figsize=(10.0, 4.4), layout="constrained")[1]
    names = {"resnet20_accuracy": "ResNet-20", "lenet_cifar10_accuracy": "LeNet"}
    for ax, (group, name) in zip(axes, names.items(), strict=True):
        lines: dict[str, list[Figure]] = {}
        for figure in released.select(group):
            iterations = figure.details["iterations"]
            lines.setdefault(f"{figure.method}, {iterations} iteration{'s'[: iterations - 1]}", []).append(figure)
        pruned = [(label, figures) for label, figures in lines.items() if figures[0].method != "dense"]
        pruned.sort(key=lambda item: (-item[1][0].details["iterations"], item[0]))  # one colour a method in both
        for i, (label, figures) in enumerate(pruned):
            means = pd.DataFrame([(f.sparsity, f.value) for f in figures]).groupby(0)[1].mean()
            ax.plot(1 - means.index.to_numpy(), means, ms=0, label=label, **line_style(i) | {"marker": None})
            single = {"ls": "", "ms": 5, "alpha": 0.8}
            ax.plot([1 - f.sparsity for f in figures], [f.value for f in figures], **line_style(i) | single)
        for figure in released.select(group, method="dense"):
            ax.axhline(figure.value, color="0.3", ls=":", lw=1.2, label="dense")
        sparsity_axis(ax, [figure.sparsity for _, figures in pruned for figure in figures])
        runs = max(figure.repetition or 1 for _, figures in pruned for figure in figures)
        ax.set(title=f"{name} on CIFAR-10, n = {runs}", ylabel="test accuracy (share)\nof the best test epoch")
        ax.set_xlabel("sparsity (log scale of what is left)")
        legend_below(ax, ncols=1)
    return list(axes)
