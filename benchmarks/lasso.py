"""The Granger-Lasso beside its peers: the exact solution, the authors' steps, and the screen that stores nothing.

Every tool runs in a process of its own, with the same records made there from the seed, so that its peak memory is its
own: what the call adds to the records' float32. Squared changes share a factor per step, as in training. The exact
solvers stop at a relative duality gap of 1e-6 by their own certificate (skglm has none: at a violation of 1e-4 of the
penalty); the gap shown is ours, from the residual, for all. Copies that a peer wants of X are timed apart. Compiled
code is warmed up on a small problem.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import _common
import numpy as np
import torch
from _lasso_peers import GAP, SMALL, SOLVERS, STEPPERS, records, stack_records
from torch import Tensor

from ccprune.lasso import Screen, duality_gap, lambda_max, objective
from ccprune.lasso.problem import correlation

EXACT = [(50, 10**5), (100, 10**6), (1000, 10**5), (100, 10**7)]
STEPS = [(500, 10**5), (500, 10**6), (100, 10**7)]
LARGEST, LARGEST_STEPS = 2 * 10**8, 5 * 10**8  # entries of X up to which all peers run
LIMIT = 45  # seconds that a peer is given, beside the making of the records
SHARE = 0.1  # penalty of the exact solvers, of lambda_max
CLAIMED = 1.0  # times as fast as celer at T = 100, P = 10^6


def solve(tool: str, count: int, weights: int) -> tuple[dict[str, Any], Tensor]:
    """One exact solution in this process: its figures, and which weights are in it."""
    small = stack_records(20, 2000, 1.0)
    X, y = stack_records(count, weights, 1.0)
    alpha = SHARE * lambda_max(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        SOLVERS[tool](*small, SHARE * lambda_max(*small))()
        seconds: list[float] = []

        def whole() -> Tensor:
            begin = time.perf_counter()
            call = SOLVERS[tool](X, y, alpha)
            seconds.append(time.perf_counter() - begin)
            return call()

        coef, both, peak = _common.measure(whole, repeats=1, warm_up=False)
    answer = {
        "seconds": both - seconds[0],
        "copying": seconds[0],
        "peak_mb": peak,
        "gap": duality_gap(X, y, coef, alpha).relative,
        "objective": objective(X, y, coef, alpha) / objective(X, y, torch.zeros(weights), alpha),
    }
    return answer, coef != 0


SCREEN = "ccprune, Screen"


def screen(count: int, weights: int) -> tuple[dict[str, Any], Tensor]:
    """The screen's mask at the median of its scores, from records that are never held together."""
    took = 0.0

    def stream_records() -> tuple[Screen, Tensor]:
        nonlocal took
        store = Screen(dtype=torch.float32)
        for loss, change in records(count, weights, SMALL):
            begin = time.perf_counter()
            store.update(loss, {"w": change})
            took += time.perf_counter() - begin
        begin = time.perf_counter()
        alpha = penalty(torch.cat([score.view(-1) for score in store.scores.values()]))
        keep = store.mask(alpha).keep["w"]
        took += time.perf_counter() - begin
        return store, keep

    (store, keep), _, peak = _common.measure(stream_records, repeats=1, warm_up=False)
    return {"seconds": took, "copying": 0.0, "peak_mb": peak, "ratio": store.condition().ratio}, keep


def penalty(scores: Tensor) -> float:
    """What half of the weights pass."""
    return float(scores.median())


def descend(tool: str, count: int, weights: int) -> tuple[dict[str, Any], Tensor]:
    """Which weights the authors' steps keep, by one solver, in this process."""
    if tool == SCREEN:
        return screen(count, weights)
    small = stack_records(20, 2000, SMALL)
    STEPPERS[tool](*small, penalty(correlation(*small).abs()))()
    X, y = stack_records(count, weights, SMALL)
    alpha = penalty(correlation(X, y).abs())
    seconds: list[float] = []

    def whole() -> Tensor:
        begin = time.perf_counter()
        call = STEPPERS[tool](X, y, alpha)
        seconds.append(time.perf_counter() - begin)
        return call()

    keep, both, peak = _common.measure(whole, repeats=1, warm_up=False)
    return {"seconds": both - seconds[0], "copying": seconds[0], "peak_mb": peak}, keep


def in_a_process(kind: str, tool: str, count: int, weights: int, folder: Path) -> dict[str, Any] | str:
    """What the tool found, or why it found nothing."""
    file = folder / "kept.npy"
    command = [sys.executable, __file__, "--process", kind, tool, str(count), str(weights), str(file)]
    # The records take a second per 10^8 entries; a peer is not blamed for that.
    limit = None if tool.startswith("ccprune") else LIMIT + 20 + count * weights / 2e7
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"not finished within {LIMIT} s"
    if answer.returncode:
        return f"it fails: {(answer.stderr.strip().splitlines() or ['no message'])[-1][:200]}"
    return json.loads(answer.stdout.splitlines()[-1]) | {"kept": np.load(file)}


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def compare_exact(count: int, weights: int, folder: Path) -> tuple[list[dict], list[dict]]:
    task, size = "exact Lasso", f"{count} records x {weights} weights"
    tools = list(SOLVERS) if count * weights <= LARGEST else ["ccprune", "celer"]
    found = {tool: in_a_process("exact", tool, count, weights, folder) for tool in tools}
    ours = found["ccprune"]
    if isinstance(ours, str) or ours["gap"] > GAP:
        raise SystemExit(f"ccprune at {size}: {ours}")
    rows = []
    for tool, theirs in found.items():
        if isinstance(theirs, str):
            rows.append(_common.row(task, tool, size, None, note=theirs))
            continue
        # Two objectives can differ by the larger of two gaps, no more.
        if abs(theirs["objective"] - ours["objective"]) > 1.01 * max(theirs["gap"], ours["gap"]) + 1e-12:
            raise SystemExit(f"{tool} at {size} has another minimum: {theirs['objective']} and {ours['objective']}")
        copying = f"; and {theirs['copying']:.2g} s to copy X to float64" if tool != "ccprune" else ""
        note = (
            f"{theirs['kept'].sum()} weights, Jaccard with ours {jaccard(theirs['kept'], ours['kept']):.2f}"
            f"{copying}; error: relative duality gap"
        )
        rows.append(_common.row(task, tool, size, theirs["seconds"], theirs["peak_mb"], theirs["gap"], note))
    if isinstance(found["celer"], str):
        return rows, []
    text = f"exact Lasso, {size}, times as fast as celer without its copy of X"
    least = CLAIMED if (count, weights) == (100, 10**6) else None
    ratio = found["celer"]["seconds"] / ours["seconds"]
    return rows, [_common.claim(text, ratio, least=least)] if least else []


def compare_steps(count: int, weights: int, folder: Path) -> list[dict]:
    task, size = "the authors' steps", f"{count} records x {weights} weights"
    tools = [SCREEN, *STEPPERS] if count * weights <= LARGEST_STEPS else [SCREEN]
    found = {tool: in_a_process("steps", tool, count, weights, folder) for tool in tools}
    rows, oracle = [], found.get("ccprune, truncated_gradient")
    for tool, theirs in found.items():
        if isinstance(theirs, str):
            rows.append(_common.row(task, tool, size, None, note=theirs))
            continue
        error, note = None, "no record is held; MB: with the record that is added"
        if tool != SCREEN:
            note = f"X held besides, {4 * count * weights / 2**20:.0f} MB"
        if tool.startswith("scikit-learn"):
            note += f", copied to float64 in {theirs['copying']:.2g} s"
        if oracle is not None and not isinstance(oracle, str):
            error = 1 - jaccard(theirs["kept"], oracle["kept"])
            note += "; error: 1 - Jaccard of what is kept, with truncated_gradient's"
            if error > (0.1 if tool == SCREEN else 1e-5):
                raise SystemExit(f"{tool} at {size} keeps other weights: {error}")
        rows.append(_common.row(task, tool, size, theirs["seconds"], theirs["peak_mb"], error, note))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=10**9, help="entries of X up to which sizes are run (all)")
    parser.add_argument("--process", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.process:
        kind, tool, count, weights, file = arguments.process
        answer, keep = (solve if kind == "exact" else descend)(tool, int(count), int(weights))
        np.save(file, keep.numpy())
        print(json.dumps(answer))
        return
    rows, claims = [], []
    with tempfile.TemporaryDirectory() as folder:
        for count, weights in EXACT:
            if count * weights <= arguments.largest:
                found = compare_exact(count, weights, Path(folder))
                rows, claims = rows + found[0], claims + found[1]
        for count, weights in STEPS:
            if count * weights <= arguments.largest:
                rows += compare_steps(count, weights, Path(folder))
    _common.save("lasso", rows, claims)


if __name__ == "__main__":
    main()
