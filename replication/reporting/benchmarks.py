"""Page and picture of the benchmarks, made from the result files in benchmarks/results."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from replication.ledger.reading import read_json, read_text
from replication.ledger.storage import as_json, signature

PAGE, PICTURE = "README.md", "speed.png"

Contents = Mapping[str, Mapping[str, Any]]


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the result files of a folder of benchmarks.

    Parameters
    ----------
    folder : Path
        Folder that holds `results`.

    Returns
    -------
    dict of dict
        Content of each file, by its name without the ending.

    Raises
    ------
    ValueError
        If a file is not a JSON object.
    """
    return {path.stem: read_json(path) for path in sorted(folder.glob("results/*.json"))}


def problems(path: Path) -> Iterator[str]:
    """Yield what is wrong with a result file of a benchmark."""
    try:
        content = read_json(path)
        if content["signature"] != signature(content):
            yield "it was changed after it was written"
        elif as_json(content) != read_text(path):
            yield "it is not as `make bench` writes it"
        for claim in content["claims"]:
            least, most, measured = claim["least"], claim["most"], claim["measured"]
            if claim["holds"] != ((least is None or measured >= least) and (most is None or measured <= most)):
                yield f"the outcome of {claim['text']!r} does not follow from its number"
    except (ValueError, KeyError, TypeError) as error:
        yield f"it is no result of a benchmark: {error!r}"


def draw(contents: Contents) -> bytes:
    """Draw a bar per claim of speed, with the measured factor to the peer and the claimed one, and return the PNG."""
    from matplotlib import style
    from matplotlib.figure import Figure

    bars = [claim for content in contents.values() for claim in content["claims"] if claim["least"] is not None][::-1]
    colours = ["#4477aa" if claim["holds"] else "#cc3311" for claim in bars]
    hatches = ["" if claim["holds"] else "////" for claim in bars]
    measured = [claim["measured"] for claim in bars]
    with style.context("default"):  # independent of the caller's style
        figure = Figure(figsize=(9, 0.4 * len(bars) + 1), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(bars)), measured, color=colours, hatch=hatches, edgecolor="white")
        for place, claim in enumerate(bars):
            wanted = [claim["least"]] * 2
            axes.plot(
                wanted, [place - 0.4, place + 0.4], color="black", lw=2, label=None if place else "claim: at least"
            )
            text = f"{_number(claim['measured'])}x"
            axes.annotate(
                text, (claim["measured"], place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
            )
        axes.set_yticks(range(len(bars)), [claim["text"] for claim in bars], fontsize=8)
        axes.set(
            xscale="log", xlim=(0.5, 4 * max(claim["measured"] for claim in bars)), xlabel="times as fast as the peer"
        )
        axes.axvline(1, color="0.5", lw=1, ls=":")
        axes.legend(loc="lower right", frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=130)
    return picture.getvalue()


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a table in Markdown with one row per measurement."""
    lines = ["| task | tool | size | seconds | peak MB | error | note |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        seconds, peak, error = row["seconds"], row["peak_mb"], row["error_vs_oracle"]
        cells = [
            *(row[name] for name in ("task", "tool", "size")),
            "not measured" if seconds is None else f"{seconds:.3g}",
            "" if peak is None else f"{peak:.0f}",
            "" if error is None else f"{error:.0e}",
            row["note"],
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _claim_line(claim: dict[str, Any]) -> str:
    """Return a claim as a line of the page."""
    wanted = f"at least {claim['least']:g}" if claim["least"] is not None else f"at most {claim['most']:g}"
    verdict = "" if claim["holds"] else ": **does not hold**"
    return f"- {claim['text']}: {_number(claim['measured'])} (claim: {wanted}){verdict}"


def _number(value: float) -> str:
    """Format a number with three significant digits, or without decimals from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def readme(contents: Contents) -> str:
    """Return the page, from the result files' contents by name."""
    claims = [claim for content in contents.values() for claim in content["claims"]]
    lines = [
        "# Benchmarks",
        "",
        "Each script but `one_shot` tests claims of speed. It measures ccprune and its peers in one run, on the same",
        "data, and compares their results before it writes a file. `one_shot` measures the loss of networks that are",
        "pruned without retraining: *update* is a correction of the remaining weights, and 95% intervals are over",
        "networks. `make bench` runs all scripts and writes `results/`, `speed.png` and this page (`plot.py`).",
        "",
        "The column *seconds* is the shortest of a few repeats. *peak MB* is the memory that the repeats added to the",
        "process. *error* is the error against a reference; the note defines it.",
        "",
        f"{sum(claim['holds'] for claim in claims)} of {len(claims)} claims hold in these results. Results on a GPU",
        "are marked by their device; without such a mark nothing was measured on a GPU.",
        "",
        "![Speed](speed.png)",
        "",
    ]
    for name, content in contents.items():
        environment = content["environment"]
        packages = environment["packages"]
        lines += [f"## {name}", "", *map(_claim_line, content["claims"]), "", *_table(content["rows"])]
        lines += [
            "",
            f"{environment['processor']}, {environment['cores']} cores, load {environment['load_at_end']} at the end, "
            f"device {environment['device']}; "
            f"Python {environment['python']}, torch {packages['torch']}, numba {packages['numba']}, "
            f"NumPy {packages['numpy']}, statsmodels {packages['statsmodels']}; commit {environment['commit'][:10]}.",
            "",
        ]
    return "\n".join(lines)
