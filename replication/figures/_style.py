"""Common style of all figures. Series differ in colour, marker or hatch, and line style."""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

# Okabe and Ito's colours (jfly.uni-koeln.de/color, 2008), which colour-blind readers can distinguish.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", ">")
# Dotted lines are reserved for references, such as a significance level or the diagonal.
LINES = ("-", "--", "-.", (0, (7, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "oooo")


def style() -> None:
    """Set the common style of all figures and tables. Call it once at the beginning of a notebook."""
    pd.set_option("display.precision", 4)
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=list(COLOURS),
        rc={"figure.figsize": (7.0, 3.6), "figure.dpi": 90, "axes.spines.top": False, "axes.spines.right": False},
    )


def line_style(i: int) -> dict[str, Any]:
    """Return colour, marker and line style of series i, from 0; series 7 to 13 have hollow markers."""
    drawn_as = {"color": COLOURS[i % 7], "marker": MARKERS[(i + i // 7) % 7], "ls": LINES[i % 4]}
    return drawn_as | ({"mfc": "white"} if i // 7 else {})


def bars(i: int) -> dict[str, Any]:
    """Return colour and hatch of the bars of series i, from 0; the hatch is white, and black from series 7 on."""
    return {"color": COLOURS[i % 7], "hatch": HATCHES[(i + i // 7) % 7], "edgecolor": "black" if i // 7 else "white"}


def with_sample_size(label: str, n: str | None) -> str:
    """Return the label with the sample size, such as "3 seeds"; unchanged for None."""
    return label if n is None else f"{label}\n(n = {n})"


def heat_map(table: pd.DataFrame, *, text: pd.DataFrame, low: float, label: str, size: float, ax: Axes) -> None:
    """Draw a heat map of numbers from `low` to 1 with a text in each cell; lighter is larger, also in grey."""
    options = {"annot": text, "fmt": "", "annot_kws": {"size": size}, "cbar_kws": {"label": label}}
    sns.heatmap(table, vmin=low, vmax=1, cmap="cividis", linewidths=1, ax=ax, **options)
    shades = ax.collections[0].get_facecolors()
    for words in ax.texts:
        column, row = (int(middle) for middle in words.get_position())
        # At this luminance black and white have the same contrast. Seaborn's threshold is too high for white text.
        light = sns.utils.relative_luminance(shades[row * len(table.columns) + column]) > 0.18
        words.set_color("black" if light else "white")
    ax.set(xlabel="", ylabel="")


# Legends are outside the axes, so that they do not cover data.
def legend_beside(ax: Axes) -> None:
    """Add a legend to the right of the axes."""
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))


def legend_above(ax: Axes, *, ncols: int = 1, **options: Any) -> None:
    """Add a legend above axes without a title."""
    ax.legend(frameon=False, fontsize=9, ncols=ncols, loc="lower center", bbox_to_anchor=(0.5, 1.0), **options)


def legend_below(ax: Axes, *, ncols: int = 2) -> None:
    """Add a legend below the x label, for axes with a title."""
    # In units of the font size: tick labels and the lines of the label.
    away = 4.0 + 1.6 * (1 + ax.get_xlabel().count("\n"))
    options = {"ncols": ncols, "loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": away}
    ax.legend(frameon=False, fontsize=9, **options)
