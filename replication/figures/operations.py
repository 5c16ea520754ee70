"""Figure of operations and measured time."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from replication.figures._style import legend_below, line_style


def time_against_operations(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw measured time, relative to the dense network, against the share of remaining multiply-adds.

    Error bars are from the first to the third quartile. On the dotted line, time is proportional to the operations.

    Parameters
    ----------
    table : DataFrame
        Rows of one task of `ccprune.measure.latency.compare`, with an additional column "work", the share macs_kept /
        macs_dense of `ccprune.measure.operations.count`.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    ax = ax or plt.subplots(figsize=(5.6, 4.2))[1]
    for i, form in enumerate(form for form in dict.fromkeys(table["form"]) if form != "dense"):
        rows = table[table["form"] == form].sort_values("work")
        dense = rows["median"] / rows["relative"]
        spread = [(rows["median"] - rows["low"]) / dense, (rows["high"] - rows["median"]) / dense]
        ax.errorbar(rows["work"], rows["relative"], yerr=spread, label=form, ms=6, lw=1.3, capsize=3, **line_style(i))
    ends = [table["work"].min(), 1.0]
    ax.plot(ends, ends, color="0.3", lw=1, ls=":", label="time as operations")
    ax.axhline(1.0, color="0.3", lw=1)
    ax.set(xscale="log", yscale="log")
    ax.set(xlabel="share of multiply-adds left (log scale)")
    ax.set(ylabel=f"time, dense = 1 (log scale)\nmedian, quartiles of n = {int(table['n'].min())} calls")
    legend_below(ax, ncols=3)
    return ax
