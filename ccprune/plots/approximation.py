"""Figures of the measured epsilon of LEGCNet's theorem 3.1."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, ScalarFormatter

from ccprune.plots._style import COLOURS, MARKERS
from ccprune.stats import bootstrap_interval

_LABELS = {
    "epsilon_ball": "largest distance found on the ball\n(shaded: up to the certain bound)",
    "epsilon_test": "largest distance on test inputs",
}


def epsilon_by_width(
    table: pd.DataFrame, *, quantity: str = "epsilon_ball", when: str = "retrained", ax: Axes | None = None
) -> Axes:
    """Epsilon against hidden width, one line per method with 95% intervals over seeds, both axes logarithmic.

    `table` is that of `diagnostics.approximation.by_width`; quantity: "epsilon_ball", with a band from the mean found
    to the mean upper bound, or "epsilon_test". The dotted line is the noise floor: dense networks of two
    initialisations. Networks that lost no weight have epsilon 0 and no place on the axis: the title counts the others.
    Raises ValueError for another quantity or a `when` that the table has not.
    """
    if quantity not in _LABELS:
        raise ValueError(f"quantity must be one of {tuple(_LABELS)}, got {quantity!r}")
    pruned = table[(table["when"] == when) & (table.method != "dense")]
    if pruned.empty:
        raise ValueError(f"when must be 'retrained' or 'cut' and in the table, got {when!r}")
    ax = ax or plt.subplots(figsize=(7.0, 4.2))[1]
    lost = pruned[pruned.removed > 0]
    groups = [*lost.groupby("method", sort=False), ("dense, two initialisations", table[table.method == "dense"])]
    for i, (name, part) in enumerate(groups):
        dense = i == len(groups) - 1
        colour = "0.35" if dense else COLOURS[i % 7]
        widths, rows = zip(*part.groupby("width"), strict=True)
        # Side by side, not on top of each other.
        at = np.array(widths) * 1.05 ** (i - (len(groups) - 1) / 2)
        values = [row[quantity].to_numpy() for row in rows]
        mean = np.array([value.mean() for value in values])
        ax.plot(at, mean, marker=MARKERS[i % 7], ms=5, lw=1.4, color=colour, ls=":" if dense else "-", label=name)
        for x, value in zip(at, values, strict=True):
            if len(value) > 1:
                interval = bootstrap_interval(value)
                ax.plot([x, x], [interval.low, interval.high], color=colour, lw=1.2)
        if quantity == "epsilon_ball":
            upper = [row.epsilon_ball_upper.mean() for row in rows]
            ax.fill_between(at, mean, upper, color=colour, alpha=0.1, lw=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(sorted(set(table.width)))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_locator(NullLocator())
    networks = pruned.drop_duplicates(["width", "seed"])
    title = f"dense and pruned, {when}: {(networks.removed > 0).sum()} of {len(networks)} networks lost weights"
    ax.set(xlabel="hidden units", ylabel=_LABELS[quantity], title=title)
    ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2)
    return ax
