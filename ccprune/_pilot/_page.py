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

from ccprune._pilot._rules import Recommendation
from ccprune._pilot._runs import DENSE, SCREENED, Plan
from ccprune._util.checks import shorten
from ccprune._util.files import replacing, write_atomic
from ccprune._util.inputs import count_samples

if TYPE_CHECKING:
    from ccprune._pilot import Pilot

LANGUAGES = ("en", "ja")
#: Formats of the measures in the table, whose columns and their order are in texts.toml.
_FORMATS = {"validation": ".3f", "validation_difference": ".3f", "test_difference": ".3f", "macs": ".0%"}
_FORMATS |= {"file": ".0%", "epochs": ".0f", "seconds": ".2g", "top_k": ".2f", "speed": ".2f"}
_PANELS = ("validation", "macs", "epochs", "top_k")
_MANY = 30  # layers from which on the map's rows are lower


@cache
def _texts() -> dict[str, Any]:
    return tomllib.loads(files("ccprune._pilot").joinpath("texts.toml").read_text(encoding="utf-8"))


def sentences(plan: Plan, found: Recommendation) -> list[str]:
    """Return the recommendation in words, the answer first."""
    text = _texts()[plan.language]

    def name_network(network: tuple[str, str, float]) -> dict[str, str]:
        method, schedule, sparsity = network
        return {"method": method, "schedule": text.get(schedule, ""), "sparsity": _percent(sparsity)}

    where = name_network((found.method, found.schedule, found.sparsity))
    lines = [text[found.answer].format(margin=plan.margin, **where)]
    if found.answer == "prune":
        if found.as_good:
            lines.append(text["as_good"].format(names=", ".join(found.as_good)))
        if "random" in (found.method, *found.as_good):
            lines.append(text["random_as_good"])
        elif found.method == "magnitude" and found.as_good:
            lines.append(text["magnitude"])
        if (looks := len(plan.setting.criteria) * len(plan.schedules)) > 1:
            corrected = name_network(found.simultaneous) if found.simultaneous else {}
            lines.append(text["corrected" if corrected else "not_corrected"].format(looks=looks, **corrected))
        if found.confirmed is not None:
            lines.append(text["confirmed" if found.confirmed else "not_confirmed"])
    if found.answer == "do_not_prune":
        lines.append(text["worse"].format(count=found.worse[0], total=found.worse[1], reach=found.reach))
    if found.answer in ("prune", "do_not_prune"):
        names = ["{method} {sparsity} ({schedule})".format(**name_network(one)) for one in found.better]
        lines.append(text["better"].format(names=shorten(names)) if names else text["not_better"])
        if found.protected:
            lines.append(text["protected"].format(lowest=_percent(min(SCREENED)), names=shorten(found.protected)))
    return lines


def _percent(share: float) -> str:
    """Return a share in percent with all its digits, because 99.7% of the weights are not 100% of them."""
    return f"{100 * share:.6g}%"


def price(runs: pd.DataFrame) -> tuple[float, float] | None:
    """Return the seconds that recording and scoring took beyond plain training, and the bytes: means over the seeds."""
    found = []
    for cost in runs["price"].dropna():
        if "plain" in cost:
            scored = sum(value for key, value in cost.items() if key.startswith("score "))
            extra = max(0.0, cost["recorded"] - cost["plain"]) * cost["epochs recorded"]
            found.append((extra + scored, cost["bytes"]))
    return tuple(np.mean(found, axis=0).tolist()) if found else None


def write_page(plan: Plan, result: "Pilot") -> None:
    """Write `index.html` and its two pictures into the folder."""
    text = _texts()[plan.language]
    _save(_panels(result.table, text, plan.setting.after), plan, "panels.svg")
    _save(_layers(result.layers, result.runs, plan.sign), plan, "layers.svg")
    seeds = result.runs["seed"].nunique()
    lines = sentences(plan, result.recommendation)[1:] + _costs(plan, result, text)
    if plan.pretrained:
        lines.append(text["pretrained"].format(before=plan.setting.before))
    if seeds < len(plan.seeds):
        lines.append(text["complete"].format(done=seeds, planned=len(plan.seeds)))
    sizes = ", ".join(f"{name} {size}" for name, size in plan.data.sizes.items())
    values = {key: escape(value) for key, value in text.items() if isinstance(value, str)} | {
        "language": plan.language,
        "answer": escape(result.sentence),
        "sentences": "\n".join(f"<p>{escape(line)}</p>" for line in lines),
        "unexplained": "" if plan.explained else escape(text["no_explanation"]),
        "cells": _table(result.table, text),
        "samples": escape(text["samples"].format(sizes=sizes, seeds=seeds)),
    }
    for name in ("rule_text", "next_text", "word_text"):
        values[name] = "".join(f"<li>{escape(line)}</li>" for line in text[name])
    page = Template(files("ccprune._pilot").joinpath("page.html").read_text(encoding="utf-8"))
    write_atomic(plan.folder / "index.html", page.substitute(values))


def _costs(plan: Plan, result: "Pilot", text: dict[str, Any]) -> list[str]:
    """Return the sentences about time, energy and the price of scoring, for the recommended network."""
    found, lines = result.recommendation, []
    timed = result.runs.dropna(subset=["seconds_exported"]) if "seconds_exported" in result.runs else result.runs[:0]
    if found.answer == "prune":
        where = (timed["method"] == found.method) & (timed["schedule"] == found.schedule)
        timed = timed[where & (timed["sparsity"] == found.sparsity)]
    saved = 0.0
    if len(timed):
        best = timed.sort_values("speed_low").iloc[-1]
        faster = best["speed_low"] > 1  # also in three quarters of the repeats, which the best of many by luck is not
        saved = best["seconds_dense"] - best["seconds_exported"] if faster else 0.0
        lines.append(text["faster" if faster else "not_faster"].format(share=1 / best["speed"]))
        joules = best["joules_exported"] / best["joules_dense"] if "joules_exported" in best else np.nan
        lines.append(text["energy"].format(share=joules) if np.isfinite(joules) else text["no_energy"])
    else:
        lines.append(text["no_speed"])
    if cost := price(result.runs):
        lines.append(text["price"].format(seconds=cost[0], megabytes=cost[1] / 1e6))
        passes, batch = math.ceil(cost[0] / saved) if saved > 0 else 0, count_samples(plan.example)
        lines.append(text["paid_back" if passes else "not_paid_back"].format(passes=passes, batch=batch))
    return lines


def _table(table: pd.DataFrame, text: dict[str, Any]) -> str:
    """Return the table as HTML, with intervals in brackets where they show."""

    def format_interval(row: pd.Series, name: str) -> str:
        ends = [row.get(f"{name}{end}", np.nan) for end in ("", "_low", "_high")]
        value, low, high = (format(one, _FORMATS[name]) if np.isfinite(one) else "–" for one in ends)
        return value if low == high else f"{value} [{low}, {high}]"

    rows = []
    order = sorted(range(len(table)), key=lambda place: table.index[place][0] != DENSE)  # dense first, else as it is
    for (method, schedule, sparsity), row in table.iloc[order].iterrows():
        cells = {name: format_interval(row, name) for name in _FORMATS}
        cells |= {"method": method, "schedule": text.get(schedule, ""), "sparsity": _percent(sparsity)}
        cells |= {"as_good": text["verdicts"][int(row["as_good"]) + int(row["as_good_simultaneously"])]}
        if method == DENSE:
            cells |= dict.fromkeys(("sparsity", "validation_difference", "test_difference", "as_good"), "")
        rows.append([cells[key] for key in text["columns"]])
    return pd.DataFrame(rows, columns=list(text["columns"].values())).to_html(index=False, border=0)


def _panels(table: pd.DataFrame, text: dict[str, Any], after: int) -> Any:
    """Draw the four measures against sparsity."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(10, 6.4), layout="constrained")
    axes = figure.subplots(2, 2).flat
    table = table.assign(**{name: table[name].replace(np.inf, after + 1) for name in table if name[:6] == "epochs"})
    dense, pruned = table.xs(DENSE, level="method").iloc[0], table.drop(index=DENSE, level="method")
    lines = pruned.groupby(level=["method", "schedule"], sort=False)
    schedules = pruned.index.get_level_values("schedule").nunique()
    for title, ax, column in zip(text["titles"], axes, _PANELS, strict=True):
        for place, ((method, schedule), part) in enumerate(lines if column in table else ()):
            part = part.droplevel(["method", "schedule"]).sort_index().replace([np.inf, -np.inf], np.nan)
            values = part[column]
            low, high = (part.get(f"{column}_{end}", values) for end in ("low", "high"))
            x = part.index + 0.003 * (place - len(lines) / 2)  # so that bars do not hide each other
            style = {"color": f"C{place // schedules}", "ls": "-" if schedule == "one_shot" else "--", "marker": "o"}
            reach, label = [values - low, high - values], f"{method}, {text[schedule]}"
            ax.errorbar(x, values, yerr=reach, capsize=2, ms=4, elinewidth=0.8, label=label, **style)
        if column in table and np.isfinite(dense[column]):
            ax.axhline(dense[column], color="gray", lw=1)
        if column == "epochs":
            ax.axhline(after + 1, color="gray", lw=1, ls=":")
        ax.set_title(title, loc="left")
        ax.set_xlabel(text["share"])
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def _layers(layers: pd.DataFrame, runs: pd.DataFrame, sign: int) -> Any:
    """Draw a map of layers and sparsities with the change of the metric, the darker the worse."""
    from matplotlib.figure import Figure

    before = runs["before"].dropna().iloc[0][-1]
    change = layers.pivot(index="layer", columns="sparsity", values="validation").loc[layers["layer"].unique()] - before
    change = change.replace([np.inf, -np.inf], np.nan)
    height, size = (0.32, 10) if len(change) < _MANY else (0.17, 7)
    figure = Figure(figsize=(10, 0.8 + height * len(change)), layout="constrained")
    ax = figure.subplots()
    shown = ax.imshow(change, aspect="auto", cmap="magma" if sign > 0 else "magma_r")
    ax.set_xticks(range(change.shape[1]), [_percent(sparsity) for sparsity in change.columns])
    ax.set_yticks(range(len(change)), change.index, fontsize=size)
    ax.tick_params(top=True, labeltop=True)
    for (row, column), value in np.ndenumerate(change.to_numpy()):
        red, green, blue, _ = shown.to_rgba(value)
        color = "k" if red + green + blue > 1.5 else "w"
        ax.text(column, row, f"{value:+.3f}", ha="center", va="center", color=color, fontsize=size)
    return figure


def _save(figure: Any, plan: Plan, name: str) -> None:
    """Save a picture whose text stays text: the browser has the glyphs that matplotlib's own font lacks."""
    import matplotlib

    plain = matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "ccprune", "font.family": "sans-serif"})
    with replacing(plan.folder / name) as temporary, plain, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(temporary, format="svg", metadata={"Date": None})
