"""IPython extension that gives each figure of a run an alternative text.

The worker loads it into the kernels that it starts. The text consists of the figure's own words, so that a notebook
need not repeat them.
"""

import sys


def load_ipython_extension(shell) -> None:
    """Add the description of a matplotlib figure to the metadata of its display, from where nbconvert takes it."""
    undescribed = shell.display_formatter.format

    def describe_shown(shown, *args, **kwargs):
        data, metadata = undescribed(shown, *args, **kwargs)
        figures = sys.modules.get("matplotlib.figure")  # imported late, and not by every notebook
        if figures and isinstance(shown, figures.Figure):
            metadata.setdefault("image/png", {}).setdefault("alt", describe(shown))
        return data, metadata

    shell.display_formatter.format = describe_shown


def describe(figure) -> str:
    """Return titles, axis labels and legend entries of a matplotlib figure in one line.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> axes = figure.subplots()
    >>> _ = axes.set(xlabel="epoch", ylabel="loss")
    >>> describe(figure)
    'Figure. loss against epoch'
    """
    parts = [figure.get_suptitle()]
    for axes in figure.axes:
        up, along = axes.get_ylabel(), axes.get_xlabel()
        labels = f"{up} against {along}" if up and along else up or along
        legend = axes.get_legend()
        entries = [text.get_text() for text in legend.get_texts()] if legend else []
        words = ": ".join(filter(None, [axes.get_title(), labels, ", ".join(filter(None, entries))]))
        if words not in parts:
            parts.append(words)
    return " ".join(". ".join(filter(None, ["Figure", *parts])).split())
