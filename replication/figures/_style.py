"""The one style of all figures: series are told apart by colour, by marker or hatch, and by line style."""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

# Okabe and Ito's colours (jfly.uni-koeln.de/color, 2008), told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", ">")
# No dotted line among them: dotted are references, such as a level or the line of equals.
LINES = ("-", "--", "-.", (0, (7, 1, 1, 1, 1, 1)))
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "oooo")


def style() -> None:
    """The one style of all figures; call it once at the top of a notebook."""
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=list(COLOURS),
        rc={"figure.figsize": (7.0, 3.6), "figure.dpi": 90, "axes.spines.top": False, "axes.spines.right": False},
    )


def look(i: int) -> dict[str, Any]:
    """Colour, marker and line style of series i, from 0; the eighth to fourteenth have hollow markers."""
    drawn_as = {"color": COLOURS[i % 7], "marker": MARKERS[(i + i // 7) % 7], "ls": LINES[i % 4]}
    return drawn_as | ({"mfc": "white"} if i // 7 else {})


def bars(i: int) -> dict[str, Any]:
    """Colour and hatch of the bars of series i, the hatch white, and black from the eighth on."""
    return {"color": COLOURS[i % 7], "hatch": HATCHES[(i + i // 7) % 7], "edgecolor": "black" if i // 7 else "white"}


def counted(label: str, n: str | None) -> str:
    """A label with how many there are of what, such as "3 seeds"."""
    return label if n is None else f"{label}\n(n = {n})"


def cells(table: pd.DataFrame, *, text: pd.DataFrame, low: float, label: str, size: float, ax: Axes) -> None:
    """Numbers from `low` to 1 with a text in each cell; lighter is larger, in grey too."""
    options = {"annot": text, "fmt": "", "annot_kws": {"size": size}, "cbar_kws": {"label": label}}
    sns.heatmap(table, vmin=low, vmax=1, cmap="cividis", linewidths=1, ax=ax, **options)
    shades = ax.collections[0].get_facecolors()
    for words in ax.texts:
        column, row = (int(middle) for middle in words.get_position())
        # Where black and white stand out alike; seaborn writes white on greys that are too light for it.
        light = sns.utils.relative_luminance(shades[row * len(table.columns) + column]) > 0.18
        words.set_color("black" if light else "white")
    ax.set(xlabel="", ylabel="")


# Legends stand outside the axes, where no data can be.
def beside(ax: Axes) -> None:
    """Legend to the right of the axes."""
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))


def above(ax: Axes, *, ncols: int = 1, **options: Any) -> None:
    """Legend over axes that have no title."""
    ax.legend(frameon=False, fontsize=9, ncols=ncols, loc="lower center", bbox_to_anchor=(0.5, 1.0), **options)


def below(ax: Axes, *, ncols: int = 2) -> None:
    """Legend under the x label, for axes with a title."""
    # In heights of a letter: tick labels, and the lines of the label.
    away = 4.0 + 1.6 * (1 + ax.get_xlabel().count("\n"))
    options = {"ncols": ncols, "loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "borderaxespad": away}
    ax.legend(frameon=False, fontsize=9, **options)
