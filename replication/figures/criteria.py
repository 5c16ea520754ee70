"""Figure of criteria on planted problems."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from replication.figures._style import heat_map


def roc_areas(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the area under the ROC curve with its interval, a row per criterion and a column per problem.

    Lighter is larger, also in grey; 0.5 is chance.

    Parameters
    ----------
    table : DataFrame
        `null.Roc.table` of one state.
    ax : Axes, optional
        By default new axes.

    Returns
    -------
    Axes
    """
    order = list(dict.fromkeys(table.criterion)), list(dict.fromkeys(table.problem))
    wide = {name: table.pivot(index="criterion", columns="problem", values=name) for name in ("auc", "low", "high")}
    wide = {name: values.loc[order] for name, values in wide.items()}
    text = wide["auc"].map("{:.2f}".format) + wide["low"].map("\n[{:.2f}, ".format) + wide["high"].map("{:.2f}]".format)
    ax = ax or plt.subplots(figsize=(1.6 + 1.6 * len(order[1]), 1.2 + 0.42 * len(order[0])))[1]
    label = f"area under the ROC curve (0.5: chance)\n[95% interval], n = {table.seeds.min()} seeds"
    heat_map(wide["auc"], text=text, low=0, label=label, size=8, ax=ax)
    ax.tick_params(length=0)
    ax.set_xticks(ax.get_xticks(), [name.replace(", ", ",\n") for name in order[1]], fontsize=10)
    return ax
