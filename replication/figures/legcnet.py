"""Figures of paper A and of its null tests."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from torch import Tensor

from replication.figures._style import (
    COLOURS,
    bars,
    heat_map,
    legend_above,
    legend_beside,
    line_style,
    with_sample_size,
)
from replication.legcnet.procedure import SIGNIFICANCE


def weight_series(series: Tensor, *, steps_per_epoch: int, ax: Axes | None = None) -> Axes:
    """Draw weights over training.

    Parameters
    ----------
    series : Tensor (n, M)
        Values of M weights.
    steps_per_epoch : int
        Number of rows of `series` in an epoch.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots()[1]
    epochs = np.arange(series.shape[0]) / steps_per_epoch
    ax.set_prop_cycle(color=COLOURS)
    ax.plot(epochs, series.numpy(), lw=0.7, alpha=0.7)
    ax.set(xlabel="epoch", ylabel="weight", title=f"n = {series.shape[1]} weights under per-sample SGD")
    return ax


def stretching(curves: Tensor, *, labels: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw stretching curves: mean log distance of neighbours against steps ahead.

    Parameters
    ----------
    curves : Tensor (N, k + 1)
        Curves S(0) to S(k) of N series.
    labels : sequence of str
        Names of the N series.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots()[1]
    for i, (curve, label) in enumerate(zip(curves.numpy(), labels, strict=True)):
        ax.plot(curve, ms=5, label=label, **line_style(i))
    ax.axvspan(0, 1, color="0.9", zorder=0, label="the authors' slope,\nS(1) - S(0)")
    ax.locator_params(axis="x", integer=True)
    ax.set(xlabel=f"steps ahead, k (n = {len(labels)} series)", ylabel="S(k), mean natural\nlogarithm of the distance")
    legend_beside(ax)
    return ax


def exponents_and_risk(exponents: Tensor, risk: Tensor, *, label: str, ax: Axes | None = None) -> Axes:
    """Draw a weight's exponents and the risk over windows, on two y axes.

    Parameters
    ----------
    exponents : Tensor (K,)
        Exponents per step.
    risk : Tensor (K,)
        Misclassification risk, as a fraction.
    label : str
        Name of the weight.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots()[1]
    [line] = ax.plot(exponents.numpy(), color=COLOURS[0], lw=1, label=f"exponent of {label}, left")
    ax.set(xlabel=f"window (n = {len(exponents)})", ylabel="exponent (1/step)")
    other = ax.twinx()
    options = {"color": COLOURS[1], "lw": 1.8, "ls": "--", "label": "risk, right"}
    other.plot(risk.numpy(), **options)
    other.set_ylabel("misclassification risk (share)")
    other.spines["right"].set_visible(True)
    legend_above(ax, ncols=2, handles=[line, *other.lines])
    return ax


def p_values(smallest: Tensor, *, ax: Axes | None = None) -> Axes:
    """Draw the sorted smallest p-values of weights; those at or above the significance level are pruned.

    Parameters
    ----------
    smallest : Tensor (M,)
        Smallest p-value over the lags of each weight.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots()[1]
    values = np.sort(smallest.numpy())
    pruned = values >= SIGNIFICANCE
    rank = np.arange(1, len(values) + 1)
    floor = 1e-5
    shown = values.clip(floor)
    ax.semilogy(rank[~pruned], shown[~pruned], "o", color=COLOURS[0], ms=5, label=f"kept ({(~pruned).sum()})")
    ax.semilogy(rank[pruned], shown[pruned], "X", color=COLOURS[1], ms=7, label=f"pruned ({pruned.sum()})")
    ax.axhline(SIGNIFICANCE, color="0.4", lw=1, ls=":", label=f"significance {SIGNIFICANCE:g}")
    ax.set(xlabel=f"weight, by p-value (n = {len(values)})", ylabel=f"smallest p over lags\n(drawn from {floor:g} up)")
    legend_above(ax, ncols=3)
    return ax


def separations(network: Tensor, linear: Tensor, *, steps_per_epoch: int, ax: Axes | None = None) -> Axes:
    """Draw the distances of runs with one shifted initial weight, for a network and for a linear model.

    Parameters
    ----------
    network, linear : Tensor (M, n)
        Distance from the unshifted run after each of n steps, one row per shifted weight.
    steps_per_epoch : int
        Number of steps in an epoch.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots()[1]
    for i, (distances, name) in enumerate(((network, "sigmoid network"), (linear, "linear model"))):
        relative = (distances / distances[:, :1]).numpy()
        epochs = np.arange(relative.shape[1]) / steps_per_epoch
        low, middle, high = np.quantile(relative, [0, 0.5, 1], axis=0)
        colour, line = line_style(i)["color"], line_style(i)["ls"]
        label = f"{name}: median, range shaded (n = {len(relative)} weights shifted)"
        ax.fill_between(epochs, low, high, color=colour, alpha=0.2, lw=0)
        ax.semilogy(epochs, middle, color=colour, ls=line, label=label)
    ax.axhline(1, color="0.4", lw=1, ls=":")
    ax.set(xlabel="epoch", ylabel="distance / initial distance")
    legend_above(ax)
    return ax


def pruned_by_lag(pruned: Mapping[int, int], *, weights: int, ax: Axes | None = None) -> Axes:
    """Draw the number of weights that a Granger test does not call causal, by the largest lag that it tries.

    Parameters
    ----------
    pruned : mapping of int to int
        Number of pruned weights by the largest lag.
    weights : int
        Number of all weights.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(5.6, 3.2))[1]
    ax.plot(list(pruned), list(pruned.values()), **line_style(0))
    ax.set(xlabel="largest lag that is tried", ylabel=f"pruned weights (n = {weights})", ylim=(0, weights))
    ax.set_xticks(list(pruned))
    return ax


def points_by_method(runs: pd.DataFrame, quantity: str, *, label: str, ax: Axes | None = None) -> Axes:
    """Draw one point for each network by its method, and a bar at each method's median.

    Parameters
    ----------
    runs : DataFrame
        One row per network and method.
    quantity : str
        Column to draw.
    label : str
        Label of the x axis.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(5.0, 3.4))[1]
    for place, (method, part) in enumerate(runs.groupby("method", sort=False)):
        beside_each_other = place + np.linspace(-0.22, 0.22, len(part))
        ax.plot(part[quantity], beside_each_other, **line_style(place) | {"ls": "", "alpha": 0.7}, label=method)
        ax.plot(2 * [part[quantity].median()], [place - 0.32, place + 0.32], color="black", lw=2)
    ax.set_yticks(range(runs.method.nunique()), runs.method.unique())
    ax.invert_yaxis()
    ax.set(xlabel=f"{label}\n(n = {len(runs) // runs.method.nunique()} networks; bar: median)")
    return ax


def paired_epochs(runs: pd.DataFrame, method: str, *, budget: int, ax: Axes | None = None) -> Axes:
    """Draw the epochs to the benchmark of a method against dense, one point per initialisation.

    Points below the diagonal are faster than dense.

    Parameters
    ----------
    runs : DataFrame
        Columns network, method and epochs.
    method : str
        Method to compare with dense.
    budget : int
        Number of epochs of runs that did not reach the benchmark.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(4.2, 4.2))[1]
    wide = runs.pivot(index="network", columns="method", values="epochs")
    ax.plot(wide["dense"], wide[method], "o", ms=4, alpha=0.5, color=COLOURS[0])
    top = max(wide["dense"].max(), wide[method].max())
    ax.plot([0, top], [0, top], color="0.4", lw=1, ls=":")
    ax.set(
        xlabel="epochs to the benchmark, dense",
        ylabel=f"epochs to the benchmark, {method}\n({budget}: not reached)",
        title=f"n = {len(wide)} initialisations",
    )
    return ax


def differences(
    table: pd.DataFrame, quantity: str, *, methods: Sequence[str] = ("ft", "pt"), ax: Axes | None = None
) -> Axes:
    """Draw paired differences with 95% intervals, medians of epochs, otherwise means, by method and reference.

    Parameters
    ----------
    table : DataFrame
        Columns quantity, method, reference, estimate, low, high and n.
    quantity : str
        Quantity to draw.
    methods : sequence of str, default ("ft", "pt")
        Methods to draw.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    part = table[(table.quantity == quantity) & table.method.isin(methods)].iloc[::-1]
    ax = ax or plt.subplots(figsize=(6.0, 0.42 * len(part) + 1.2))[1]
    for y, row in enumerate(part.itertuples()):
        if not np.isfinite(row.estimate):
            ax.text(0.02, y, "infinite: benchmark not reached", transform=ax.get_yaxis_transform(), va="center")
            continue
        drawn_as = line_style(list(methods).index(row.method))
        ax.plot([row.low, row.high], [y, y], color=drawn_as["color"], lw=2)
        ax.plot(row.estimate, y, ms=8, **drawn_as)
    ax.axvline(0, color="0.4", lw=1, ls=":")
    ax.set_yticks(range(len(part)), [f"{row.method} - {row.reference}" for row in part.itertuples()])
    ax.set_ylim(-0.6, len(part) - 0.4)
    average = "median" if quantity == "epochs" else "mean"
    label = f"{average} difference in {quantity.replace('_', ' ')}, 95% interval"
    ax.set(xlabel=f"{label}\n(n = {int(part.n.iloc[0])} pairs)")
    ax.locator_params(axis="x", nbins=6)
    return ax


def rejection_rates(table: pd.DataFrame, *, n: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the share of unrelated causes that are rejected.

    Parameters
    ----------
    table : DataFrame
        Shares; rows are groups, columns are tests.
    n : str, optional
        Sample size, such as "2,400 pairs".
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(8.0, 4.0))[1]
    width = 0.8 / len(table.columns)
    for i, column in enumerate(table.columns):
        at = np.arange(len(table)) + (i - (len(table.columns) - 1) / 2) * width
        ax.bar(at, table[column], width, label=column.replace("_", " "), lw=0.4, **bars(i))
    ax.axhline(SIGNIFICANCE, color="black", lw=1, ls=":")
    slanted = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if len(table) > 4 else {}
    ax.set_xticks(range(len(table)), [str(label) for label in table.index], **slanted)
    ax.set(ylabel=with_sample_size(f"share called causal\n(dotted: {SIGNIFICANCE:g})", n), ylim=(0, 1))
    legend_above(ax, ncols=min(len(table.columns), 6))
    return ax


def exponent_spread(groups: dict[str, Tensor], *, ax: Axes | None = None) -> Axes:
    """Draw the distribution of windowed exponents of each group: quartiles as a box, central 95% as whiskers.

    Parameters
    ----------
    groups : dict of Tensor
        Exponents per step, of any shape, by name.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(7.0, 0.5 * len(groups) + 1.4))[1]
    names, labels = list(groups)[::-1], []
    for y, name in enumerate(names):
        values = groups[name].flatten().numpy()
        low, first, middle, third, high = np.quantile(values, [0.025, 0.25, 0.5, 0.75, 0.975])
        # Not matplotlib's boxplot, whose argument for horizontal boxes was renamed after 3.9.
        ax.plot([low, high], [y, y], "|-", color="0.2", lw=1.2, ms=8)
        ax.barh(y, third - first, 0.45, left=first, color=COLOURS[5], edgecolor="0.2", lw=1)
        ax.plot([middle, middle], [y - 0.22, y + 0.22], color="black", lw=2.5, solid_capstyle="butt")
        labels.append(f"{name}\n(n = {len(values):,})")
    ax.set_yticks(range(len(names)), labels, fontsize=10)
    ax.axvline(0, color="0.4", lw=1, ls=":")
    ax.set_xlabel("windowed exponent (1/step)\nbox: quartiles and median, whiskers: central 95%", fontsize=11)
    return ax


def jaccards(table: pd.DataFrame, *, n: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw a table of the agreement of masks with the released ones.

    Parameters
    ----------
    table : DataFrame
        Jaccard indices; rows are choices, columns are data sets.
    n : str, optional
        Sample of the means, such as "20 trials".
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(1.1 * len(table.columns) + 3.5, 0.36 * len(table) + 1.0))[1]
    label = with_sample_size("Jaccard index of masks", n)
    heat_map(table, text=table.map("{:.2f}".format), low=0, label=label, size=10, ax=ax)
    return ax
