"""Figures of paper B."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from replication.figures._style import heat_map, legend_above, legend_beside, line_style, with_sample_size

_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


def sparsity_axis(ax: Axes, sparsities: ArrayLike) -> None:
    """Make x a falling logarithmic axis of the density with labels of the sparsity, to show high sparsities.

    Parameters
    ----------
    ax : Axes
        Axes to change.
    sparsities : array_like
        Sparsities to show, fractions below 1.
    """
    least, top = float(np.min(sparsities)), float(np.max(sparsities))
    ticks = [tick for tick in _TICKS if least - 1e-9 <= tick <= top + 1e-9]
    if len(ticks) < 2:
        ticks = sorted({least, top})
    ax.set_xscale("log")
    ax.set_xticks([1 - tick for tick in ticks], [f"{100 * tick:g}%" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlim((1 - least) * 1.1, (1 - top) / 1.1)
    ax.set_xlabel("sparsity, pruned share of prunable weights (log scale of what is left)")


def accuracy_against_sparsity(
    table: pd.DataFrame,
    *,
    marks: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean test accuracy over seeds against sparsity, one line per method, with the range of the seeds shaded.

    Parameters
    ----------
    table : DataFrame
        Columns method, seed, level (sparsity) and test_accuracy. A method "dense" is drawn as a dotted line.
    marks : mapping of method to sparsity, optional
        Critical sparsities, drawn as vertical bars on the lines.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(8.0, 4.2))[1]
    names = [name for name in dict.fromkeys(table.method) if name != "dense"]
    for i, name in enumerate(names):
        rows = table[table.method == name].groupby("level").test_accuracy
        mean, low, high = rows.mean(), rows.min(), rows.max()
        density = 1 - mean.index.to_numpy()
        colour = line_style(i)["color"]
        ax.plot(density, mean, ms=6, lw=1.3, label=name, **line_style(i))
        ax.fill_between(density, low, high, color=colour, alpha=0.15, lw=0)
        if marks and name in marks:
            # The line is straight between levels in -log of the density, which increases with the level.
            at = np.interp(-np.log(1 - marks[name]), -np.log(density), mean)
            ax.plot(1 - marks[name], at, "|", color=colour, ms=22, mew=2)
    dense = table[table.method == "dense"].groupby("level").test_accuracy.mean()
    if len(dense):
        ax.plot(1 - dense.index.to_numpy(), dense, ".:", color="0.3", lw=1.2, ms=5, label="dense, same steps")
    if marks:
        ax.plot([], [], "|", color="0.2", ms=12, mew=2, label="critical sparsity")
    sparsity_axis(ax, table.level)
    seeds = table.seed.nunique()
    ax.set(ylabel=f"test accuracy (share)\nmean of n = {seeds} seed{'s' if seeds > 1 else ''}, range shaded")
    legend_beside(ax)
    return ax


def step_prediction(predicted: ArrayLike, actual: Mapping[str, ArrayLike], *, ax: Axes | None = None) -> Axes:
    """Draw the loss changes of steps against their first-order prediction.

    Parameters
    ----------
    predicted : array_like (T,)
        Predicted changes.
    actual : mapping of name to array_like (T,)
        Changes of one or more measurements, which may be shorter than T.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(5.0, 4.2))[1]
    predicted = np.asarray(predicted)
    for i, (name, values) in enumerate(actual.items()):
        values = np.asarray(values)
        correlation = np.corrcoef(predicted[: len(values)], values)[0, 1]
        label = f"{name} (n = {len(values)} steps, r = {correlation:.2f})"
        ax.plot(predicted[: len(values)], values, ms=4, alpha=0.6, label=label, **line_style(i) | {"ls": ""})
    ends = [predicted.min(), predicted.max()]
    ax.plot(ends, ends, color="0.3", lw=1, ls=":")
    ax.set_xlabel("predicted, first order:\n-sum of squared changes / rate (nats)")
    ax.set_ylabel("change of the loss (nats)\n(dotted: as predicted)")
    ax.locator_params(axis="x", nbins=5)  # the changes are small, their labels long
    legend_above(ax)
    return ax


def score_agreements(
    table: pd.DataFrame,
    *,
    label: str = "Spearman's rank correlation",
    low: float = -1.0,
    n: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how far scores agree, each with each; lighter is larger, also in grey.

    Parameters
    ----------
    table : DataFrame
        Values up to 1, with the scores' names as index and columns.
    label : str, default "Spearman's rank correlation"
        Name of the quantity.
    low : float, default -1.0
        Smallest value that the quantity can have; it has the darkest shade.
    n : str, optional
        Sample of the means, such as "3 seeds".
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(1.0 * len(table.columns) + 2.2, 0.62 * len(table) + 1.4))[1]
    heat_map(table, text=table.map("{:.2f}".format), low=low, label=with_sample_size(label, n), size=10, ax=ax)
    ax.tick_params(axis="x", rotation=35)
    for text in ax.get_xticklabels():
        text.set(ha="right", rotation_mode="anchor")
    return ax


def selection_frequencies(frequencies: Mapping[str, ArrayLike], *, threshold: float, ax: Axes | None = None) -> Axes:
    """Draw histograms of how often weights are selected over half samples, for original and shuffled records.

    Parameters
    ----------
    frequencies : mapping of str to array_like (P,)
        By name, the share of half samples in which each weight is selected.
    threshold : float
        Share from which on a weight counts as stable.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots()[1]
    bins = np.linspace(0, 1, 26)
    for i, (name, values) in enumerate(frequencies.items()):
        values = np.asarray(values)
        drawn_as = {"histtype": "step", "lw": 1.6, "color": line_style(i)["color"], "ls": line_style(i)["ls"]}
        ax.hist(values, bins=bins, label=f"{name} (n = {len(values):,})", **drawn_as)
    ax.axvline(threshold, color="0.3", lw=1, ls=":")
    ax.set_yscale("log")
    ax.set(xlabel=f"share of half samples in which the weight is selected (dotted: {threshold:g})")
    ax.set(ylabel="weights (log scale)")
    legend_above(ax, ncols=2)
    return ax


def intervals(
    table: pd.DataFrame, *, label: str, reference: float | None = None, log: bool = False, ax: Axes | None = None
) -> Axes:
    """Draw a mark and its interval per row of a table.

    Parameters
    ----------
    table : DataFrame
        Columns name, estimate, low, high, and optionally group, whose values have colours of their own.
    label : str
        Label of the x axis.
    reference : float, optional
        Value of a dotted line.
    log : bool, default False
        Whether the x axis is logarithmic.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(6.4, 0.36 * len(table) + 1.3))[1]
    groups = list(dict.fromkeys(table["group"])) if "group" in table else [None]
    for y, row in enumerate(table.iloc[::-1].itertuples()):
        i = groups.index(getattr(row, "group", None))
        if np.isfinite(row.low) and np.isfinite(row.high):
            ax.plot([row.low, row.high], [y, y], color=line_style(i)["color"], lw=2)
        ax.plot(row.estimate, y, ms=7, **line_style(i))
    if reference is not None:
        ax.axvline(reference, color="0.4", lw=1, ls=":")
    if log:
        ax.set_xscale("log")
        decades = np.diff(np.log10(ax.get_xlim())).item()
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_yticks(range(len(table)), list(table["name"])[::-1])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set(xlabel="\n".join(textwrap.fill(line, 50) for line in label.split("\n")))
    return ax


def loss_slices(slices: Mapping[str, tuple[Sequence[float], ArrayLike]], *, label: str, ax: Axes | None = None) -> Axes:
    """Draw the loss along filter-normalised random directions, one line per network.

    Parameters
    ----------
    slices : mapping of name to (coordinates, losses)
        Coordinates (n,) and losses (n,), or (d, n) for d directions, whose mean is drawn and whose range is shaded.
    label : str
        Name and unit of the loss.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots()[1]
    directions = 1
    for i, (name, (at, losses)) in enumerate(slices.items()):
        rows = np.atleast_2d(np.asarray(losses))
        directions = max(directions, len(rows))
        ax.plot(at, rows.mean(0), lw=1.6, ms=5, markevery=2, label=name, **line_style(i))
        ax.fill_between(at, rows.min(0), rows.max(0), color=line_style(i)["color"], alpha=0.12, lw=0)
    sample = f"mean of n = {directions} directions, range shaded" if directions > 1 else "n = 1 direction"
    ax.set(xlabel=f"step along the direction (1: as long as each filter)\n{sample}", ylabel=label)
    legend_beside(ax)
    return ax


def loss_surface(coordinates: ArrayLike, losses: ArrayLike, *, title: str, top: float, ax: Axes | None = None) -> Axes:
    """Draw contours of the cross-entropy on a plane of two filter-normalised directions.

    The cross marks the network.

    Parameters
    ----------
    coordinates : array_like (n,)
        Coordinates along both directions; 1 is as long as each filter.
    losses : array_like (n, n)
        Losses in nats; rows are steps along the first direction.
    title : str
        Title.
    top : float
        Largest drawn loss, in nats.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(3.6, 3.2))[1]
    at, values = np.asarray(coordinates), np.asarray(losses).clip(max=top)
    contours = ax.contourf(at, at, values.T, levels=np.linspace(0, top, 13), cmap="cividis_r")
    ax.plot(0, 0, "P", color="black", mec="white", ms=10)
    ax.figure.colorbar(contours, ax=ax, label=f"loss (nats), drawn up to {top:g}\nn = {values.size} points")
    ax.set(xlabel="step along the first direction\n(1: as long as each filter)", ylabel="step along the second")
    ax.set(title=title, aspect="equal")
    return ax


def known_answer(curves: pd.DataFrame, *, idle: float, title: str, ax: Axes | None = None) -> Axes:
    """Draw R2 of the pruned model against sparsity, mean over seeds, one line per score; the idle share is dotted.

    Parameters
    ----------
    curves : DataFrame
        Columns method, seed, sparsity and r2.
    idle : float
        Share of idle weights.
    title : str
        Title.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots()[1]
    for i, (name, part) in enumerate(curves.groupby("method", sort=False)):
        mean = part.groupby("sparsity").r2.mean()
        ax.plot(mean.index, mean.clip(lower=-0.2), ms=6, lw=1.3, label=name, **line_style(i))
    ax.axvline(idle, color="0.3", lw=1, ls=":")
    seeds = curves.seed.nunique()
    ax.set(xlabel="sparsity, pruned share\n(dotted: idle share)", title=title)
    ax.set_ylabel(f"R2 (drawn from -0.2 up)\nmean of n = {seeds} seeds")
    return ax
