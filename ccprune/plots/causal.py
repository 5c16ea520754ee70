"""Figures of paper B."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ccprune.plots._style import COLOURS, MARKERS

_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


def sparsity_axis(ax: Axes, sparsities: ArrayLike) -> None:
    """Makes x the density, logarithmic and falling, labelled with the sparsity: the drop lies in the last percents."""
    top = float(np.max(sparsities))
    ticks = [tick for tick in _TICKS if tick <= top + 1e-9]
    ax.set_xscale("log")
    ax.set_xticks([1 - tick for tick in ticks], [f"{100 * tick:g}%" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlim(1.05, (1 - top) * 0.9)
    ax.set_xlabel("sparsity, pruned share of prunable weights (log scale of what is left)")


def accuracy_against_sparsity(
    table: pd.DataFrame,
    *,
    value: str = "test_accuracy",
    label: str = "test accuracy",
    marks: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Mean over seeds against sparsity, one line per method, the range of the seeds shaded.

    `table` has the columns method, seed, level and `value`; a method "dense" is drawn as a dotted line. `marks` are
    sparsities, one per method, drawn as upright lines in its colour: critical points.
    """
    ax = ax or plt.subplots(figsize=(8.0, 4.2))[1]
    names = [name for name in dict.fromkeys(table.method) if name != "dense"]
    for i, name in enumerate(names):
        rows = table[table.method == name].groupby("level")[value]
        mean, low, high = rows.mean(), rows.min(), rows.max()
        density = 1 - mean.index.to_numpy()
        colour = COLOURS[i % 7]
        ax.plot(density, mean, marker=MARKERS[i % 7], ms=4, lw=1.3, color=colour, ls="-" if i < 7 else "--", label=name)
        ax.fill_between(density, low, high, color=colour, alpha=0.15, lw=0)
        if marks and name in marks:
            ax.axvline(1 - marks[name], color=colour, lw=1, ls=":")
    dense = table[table.method == "dense"].groupby("level")[value].mean()
    if len(dense):
        ax.plot(1 - dense.index.to_numpy(), dense, color="0.3", lw=1.2, ls=":", label="dense, same steps")
    sparsity_axis(ax, table.level)
    seeds = table.seed.nunique()
    ax.set(ylabel=f"{label}\nmean of {seeds} seed{'s' if seeds > 1 else ''}, range shaded")
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def step_prediction(
    predicted: ArrayLike, actual: Mapping[str, ArrayLike], *, unit: str = "loss", ax: Axes | None = None
) -> Axes:
    """Loss changes (T,) of steps against those that the first order predicts; one group per way to measure."""
    ax = ax or plt.subplots(figsize=(5.0, 4.2))[1]
    predicted = np.asarray(predicted)
    for i, (name, values) in enumerate(actual.items()):
        values = np.asarray(values)
        correlation = np.corrcoef(predicted[: len(values)], values)[0, 1]
        ax.plot(
            predicted[: len(values)],
            values,
            MARKERS[i],
            ms=4,
            alpha=0.6,
            color=COLOURS[i],
            label=f"{name} (r = {correlation:.2f})",
        )
    ends = [predicted.min(), predicted.max()]
    ax.plot(ends, ends, color="0.3", lw=1, ls=":")
    ax.set(xlabel=f"first order: -sum of squared changes / rate ({unit})", ylabel=f"change of the loss ({unit})")
    ax.locator_params(axis="x", nbins=5)  # the changes are small, their labels long
    ax.legend(frameon=False, fontsize=8)
    return ax


def rank_correlations(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Spearman's rank correlation of scores, square table, numbers in the cells."""
    ax = ax or plt.subplots(figsize=(1.0 * len(table.columns) + 2.2, 0.62 * len(table) + 1.4))[1]
    options = {"vmin": -1, "vmax": 1, "cmap": "PuOr", "annot_kws": {"size": 9}}
    sns.heatmap(table, annot=True, fmt=".2f", cbar_kws={"label": "rank correlation"}, ax=ax, **options)
    ax.tick_params(axis="x", rotation=35)
    for text in ax.get_xticklabels():
        text.set(ha="right", rotation_mode="anchor")
    ax.set(xlabel="", ylabel="")
    return ax


def selection_frequencies(frequencies: Mapping[str, ArrayLike], *, threshold: float, ax: Axes | None = None) -> Axes:
    """How often each weight is selected over half samples of the records, for records as they are and shuffled."""
    ax = ax or plt.subplots()[1]
    bins = np.linspace(0, 1, 26)
    for i, (name, values) in enumerate(frequencies.items()):
        values = np.asarray(values)
        style = {"histtype": "step", "lw": 1.6, "ls": "-" if i == 0 else "--"}
        ax.hist(values, bins=bins, color=COLOURS[i], label=f"{name} ({len(values):,} weights)", **style)
    ax.axvline(threshold, color="0.3", lw=1, ls=":")
    ax.set_yscale("log")
    ax.set(xlabel=f"share of half samples in which the weight is selected (dotted: {threshold:g})", ylabel="weights")
    ax.legend(frameon=False, fontsize=8)
    return ax


def intervals(
    table: pd.DataFrame, *, label: str, reference: float | None = None, log: bool = False, ax: Axes | None = None
) -> Axes:
    """One row per entry of `table` (columns name, estimate, low, high, and maybe group): a mark and its interval."""
    ax = ax or plt.subplots(figsize=(6.4, 0.36 * len(table) + 1.3))[1]
    groups = list(dict.fromkeys(table["group"])) if "group" in table else [None]
    for y, row in enumerate(table.iloc[::-1].itertuples()):
        i = groups.index(getattr(row, "group", None))
        if np.isfinite(row.low) and np.isfinite(row.high):
            ax.plot([row.low, row.high], [y, y], color=COLOURS[i % 7], lw=2)
        ax.plot(row.estimate, y, MARKERS[i % 7], color=COLOURS[i % 7], ms=6)
    if reference is not None:
        ax.axvline(reference, color="0.4", lw=1, ls=":")
    if log:
        ax.set_xscale("log")
    ax.set_yticks(range(len(table)), list(table["name"])[::-1])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set(xlabel=label)
    return ax


def loss_slices(slices: Mapping[str, tuple[Sequence[float], ArrayLike]], *, label: str, ax: Axes | None = None) -> Axes:
    """Loss along a filter-normalised random direction, one line per network: (coordinates (n,), losses (n,) or (d, n)).

    With several directions (d, n) their mean is drawn and their range shaded.
    """
    ax = ax or plt.subplots()[1]
    for i, (name, (at, losses)) in enumerate(slices.items()):
        rows = np.atleast_2d(np.asarray(losses))
        ax.plot(at, rows.mean(0), color=COLOURS[i % 7], ls=("-", "--", "-.", ":")[i % 4], lw=1.6, label=name)
        ax.fill_between(at, rows.min(0), rows.max(0), color=COLOURS[i % 7], alpha=0.12, lw=0)
    ax.set(xlabel="step along the direction (1: as long as each filter)", ylabel=label)
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def loss_surface(coordinates: ArrayLike, losses: ArrayLike, *, title: str, top: float, ax: Axes | None = None) -> Axes:
    """Loss (n, n) on a plane of two filter-normalised directions, contours up to `top`; the cross is the network."""
    ax = ax or plt.subplots(figsize=(3.6, 3.2))[1]
    at, values = np.asarray(coordinates), np.asarray(losses).clip(max=top)
    contours = ax.contourf(at, at, values.T, levels=np.linspace(0, top, 13), cmap="cividis_r")
    ax.plot(0, 0, "+", color="black", ms=10)
    ax.figure.colorbar(contours, ax=ax, label=f"loss (drawn up to {top:g})")
    ax.set(xlabel="step along the first direction", ylabel="step along the second", title=title, aspect="equal")
    return ax


def known_answer(curves: pd.DataFrame, *, idle: float, title: str, ax: Axes | None = None) -> Axes:
    """R2 of the pruned model against sparsity, mean over seeds, one line per score; dotted: the idle share."""
    ax = ax or plt.subplots()[1]
    for i, (name, part) in enumerate(curves.groupby("method", sort=False)):
        mean = part.groupby("sparsity").r2.mean()
        style = {"marker": MARKERS[i % 7], "ms": 4, "lw": 1.3, "ls": ("-", "--", "-.", ":")[i % 4]}
        ax.plot(mean.index, mean.clip(lower=-0.2), color=COLOURS[i % 7], label=name, **style)
    ax.axvline(idle, color="0.3", lw=1, ls=":")
    seeds = curves.seed.nunique()
    ax.set(xlabel="sparsity", ylabel=f"R2, mean of {seeds} seeds (drawn from -0.2 up)", title=title)
    return ax
