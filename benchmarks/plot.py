"""Draw speed.png and write README.md from the files in results/."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def results() -> dict[str, dict[str, Any]]:
    """Return the contents of the result files by name."""
    files = sorted((HERE / "results").glob("*.json"))
    return {file.stem: json.loads(file.read_text()) for file in files}


def draw(contents: dict[str, dict[str, Any]]) -> None:
    """Draw a bar per claim of speed, with the measured factor to the peer and the claimed one."""
    import matplotlib.pyplot as plt

    bars = [claim for content in contents.values() for claim in content["claims"] if claim["least"] is not None][::-1]
    figure, axes = plt.subplots(figsize=(9, 0.4 * len(bars) + 1), layout="constrained")
    colours = ["#4477aa" if claim["holds"] else "#cc3311" for claim in bars]
    hatches = ["" if claim["holds"] else "////" for claim in bars]
    measured = [claim["measured"] for claim in bars]
    axes.barh(range(len(bars)), measured, color=colours, hatch=hatches, edgecolor="white")
    for place, claim in enumerate(bars):
        wanted = [claim["least"]] * 2
        axes.plot(wanted, [place - 0.4, place + 0.4], color="black", lw=2, label=None if place else "claim: at least")
        text = f"{number(claim['measured'])}x"
        axes.annotate(
            text, (claim["measured"], place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(range(len(bars)), [claim["text"] for claim in bars], fontsize=8)
    axes.set(xscale="log", xlim=(0.5, 4 * max(claim["measured"] for claim in bars)), xlabel="times as fast as the peer")
    axes.axvline(1, color="0.5", lw=1, ls=":")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "speed.png", dpi=130)


def table(rows: list[dict[str, Any]]) -> list[str]:
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


def claim_line(claim: dict[str, Any]) -> str:
    """Return a claim as a line of the page."""
    wanted = f"at least {claim['least']:g}" if claim["least"] is not None else f"at most {claim['most']:g}"
    verdict = "" if claim["holds"] else ": **does not hold**"
    return f"- {claim['text']}: {number(claim['measured'])} (claim: {wanted}){verdict}"


def number(value: float) -> str:
    """Format a number with three significant digits, or without decimals from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def readme(contents: dict[str, dict[str, Any]]) -> str:
    """Return the page, from the result files' contents by name."""
    claims = [claim for content in contents.values() for claim in content["claims"]]
    lines = [
        "# Benchmarks",
        "",
        "Each script tests claims of speed. It measures ccprune and its peers in one run, on the same data, and",
        "compares their results before it writes a file. `make bench` runs all scripts and writes `results/`,",
        "`speed.png` and this page (`plot.py`).",
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
        lines += [f"## {name}", "", *map(claim_line, content["claims"]), "", *table(content["rows"])]
        lines += [
            "",
            f"{environment['processor']}, {environment['cores']} cores, load {environment['load_at_end']} at the end, "
            f"device {environment['device']}; "
            f"Python {environment['python']}, torch {packages['torch']}, numba {packages['numba']}, "
            f"NumPy {packages['numpy']}, statsmodels {packages['statsmodels']}; commit {environment['commit'][:10]}.",
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    """Write the picture and the page."""
    contents = results()
    draw(contents)
    (HERE / "README.md").write_text(readme(contents))


if __name__ == "__main__":
    main()
