"""Figures of SHAP values and of the agreement of networks on them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from numpy.typing import ArrayLike

from ccprune.stats import mean_interval
from replication.figures._style import bars, legend_beside, line_style, with_sample_size
from replication.ledger.cell import NOISE_FLOOR


def beeswarm(
    values: ArrayLike, features: ArrayLike, *, names: Sequence[str], label: str, ax: Axes | None = None
) -> Axes:
    """Draw shap's beeswarm plot of one output, a dot for each sample, coloured by the feature's value (large = light).

    Features are in descending order of importance. All after the ninth are added up if there are more than ten.

    Parameters
    ----------
    values, features : array_like (n, d)
        SHAP values of the output, and the features.
    names : sequence of str
        Names of the features.
    label : str
        Name of the output.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    from replication.diagnostics._shap import shap  # slow to import, and not needed by the other figures

    ax = ax or plt.subplots(figsize=(6.0, 0.38 * min(len(names), 10) + 1.2))[1]
    explanation = shap.Explanation(np.asarray(values), data=np.asarray(features), feature_names=list(names))
    # shap scatters the dots with the global generator.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        shap.plots.beeswarm(explanation, ax=ax, plot_size=None, show=False, s=10, color=_dark_to_light())
    finally:
        np.random.set_state(state)
    ax.set_xlabel(f"SHAP value, in units of the output\n({label}; n = {len(explanation)} samples)", fontsize=10)
    ax.tick_params(labelsize=9)
    return ax


def _dark_to_light() -> ListedColormap:
    """Return cividis without its light end. shap's blue and red have the same grey."""
    return ListedColormap(plt.get_cmap("cividis")(np.linspace(0, 0.9, 256)))


def bar(
    importances: Mapping[str, ArrayLike], *, names: Sequence[str], n: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw global importances, one bar per method and feature, in the order of the first method's importances.

    Parameters
    ----------
    importances : mapping of str to array_like (d,)
        Global importances by method.
    names : sequence of str
        Names of the d features.
    n : str, optional
        Sample of the means, such as "10 networks".
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(6.0, 0.12 * len(names) * (len(importances) + 1) + 1.2))[1]
    order = np.argsort(np.asarray(next(iter(importances.values()))))
    height = 0.8 / len(importances)
    for i, (method, values) in enumerate(importances.items()):
        at = np.arange(len(names)) + 0.4 - (i + 0.5) * height
        ax.barh(at, np.asarray(values)[order], height, label=method, lw=0.4, **bars(i))
    ax.set_yticks(range(len(names)), [names[i] for i in order])
    ax.set(xlabel=with_sample_size("importance, mean |SHAP value| summed over outputs", n))
    legend_beside(ax)
    return ax


def agreements(
    table: pd.DataFrame,
    *,
    quantity: str = "spearman",
    label: str = "Spearman's rank correlation",
    ax: Axes | None = None,
) -> Axes:
    """Draw the agreement with the dense network: a dot for each network, and each method's mean and 95% interval.

    The band is the interval of the noise floor, which is two dense networks of different initialisations.

    Parameters
    ----------
    table : DataFrame
        As from `shap_runs.agreements`.
    quantity : str, default "spearman"
        Column to draw.
    label : str, default "Spearman's rank correlation"
        Name of the quantity.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    methods = [name for name in dict.fromkeys(table.method) if name != NOISE_FLOOR]
    ax = ax or plt.subplots(figsize=(6.4, 0.4 * len(methods) + 1.4))[1]
    noise = mean_interval(table[table.method == NOISE_FLOOR][quantity])
    ax.axvspan(noise.low, noise.high, color="0.85", zorder=0, lw=0)
    ax.axvline(noise.estimate, color="0.4", lw=1, ls=":", zorder=1)
    for y, method in enumerate(reversed(methods)):
        drawn_as = line_style(methods.index(method))
        colour, marker = drawn_as["color"], drawn_as["marker"]
        values = table[table.method == method][quantity].to_numpy()
        mean = mean_interval(values)
        scatter = np.random.default_rng(0).uniform(-0.25, 0.25, len(values))
        ax.plot(values, y + scatter, ".", color=colour, alpha=0.5, ms=5, zorder=2)
        ax.plot([mean.low, mean.high], [y, y], color=colour, lw=2.5, zorder=3)
        ax.plot(mean.estimate, y, marker, color=colour, ms=10, mec="white", mew=0.6, zorder=4)
    ax.set_yticks(range(len(methods)), reversed(methods))
    ax.set_ylim(-0.6, len(methods) - 0.4)
    count = f"n = {table.network.nunique()} initialisations"
    legend = "dots: each, marks: mean and 95% interval; shaded: of two dense networks"
    ax.set_xlabel(f"{label} with the dense network, {count}\n{legend}", fontsize=10)
    return ax
