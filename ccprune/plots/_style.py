"""The one style of all figures."""

import seaborn as sns

# Okabe and Ito's colours, told apart by colour-blind readers and, by their order of lightness, in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def style() -> None:
    """The one style of all figures; call it once at the top of a notebook."""
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=list(COLOURS),
        rc={"figure.figsize": (7.0, 3.6), "figure.dpi": 90, "axes.spines.top": False, "axes.spines.right": False},
    )
