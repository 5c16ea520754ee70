"""Figure of the computed epsilon of LEGCNet's theorem 3.1."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, ScalarFormatter

from ccprune.stats import mean_interval
from replication.figures._style import legend_below, line_style

_LABELS = {
    "epsilon_ball": "largest distance of outputs\nfound on the ball (shaded:\nup to the certain bound)",
    "epsilon_test": "largest distance of outputs\non test inputs",
}


def epsilon_by_width(
    table: pd.DataFrame, *, quantity: str = "epsilon_ball", when: str = "retrained", ax: Axes | None = None
) -> Axes:
    """Draw epsilon against hidden width, one line per method with 95% intervals over seeds, on logarithmic axes.

    The dotted line is the noise floor, dense networks of two initialisations. Networks without pruned weights have
    epsilon 0, which a logarithmic axis does not have; the title gives the number of the others.

    Parameters
    ----------
    table : DataFrame
        As from `diagnostics.approximation.epsilons_by_width`.
    quantity : str, default "epsilon_ball"
        "epsilon_ball", with a band from the mean lower bound to the mean upper bound, or "epsilon_test".
    when : str, default "retrained"
        "retrained" or "cut".
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If `quantity` is unknown or `when` is not in the table.
    """
    if quantity not in _LABELS:
        raise ValueError(f"quantity must be one of {tuple(_LABELS)}, got {quantity!r}")
    pruned = table[(table["when"] == when) & (table.method != "dense")]
    if pruned.empty:
        raise ValueError(f"when must be 'retrained' or 'cut', and in the table, got {when!r}")
    ax = ax or plt.subplots(figsize=(7.0, 4.2))[1]
    lost = pruned[pruned.removed > 0]
    groups = [*lost.groupby("method", sort=False), ("dense, two initialisations", table[table.method == "dense"])]
    for i, (name, part) in enumerate(groups):
        drawn_as = line_style(i) | ({"color": "0.35", "ls": ":"} if i == len(groups) - 1 else {})
        colour = drawn_as["color"]
        widths, rows = zip(*part.groupby("width"), strict=True)
        # Shifted, so that the methods do not overlap.
        at = np.array(widths) * 1.05 ** (i - (len(groups) - 1) / 2)
        values = [row[quantity].to_numpy() for row in rows]
        mean = np.array([value.mean() for value in values])
        ax.plot(at, mean, ms=6, lw=1.4, label=name, **drawn_as)
        for x, value in zip(at, values, strict=True):
            if len(value) > 1:
                interval = mean_interval(value)
                ax.plot([x, x], [interval.low, interval.high], color=colour, lw=1.2)
        if quantity == "epsilon_ball":
            upper = [row.epsilon_ball_upper.mean() for row in rows]
            ends = {"edgecolor": (colour, 0.7), "lw": 0.7, "ls": drawn_as["ls"]}
            ax.fill_between(at, mean, upper, facecolor=(colour, 0.08), **ends)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(sorted(set(table.width)))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_locator(NullLocator())
    networks = pruned.drop_duplicates(["width", "seed"])
    title = f"dense and pruned, {when}: {(networks.removed > 0).sum()} of {len(networks)} networks lost weights"
    seeds = table.seed.nunique()
    label = f"hidden units (mean and 95% interval of up to n = {seeds} seed{'s' if seeds > 1 else ''})"
    ax.set(xlabel=label, ylabel=_LABELS[quantity], title=title)
    legend_below(ax)
    return ax
