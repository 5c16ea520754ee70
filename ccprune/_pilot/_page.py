"""The page of a pilot: sentences in English or Japanese, two pictures and the table."""

import math
import tomllib
import warnings
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ccprune._pilot._rules import DENSE, Recommendation
from ccprune._pilot._runs import SCREENED, Plan
from ccprune._util.checks import shorten
from ccprune._util.files import replacing, write_atomic

if TYPE_CHECKING:
    from ccprune._pilot import Pilot

LANGUAGES = ("en", "ja")
_FASTER = 0.95  # share of the dense network's time below which an exported form is called faster


@cache
def _texts() -> dict[str, Any]:
    return tomllib.loads(files("ccprune._pilot").joinpath("texts.toml").read_text(encoding="utf-8"))


def sentences(found: Recommendation, margin: float, language: str) -> list[str]:
    """Return the recommendation in words, the answer first."""
    text = _texts()[language]
    where = {"method": found.method, "schedule": text.get(found.schedule, ""), "sparsity": _percent(found.sparsity)}
    lines = [text[found.answer].format(margin=margin, **where)]
    if found.answer == "prune":
        if found.as_good:
            lines.append(text["as_good"].format(names=", ".join(found.as_good)))
        if "random" in (found.method, *found.as_good):
            lines.append(text["random_as_good"])
        elif found.method == "magnitude" and found.as_good:
            lines.append(text["magnitude"])
        if found.confirmed is not None:
            lines.append(text["confirmed" if found.confirmed else "not_confirmed"])
    if found.answer == "do_not_prune":
        lines.append(text["worse"].format(count=found.worse[0], total=found.worse[1], reach=found.reach))
    if found.answer in ("prune", "do_not_prune"):
        names = [f"{method} {_percent(sparsity)} ({text[schedule]})" for method, schedule, sparsity in found.better]
        lines.append(text["better"].format(names=shorten(names)) if names else text["not_better"])
        if found.protected:
            lines.append(text["protected"].format(lowest=_percent(min(SCREENED)), names=shorten(list(found.protected))))
    return lines


def _percent(share: float) -> str:
    """Return a share in percent with all its digits, because 99.7% of the weights are not 100% of them."""
    return f"{100 * share:.6g}%"


def price(runs: pd.DataFrame) -> float | None:
    """Return the seconds that recording and scoring took beyond plain training, as the mean over the seeds."""
    found = []
    for seconds in runs["price"].dropna():
        if "plain" in seconds:
            scored = sum(value for key, value in seconds.items() if key.startswith("score "))
            found.append(max(0.0, seconds["recorded"] - seconds["plain"]) * seconds["epochs recorded"] + scored)
    return float(np.mean(found)) if found else None


def write_page(plan: Plan, result: "Pilot", *, margin: float, language: str, planned: int) -> None:
    """Write `index.html` with its two pictures into the folder."""
    text = _texts()[language]
    _save(_panels(result.table, text), plan, "panels.svg")
    _save(_layers(result.layers, result.runs, plan.sign), plan, "layers.svg")
    seeds = result.runs["seed"].nunique()
    lines = sentences(result.recommendation, margin, language)[1:] + _costs(result, text)
    if seeds < planned:
        lines.append(text["complete"].format(done=seeds, planned=planned))
    sizes = ", ".join(f"{name} {size}" for name, size in plan.data.sizes.items() if size is not None)
    page = Template(files("ccprune._pilot").joinpath("page.html").read_text(encoding="utf-8"))
    values = {key: escape(text[key]) for key in ("title", "panels", "layers", "rules", "next", "files")} | {
        "language": language,
        "answer": escape(result.sentence),
        "sentences": "\n".join(f"<p>{escape(line)}</p>" for line in lines),
        "unexplained": "" if plan.explained else escape(text["no_explanation"]),
        "table_title": escape(text["table"]),
        "table": _table(result.table, text),
        "rule_text": "".join(f"<li>{escape(line)}</li>" for line in text["rule_text"]),
        "next_text": "".join(f"<li>{escape(line)}</li>" for line in text["next_text"]),
        "samples": escape(text["samples"].format(sizes=sizes, seeds=seeds)),
    }
    write_atomic(plan.folder / "index.html", page.substitute(values))


def _costs(result: "Pilot", text: dict[str, Any]) -> list[str]:
    """Return the sentences about time, energy and the price of scoring, for the recommended network."""
    found, lines = result.recommendation, []
    runs = result.runs
    timed = runs[runs["seconds_exported"].notna()] if "seconds_exported" in runs else runs.iloc[:0]
    if found.answer == "prune":
        timed = timed[
            (timed["method"] == found.method)
            & (timed["schedule"] == found.schedule)
            & (timed["sparsity"] == found.sparsity)
        ]
    saved = 0.0
    if len(timed):
        share = float((timed["seconds_exported"] / timed["seconds_dense"]).min())
        saved = float((timed["seconds_dense"] - timed["seconds_exported"]).max()) if share < _FASTER else 0.0
        lines.append(text["faster" if share < _FASTER else "not_faster"].format(share=share))
        if "joules_exported" in timed and timed["joules_exported"].notna().any():
            lines.append(text["energy"].format(share=float((timed["joules_exported"] / timed["joules_dense"]).min())))
        else:
            lines.append(text["no_energy"])
    else:
        lines.append(text["no_speed"])
    seconds = price(runs)
    if seconds is not None:
        lines.append(text["price"].format(seconds=seconds))
        if saved > 0:
            lines.append(text["paid_back"].format(passes=math.ceil(seconds / saved), batch=result.batch))
        else:
            lines.append(text["not_paid_back"])
    return lines


def _table(table: pd.DataFrame, text: dict[str, Any]) -> str:
    """Return the table as HTML, with intervals in brackets."""

    def between(row: pd.Series, name: str) -> str:
        if pd.isna(row.get(name)):
            return "–"
        low, high = row.get(f"{name}_low", np.nan), row.get(f"{name}_high", np.nan)
        return f"{row[name]:.3f}" + ("" if pd.isna(low) else f" [{low:.3f}, {high:.3f}]")

    rows = []
    order = sorted(range(len(table)), key=lambda place: table.index[place][0] != DENSE)  # dense first, else as it is
    for (method, schedule, sparsity), row in table.iloc[order].iterrows():
        dense = method == DENSE
        shown = {
            "method": method,
            "schedule": text.get(schedule, ""),
            "sparsity": "" if dense else _percent(sparsity),
            "validation": between(row, "validation"),
            "difference": "" if dense else between(row, "validation_difference"),
            "test": "" if dense else between(row, "test_difference"),
            "macs": f"{row['macs']:.0%}",
            "file": f"{row['file']:.0%}",
            "epochs": "–" if not np.isfinite(row["epochs"]) else f"{row['epochs']:.0f}",
            "top_k": "–" if pd.isna(row.get("top_k")) else f"{row['top_k']:.2f}",
            "speed": "–" if pd.isna(row.get("speed")) else f"{row['speed']:.2f}",
            "as_good": "" if dense else text["yes" if row["as_good"] else "no"],
        }
        rows.append([shown[key] for key in text["columns"]])
    return pd.DataFrame(rows, columns=list(text["columns"].values())).to_html(index=False, border=0)


def _panels(table: pd.DataFrame, text: dict[str, Any]) -> Any:
    """Draw the four measures against sparsity."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(10, 6.4), layout="constrained")
    axes = figure.subplots(2, 2).flat
    dense = table.xs(DENSE, level="method").iloc[0]
    columns = (("validation", True), ("macs", False), ("epochs", False), ("top_k", False))
    pruned = table.drop(index=DENSE, level="method")
    for title, ax, (column, interval) in zip(text["titles"], axes, columns, strict=True):
        for place, ((method, schedule), part) in enumerate(
            pruned.groupby(level=["method", "schedule"], sort=False) if column in table else ()
        ):
            part = part.droplevel(["method", "schedule"]).sort_index()
            values = part[column].replace([np.inf, -np.inf], np.nan)
            style = {
                "color": f"C{place // pruned.index.get_level_values('schedule').nunique()}",
                "marker": "o",
                "ms": 4,
            }
            style |= {"ls": "-" if schedule == "one_shot" else "--", "label": f"{method}, {text[schedule]}"}
            if interval and f"{column}_low" in part:
                reach = [values - part[f"{column}_low"], part[f"{column}_high"] - values]
                ax.errorbar(part.index, values, yerr=reach, capsize=2, **style)
            else:
                ax.plot(part.index, values, **style)
        if column in table and np.isfinite(dense[column]):
            ax.axhline(dense[column], color="gray", lw=1)
        ax.set_title(title, loc="left")
        ax.set_xlabel(text["share"])
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _layers(layers: pd.DataFrame, runs: pd.DataFrame, sign: int) -> Any:
    """Draw a map of layers and sparsities with the change of the metric, the darker the worse."""
    from matplotlib.figure import Figure

    before = runs["before"].dropna().iloc[0][-1]
    change = layers.pivot(index="layer", columns="sparsity", values="validation").loc[layers["layer"].unique()] - before
    figure = Figure(figsize=(10, 0.8 + 0.32 * len(change)), layout="constrained")
    ax = figure.subplots()
    change = change.replace([np.inf, -np.inf], np.nan)
    shown = ax.imshow(change, aspect="auto", cmap="magma" if sign > 0 else "magma_r")
    ax.set_xticks(range(change.shape[1]), [_percent(sparsity) for sparsity in change.columns])
    ax.set_yticks(range(len(change)), change.index)
    middle = (change.min().min() + change.max().max()) / 2
    for row in range(len(change)):
        for column in range(change.shape[1]):
            value = change.iloc[row, column]
            color = "w" if sign * (value - middle) < 0 else "k"
            ax.text(column, row, f"{value:+.3f}", ha="center", va="center", color=color)
    figure.colorbar(shown)
    return figure


def _save(figure: Any, plan: Plan, name: str) -> None:
    """Save a picture whose text stays text: the browser has the glyphs that matplotlib's own font lacks."""
    import matplotlib

    plain = matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ccprune", "font.family": "sans-serif"})
    with replacing(plan.folder / name) as temporary, plain, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(temporary, format="svg", metadata={"Date": None})
