"""Picture of all published figures against ours."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from replication.ledger import AUTHORS

# Okabe and Ito's palette; in grey, the marks differ by shape and filling.
_MARKS = {
    "identical": ("#0072B2", "o"),
    "within_noise": ("#009E73", "s"),
    "outside": ("#D55E00", "v"),
    "underspecified": ("#7F7F7F", "D"),
}
# Units by the first word of a quantity; all others are numbers without a unit.
_UNITS = {"accuracy": "share", "epochs": "epochs", "kept": "weights"}


def verdict_figure(rows: Sequence[dict[str, Any]]) -> str:
    """Return `draw` as SVG. The same rows give the same text."""
    import matplotlib

    # With a fixed salt, and without date and creator, the same results give the same bytes.
    text = io.StringIO()
    with _plain(), matplotlib.rc_context({"svg.hashsalt": "ccprune", "svg.fonttype": "none"}):
        draw(rows).savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def draw(rows: Sequence[dict[str, Any]]) -> Any:
    """Draw published figures (x) against ours (y), with intervals, a panel per quantity.

    Parameters
    ----------
    rows : sequence of dict
        Rows of verdicts.csv with a published figure. Those without a figure of ours are counted in the title.

    Returns
    -------
    Figure
        A figure of matplotlib that does not depend on the caller's style.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    quantities = list(dict.fromkeys(row["quantity"] for row in rows))
    columns = min(3, len(quantities))
    lines = -(-len(quantities) // columns)
    with _plain():
        figure = Figure(figsize=(3.3 * columns, 3.3 * lines + 0.6), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.12)
        axes = figure.subplots(lines, columns, squeeze=False).ravel()
        for axis, quantity in zip(axes, quantities, strict=False):
            chosen = [row for row in rows if row["quantity"] == quantity]
            drawn = [row for row in chosen if row["ours"] is not None]
            lost = f" ({len(chosen) - len(drawn)} without a figure)" if len(drawn) < len(chosen) else ""
            _panel(axis, drawn, quantity.replace("_", " ") + lost, unit=_UNITS.get(quantity.partition("_")[0]))
        for axis in axes[len(quantities) :]:
            axis.set_visible(False)
        present = [
            verdict for verdict in _MARKS if any(row["verdict"] == verdict and row["ours"] is not None for row in rows)
        ]
        handles = [
            Line2D([], [], color=_MARKS[v][0], marker=_MARKS[v][1], linestyle="", label=v.replace("_", " "))
            for v in present
        ]
        for label, fill in (("authors' files", "full"), ("ours, 95% interval", "none")):
            handles.append(Line2D([], [], color="#333333", marker="o", fillstyle=fill, linestyle="", label=label))
        handles.append(Line2D([], [], color="#BBBBBB", linewidth=1, label="as published"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


@contextmanager
def _plain() -> Iterator[None]:
    import matplotlib
    from matplotlib import style

    with style.context("default"), matplotlib.rc_context({"font.size": 9}):
        yield


def _panel(axis: Any, rows: list[dict[str, Any]], title: str, *, unit: str | None = None) -> None:
    ends = [row[name] for row in rows for name in ("published", "ours", "ci_low", "ci_high")]
    ends = [end for end in ends if end is not None] or [0.0]
    low, high = min(ends), max(ends)
    margin = 0.06 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    wide = low > 0 and high > 100 * low
    if wide:
        limits = (low / 1.5, 1.5 * high)
        axis.set(xscale="log", yscale="log")
    axis.plot(limits, limits, color="#BBBBBB", linewidth=1, zorder=0)
    for row in rows:
        colour, marker = _MARKS[row["verdict"]]
        x, y = row["published"], row["ours"]
        if row["ci_low"] is not None:
            axis.plot([x, x], [row["ci_low"], row["ci_high"]], color=colour, linewidth=1)
        fill = "full" if row["profile"] == AUTHORS else "none"
        axis.plot(x, y, color=colour, marker=marker, fillstyle=fill, markersize=6, linestyle="")
    sample = f"n = {len(rows)}" if unit is None else f"{unit}; n = {len(rows)}"
    axis.set(xlim=limits, ylim=limits, aspect="equal", title=title, xlabel=f"published ({sample})", ylabel="re-run")
    if not wide:
        axis.locator_params(nbins=5)
