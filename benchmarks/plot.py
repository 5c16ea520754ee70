"""Draws speed.png and writes README.md, from the files in results/ alone."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
# Result file, row it is compared with, claim: at least so many times as fast.
CLAIMS = {
    "lyapunov": ("nolds", "slope of S(0..19)", 20, "Lyapunov exponents, per series"),
    "granger": ("statsmodels, 1 thread(s)", "chi-squared SSR test", 100, "Granger tests"),
    "training": ("NumPy loop", "training", 30, "per-sample training, per network"),
}
MINUTES = 20  # claim for pipeline.json, 200 seeds
SECONDS = 60  # claim for legcnet_mnist.json
NUMBERS, PERCENT = 3, 10  # claims for recorder.json, its ResNet-18


def results() -> dict[str, dict[str, Any]]:
    files = sorted((HERE / "results").glob("*.json"))
    return {file.stem: json.loads(file.read_text()) for file in files}


def ratios(rows: list[dict[str, Any]], peer: str, task: str) -> list[tuple[str, float]]:
    slow = [row["seconds"] for row in rows if row["tool"] == peer]
    ours = [row for row in rows if row["task"] == task and row["tool"].startswith("ccprune")]
    return [(row["tool"], slow[0] / row["seconds"]) for row in ours] if slow else []


def draw(found: dict[str, dict[str, Any]]) -> None:
    bars = [
        (f"{title}\n{tool}, against {peer.split(',')[0]}", ratio, target)
        for name, (peer, task, target, title) in CLAIMS.items()
        if name in found
        for tool, ratio in ratios(found[name]["rows"], peer, task)
    ][::-1]
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(bars) + 1), layout="constrained")
    axes.barh(range(len(bars)), [ratio for _, ratio, _ in bars], color="#4477aa")
    for place, (_, ratio, target) in enumerate(bars):
        axes.plot(
            [target, target], [place - 0.4, place + 0.4], color="#cc3311", lw=2, label="claim" if not place else None
        )
        axes.annotate(
            f"{ratio:.0f}x", (ratio, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(range(len(bars)), [label for label, _, _ in bars], fontsize=8)
    axes.set(xscale="log", xlim=(1, 4 * max(ratio for _, ratio, _ in bars)), xlabel="times as fast as the peer")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(HERE / "speed.png", dpi=130)


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| task | tool | size | seconds | peak MB | error | note |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        peak, error = row["peak_mb"], row["error_vs_oracle"]
        cells = [
            *(row[name] for name in ("task", "tool", "size")),
            f"{row['seconds']:.3g}",
            "" if peak is None else f"{peak:.0f}",
            "" if error is None else f"{error:.0e}",
            row["note"],
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def readme(found: dict[str, dict[str, Any]]) -> str:
    lines = [
        "# Benchmarks",
        "",
        "One script per claim of speed; ours and the peers in one run, on the same data, their answers compared before",
        "anything is written. `make bench` runs them all and writes `results/`, `speed.png` and this page (`plot.py`).",
        "Seconds are the best of a few repeats; peak MB is what the repeats added to the memory of the process.",
        "",
        "![Speed](speed.png)",
        "",
    ]
    for name, content in found.items():
        environment = content["environment"]
        packages = environment["packages"]
        lines += [f"## {name}", ""]
        if name in CLAIMS:
            peer, task, target, title = CLAIMS[name]
            reached = "; ".join(f"{tool}: {ratio:.0f}x" for tool, ratio in ratios(content["rows"], peer, task))
            lines += [f"{title}: claim at least {target} times {peer}. {reached or 'Not compared: see the note'}.", ""]
        if name == "pipeline":
            total = sum(row["seconds"] for row in content["rows"]) / 60
            lines += [
                f"Claim: 200 networks x 6 datasets within {MINUTES} minutes. Total here: {total:.1f} minutes.",
                "",
            ]
        if name == "legcnet_mnist":
            lines += [f"Claim: within {SECONDS} s and 4 GB on 2 cores, training included.", ""]
        if name == "recorder":
            lines += [
                f"Claim: recording consecutive steps for `lasso.Screen` holds at most {NUMBERS} numbers per weight",
                f"and adds at most {PERCENT}% to an SGD step of ResNet-18 at batch 512. Seconds are medians here;",
                "a step that is faster with recording says how much of the difference is noise.",
                "",
            ]
        lines += table(content["rows"])
        lines += [
            "",
            f"{environment['processor']}, {environment['cores']} cores, load {environment['load_at_end']} at the end; "
            f"Python {environment['python']}, torch {packages['torch']}, numba {packages['numba']}, "
            f"NumPy {packages['numpy']}, statsmodels {packages['statsmodels']}; commit {environment['commit'][:10]}.",
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    found = results()
    draw(found)
    (HERE / "README.md").write_text(readme(found))


if __name__ == "__main__":
    main()
