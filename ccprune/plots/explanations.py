"""Figures of SHAP values and of how far networks agree on them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ccprune.diagnostics.shap_agreement import NOISE_FLOOR
from ccprune.plots._style import COLOURS, MARKERS
from ccprune.stats import bootstrap_interval


def beeswarm(
    values: ArrayLike, features: ArrayLike, *, names: Sequence[str], label: str, ax: Axes | None = None
) -> Axes:
    """Beeswarm of one output's SHAP values (n, d): a dot for each sample, coloured by the feature's value (n, d).

    Drawn by shap. Features come by importance, largest first; beyond ten, the rest is summed up. `label` says which
    output is explained.
    """
    from ccprune.diagnostics._shap import shap  # slow to import, and the other figures do not need it

    ax = ax or plt.subplots(figsize=(6.0, 0.38 * min(len(names), 10) + 1.2))[1]
    explanation = shap.Explanation(np.asarray(values), data=np.asarray(features), feature_names=list(names))
    # shap scatters the dots by the global generator.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        shap.plots.beeswarm(explanation, ax=ax, plot_size=None, show=False, s=10)
    finally:
        np.random.set_state(state)
    ax.set_xlabel(f"SHAP value ({label})", fontsize=10)
    ax.tick_params(labelsize=9)
    return ax


def bar(importances: Mapping[str, ArrayLike], *, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Global importances (d,), one bar per method and feature; features by importance for the first method."""
    ax = ax or plt.subplots(figsize=(6.0, 0.1 * len(names) * (len(importances) + 1) + 1.2))[1]
    order = np.argsort(np.asarray(next(iter(importances.values()))))
    height = 0.8 / len(importances)
    for i, (method, values) in enumerate(importances.items()):
        at = np.arange(len(names)) + 0.4 - (i + 0.5) * height
        style = {"color": COLOURS[i % 7], "edgecolor": "white", "lw": 0.4, "hatch": "////" if i >= 7 else None}
        ax.barh(at, np.asarray(values)[order], height, label=method, **style)
    ax.set_yticks(range(len(names)), [names[i] for i in order])
    ax.set(xlabel="importance, mean |SHAP value| summed over outputs")
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def agreements(
    table: pd.DataFrame,
    *,
    quantity: str = "spearman",
    label: str = "Spearman's rank correlation",
    ax: Axes | None = None,
) -> Axes:
    """Agreement with the dense network, one row per method: a dot for each network, the mean and its 95% interval.

    `table` as from `shap_runs.agreements`. The band is the interval of the noise floor, two dense networks from
    different initialisations.
    """
    methods = [name for name in dict.fromkeys(table.method) if name != NOISE_FLOOR]
    ax = ax or plt.subplots(figsize=(6.4, 0.4 * len(methods) + 1.4))[1]
    noise = bootstrap_interval(table[table.method == NOISE_FLOOR][quantity])
    ax.axvspan(noise.low, noise.high, color="0.85", zorder=0, lw=0)
    ax.axvline(noise.estimate, color="0.4", lw=1, ls=":", zorder=1)
    ax.annotate(
        "two dense networks", (noise.estimate, 1.0), xycoords=("data", "axes fraction"),
        xytext=(0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=8,
    )  # fmt: skip
    for y, method in enumerate(reversed(methods)):
        i = methods.index(method)
        found = table[table.method == method][quantity].to_numpy()
        mean = bootstrap_interval(found)
        scatter = np.random.default_rng(0).uniform(-0.25, 0.25, len(found))
        ax.plot(found, y + scatter, ".", color=COLOURS[i % 7], alpha=0.3, ms=4, zorder=2)
        ax.plot([mean.low, mean.high], [y, y], color=COLOURS[i % 7], lw=2.5, zorder=3)
        ax.plot(mean.estimate, y, MARKERS[i % 7], color=COLOURS[i % 7], ms=7, mec="white", zorder=4)
    ax.set_yticks(range(len(methods)), reversed(methods))
    ax.set_ylim(-0.6, len(methods) - 0.4)
    ax.set(xlabel=f"{label} with dense, {table.network.nunique()} initialisations")
    return ax
