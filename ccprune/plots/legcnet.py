"""Figures of paper A and of its null."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from torch import Tensor

from ccprune.plots._style import COLOURS, MARKERS


def weight_series(series: Tensor, *, steps_per_epoch: int, ax: Axes | None = None) -> Axes:
    """Weights (n, M) over training, one line each."""
    ax = ax or plt.subplots()[1]
    epochs = np.arange(series.shape[0]) / steps_per_epoch
    ax.plot(epochs, series.numpy(), lw=0.7, alpha=0.7)
    ax.set(xlabel="epoch", ylabel="weight", title=f"{series.shape[1]} weights under per-sample SGD")
    return ax


def stretching(curves: Tensor, *, labels: Sequence[str], ax: Axes | None = None) -> Axes:
    """Stretching curves (N, k + 1): mean log distance of neighbours against steps ahead."""
    ax = ax or plt.subplots()[1]
    for i, (curve, label) in enumerate(zip(curves.numpy(), labels, strict=True)):
        ax.plot(curve, marker=MARKERS[i % 7], color=COLOURS[i % 7], ms=4, label=label)
    ax.axvspan(0, 1, color="0.9", zorder=0)
    ax.annotate("the authors' slope", (1.2, 0.03), xycoords=("data", "axes fraction"), fontsize=8)
    ax.set(xlabel="steps ahead, k", ylabel="S(k), mean log distance")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def exponents_and_risk(exponents: Tensor, risk: Tensor, *, label: str, ax: Axes | None = None) -> Axes:
    """One weight's exponents (K,) and the risk (K,), window by window, on two axes."""
    ax = ax or plt.subplots()[1]
    ax.plot(exponents.numpy(), color=COLOURS[0], lw=1)
    ax.set(xlabel="window")
    ax.set_ylabel(f"exponent of {label} (1/step)", color=COLOURS[0])
    other = ax.twinx()
    other.plot(risk.numpy(), color=COLOURS[1], lw=1.2, ls="--")
    other.set_ylabel("misclassification risk", color=COLOURS[1])
    other.spines["right"].set_visible(True)
    return ax


def p_values(smallest: Tensor, *, level: float = 0.05, ax: Axes | None = None) -> Axes:
    """Smallest p (M,) of each weight, sorted; the weights right of the line's crossing are pruned."""
    ax = ax or plt.subplots()[1]
    values = np.sort(smallest.numpy())
    pruned = values >= level
    rank = np.arange(1, len(values) + 1)
    floor = 1e-5
    shown = values.clip(floor)
    ax.semilogy(rank[~pruned], shown[~pruned], "o", color=COLOURS[0], ms=5, label=f"kept ({(~pruned).sum()})")
    ax.semilogy(rank[pruned], shown[pruned], "X", color=COLOURS[1], ms=7, label=f"pruned ({pruned.sum()})")
    ax.axhline(level, color="0.4", lw=1, ls=":")
    ax.set(xlabel="weight, by p-value", ylabel=f"smallest p over lags\n(drawn from {floor:g} up)")
    ax.legend(frameon=False)
    return ax


def separations(network: Tensor, linear: Tensor, *, steps_per_epoch: int, ax: Axes | None = None) -> Axes:
    """Distance (M, n) of runs that began with one weight shifted, for a network and for a linear model."""
    ax = ax or plt.subplots()[1]
    for distances, colour, ls, label in ((network, 0, "-", "sigmoid network"), (linear, 1, "--", "linear model")):
        relative = (distances / distances[:, :1]).numpy()
        epochs = np.arange(relative.shape[1]) / steps_per_epoch
        low, middle, high = np.quantile(relative, [0, 0.5, 1], axis=0)
        ax.fill_between(epochs, low, high, color=COLOURS[colour], alpha=0.2, lw=0)
        ax.semilogy(epochs, middle, color=COLOURS[colour], ls=ls, label=f"{label}: median, range of {len(relative)}")
    ax.axhline(1, color="0.4", lw=1, ls=":")
    ax.set(xlabel="epoch", ylabel="distance / initial distance")
    ax.legend(frameon=False)
    return ax


def paired_epochs(runs: pd.DataFrame, method: str, *, budget: int, ax: Axes | None = None) -> Axes:
    """Epochs to the benchmark of each initialisation: dense across, `method` up; below the line is faster."""
    ax = ax or plt.subplots(figsize=(4.2, 4.0))[1]
    wide = runs.pivot(index="network", columns="method", values="epochs")
    ax.plot(wide["dense"], wide[method], "o", ms=4, alpha=0.5, color=COLOURS[0])
    top = max(wide["dense"].max(), wide[method].max())
    ax.plot([0, top], [0, top], color="0.4", lw=1, ls=":")
    ax.set(
        xlabel="epochs to benchmark, dense",
        ylabel=f"{method} (never: {budget})",
        title=f"{len(wide)} initialisations",
    )
    return ax


def differences(
    table: pd.DataFrame, quantity: str, *, methods: Sequence[str] = ("ft", "pt"), ax: Axes | None = None
) -> Axes:
    """Paired differences with 95% intervals, one row per method and reference."""
    part = table[(table.quantity == quantity) & table.method.isin(methods)].iloc[::-1]
    ax = ax or plt.subplots(figsize=(6.0, 0.42 * len(part) + 1.2))[1]
    for y, row in enumerate(part.itertuples()):
        i = list(methods).index(row.method)
        ax.plot([row.low, row.high], [y, y], color=COLOURS[i], lw=2)
        ax.plot(row.estimate, y, MARKERS[i], color=COLOURS[i], ms=7)
    ax.axvline(0, color="0.4", lw=1, ls=":")
    ax.set_yticks(range(len(part)), [f"{row.method} - {row.reference}" for row in part.itertuples()])
    unit = "epochs" if quantity == "epochs" else quantity.replace("_", " ")
    ax.set(xlabel=f"difference in {unit}, 95% interval (n = {int(part.n.iloc[0])} pairs)")
    ax.locator_params(axis="x", nbins=6)
    return ax


def rejection_rates(table: pd.DataFrame, *, level: float = 0.05, ax: Axes | None = None) -> Axes:
    """Share of unrelated causes called causal: rows of `table` are groups, columns are ways of asking."""
    ax = ax or plt.subplots(figsize=(8.0, 4.0))[1]
    width = 0.8 / len(table.columns)
    for i, column in enumerate(table.columns):
        at = np.arange(len(table)) + (i - (len(table.columns) - 1) / 2) * width
        ax.bar(at, table[column], width, color=COLOURS[i % 7], label=column.replace("_", " "), edgecolor="white")
    ax.axhline(level, color="black", lw=1, ls=":")
    slanted = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if len(table) > 4 else {}
    ax.set_xticks(range(len(table)), [str(label) for label in table.index], **slanted)
    ax.set(ylabel=f"share called causal\n(dotted: level {level:g})", ylim=(0, 1))
    ax.legend(frameon=False, ncols=6, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax


def exponent_spread(groups: dict[str, Tensor], *, ax: Axes | None = None) -> Axes:
    """Distribution of windowed exponents for each named group: box from quartile to quartile, whiskers to 95%."""
    ax = ax or plt.subplots(figsize=(7.0, 0.5 * len(groups) + 1.2))[1]
    names = list(groups)[::-1]
    ax.boxplot([groups[name].flatten().numpy() for name in names], vert=False, whis=(2.5, 97.5), showfliers=False)
    ax.set_yticks(range(1, len(names) + 1), names)
    ax.axvline(0, color="0.4", lw=1, ls=":")
    ax.set(xlabel="exponent, S(1) - S(0) (1/step)")
    return ax


def jaccards(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Agreement of masks with the released ones: choices down, datasets across, numbers in the cells."""
    ax = ax or plt.subplots(figsize=(1.1 * len(table.columns) + 3.5, 0.36 * len(table) + 1.0))[1]
    sns.heatmap(table, annot=True, fmt=".2f", vmin=0, vmax=1, cmap="cividis", cbar_kws={"label": "Jaccard"}, ax=ax)
    ax.set(xlabel="", ylabel="")
    return ax
