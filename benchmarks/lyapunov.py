"""Lyapunov exponents, per series, beside nolds, neurokit2 and TISEAN's C program.

nolds and TISEAN get the same definition as ours: embedding dimension 2, delay 1, no Theiler window, the slope of
S(0..19) by least squares (nolds also by RANSAC, which has no oracle: it draws at random). neurokit2 cannot be told that
no pair is too close in time, so its answers are not ours and are not compared. Peers take one series at a time and are
measured on a subset, seconds scaled to all. LEGCNet's own exponent, S(1) - S(0), which no peer offers, is timed up to
ten million windows.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import _common
import numba
import numpy as np
import torch

from ccprune import lyapunov
from replication.networks import trajectory

LAST = 19
OPTIONS = {"steps": LAST, "fit": (0, LAST), "min_range": 0.0}
SUBSET = {50: 200, 200: 60}  # series that a peer gets, by their length
NOLDS, CLAIMED = "nolds", {50: 100, 200: 40}  # times nolds-poly, per series, in float64
MANY, SECONDS, GIGABYTES = 10_000_000, 15, 4
TASK = "slope of S(0..19)"


def weights() -> torch.Tensor:
    """Trajectories of the cancer network's 60 weights, a row per step."""
    data, settings, ensemble = _common.cancer()
    return trajectory.record(ensemble, data.x_train, data.y_train, steps=149 * 180 + 199, lr=settings.lr)[0]


def peers(length: int) -> dict[str, tuple[Callable[[np.ndarray], float] | None, str]]:
    """By name: the slope of one series, and a note; None where the peer cannot be had, and the note says why."""
    found: dict[str, tuple[Callable[[np.ndarray], float] | None, str]] = {}
    same = {"emb_dim": 2, "lag": 1, "min_tsep": 0, "trajectory_len": LAST + 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import nolds
        except ImportError as error:
            found[NOLDS] = None, f"it cannot be imported: {error}"
        else:
            found[NOLDS] = (lambda one: nolds.lyap_r(one, **same, fit="poly")), "poly"
            found["nolds, RANSAC"] = (lambda one: nolds.lyap_r(one, **same, fit="RANSAC")), "not compared: random"
        try:
            import neurokit2
        except ImportError as error:
            found["neurokit2"] = None, f"it cannot be imported: {error}"
        else:
            found["neurokit2"] = (
                (
                    lambda one: neurokit2.complexity_lyapunov(
                        one, dimension=2, delay=1, separation=1, len_trajectory=LAST + 1
                    )
                ),
                "not compared: its pairs are more than one step apart",
            )
    return found


def tisean(series: np.ndarray) -> tuple[np.ndarray, float]:
    """Slopes by TISEAN's lyap_r, and its seconds without those that a process takes to start."""
    with tempfile.TemporaryDirectory() as folder:

        def run(one: np.ndarray) -> tuple[np.ndarray, float]:
            path = Path(folder, "series.dat")
            np.savetxt(path, one, fmt="%.17g")
            command = ["lyap_r", "-m2", "-d1", "-t0", f"-s{LAST}", "-V0", f"-o{path}.out", str(path)]
            begin = time.perf_counter()
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            return np.loadtxt(f"{path}.out")[:, 1], time.perf_counter() - begin

        start = min(run(series[0, : LAST + 5])[1] for _ in range(20))
        answers = [run(one) for one in series]
    slopes = [np.polyfit(range(LAST + 1), curve, 1)[0] for curve, _ in answers]
    return np.array(slopes), sum(max(0.0, seconds - start) for _, seconds in answers)


def multiplications(length: int, steps: int, upto: int) -> int:
    """Multiplications and divisions of comparing all pairs of one series, and of its curve up to S(upto)."""
    points = length - 1 - steps
    return length + points * (points - 1) + 3 * points * (upto + 1)


def against_peers(series: torch.Tensor) -> tuple[list[dict], list[dict]]:
    length = series.shape[1]
    size = f"{len(series)} series of {length}"
    every = max(1, len(series) // SUBSET[length])
    picked = torch.arange(0, len(series), every)[: SUBSET[length]]
    subset = [one.numpy() for one in series[picked]]
    scale, some = len(series) / len(subset), f"measured on {len(subset)} of the series; one thread"
    rows, slow, theirs = [], {}, {}
    for name, (call, note) in peers(length).items():
        if call is None:
            rows.append(_common.row(TASK, name, size, None, note=note))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers, seconds, peak = _common.measure(
                lambda c=call: [c(one) for one in subset], repeats=2, warm_up=False
            )
        slow[name] = seconds * scale
        if "not compared" not in note:
            theirs[name] = np.array(answers)
        rows.append(_common.row(TASK, name, size, slow[name], peak, None, f"{some}; {note}"))
    if shutil.which("lyap_r"):
        theirs["TISEAN"], seconds = tisean(np.stack(subset))
        slow["TISEAN"] = seconds * scale
        rows.append(_common.row(TASK, "TISEAN", size, slow["TISEAN"], note=f"{some}; process start left out"))
    else:
        rows.append(_common.row(TASK, "TISEAN", size, None, note="its program lyap_r is not on the PATH here"))
    claims = []
    for count in sorted({1, numba.get_num_threads()}):
        numba.set_num_threads(count)
        for dtype in (torch.float64, torch.float32):
            values = series.to(dtype)
            ours, seconds, peak = _common.measure(lambda v=values: lyapunov.exponents_of(v, **OPTIONS), repeats=3)
            error, note = None, f"{count} thread(s), {str(dtype).removeprefix('torch.')}"
            limit = _common.share(seconds, count, multiplications=len(series) * multiplications(length, LAST, LAST))
            if dtype == torch.float64:
                within = {"TISEAN": 1e-5}  # it prints six digits
                for name, answers in theirs.items():
                    error = _common.agree(ours[picked], answers, within=within.get(name, 1e-8), what=name)
                    note += f"; error: largest difference from {name}"
                for name in slow if count == numba.config.NUMBA_NUM_THREADS else ():
                    least = {NOLDS: CLAIMED[length], "TISEAN": 1}.get(name, 1)
                    text = f"exponents of series of {length}, {count} thread(s), times as fast as {name}"
                    claims.append(_common.claim(text, slow[name] / seconds, least=least))
            tool = f"ccprune, {note.split(';')[0]}"
            rows.append(_common.row(TASK, tool, size, seconds, peak, error, f"{note}; {limit}"))
    return rows, claims


def many() -> None:
    """Ten million windows of 50, in float32 series; prints what they cost as JSON."""
    generator = torch.Generator().manual_seed(0)
    series = torch.randn(199, MANY // 150 + 1, generator=generator).cumsum_(0)
    lyapunov.windowed_exponents(series[:, :100], window=50, stride=1, steps=3)  # compiled
    begin = time.perf_counter()
    found = lyapunov.windowed_exponents(series, window=50, stride=1, steps=3)
    seconds = time.perf_counter() - begin
    print(json.dumps({"windows": found.numel(), "seconds": seconds, "peak_mb": _common.peak_mb()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--many", action="store_true", help="only ten million windows, printed as JSON")
    if parser.parse_args().many:
        many()
        return
    recorded = weights()
    rows, claims = [], []
    for window, stride in ((50, 45), (200, 180)):
        windows = recorded.unfold(0, window, stride).reshape(-1, window)
        found = against_peers(windows[: 60 * 150])
        rows, claims = rows + found[0], claims + found[1]
    threads = numba.get_num_threads()
    windows = recorded.unfold(0, 200, 180).reshape(-1, 200)
    for some in (windows[:60], windows):
        _, seconds, peak = _common.measure(lambda s=some: lyapunov.exponents_of(s, steps=20, decimals=6), repeats=5)
        note = f"what LEGCNet-FT needs; {threads} thread(s)"
        rows.append(_common.row("S(1) - S(0)", "ccprune", f"{len(some)} series of 200", seconds, peak, None, note))
    found = _common.alone("lyapunov.py", "--many")
    size = f"{found['windows']} windows of 50"
    limit = _common.share(found["seconds"], threads, multiplications=found["windows"] * multiplications(50, 3, 1))
    note = f"a process of its own, its whole memory; float32 series, {threads} thread(s); {limit}"
    rows.append(_common.row("S(1) - S(0)", "ccprune", size, found["seconds"], found["peak_mb"], None, note))
    claims.append(_common.claim("seconds for ten million windows of 50", found["seconds"], most=SECONDS))
    if found["peak_mb"] is not None:
        claims.append(_common.claim("and GB of memory for them", found["peak_mb"] * 2**20 / 1e9, most=GIGABYTES))
    _common.save("lyapunov", rows, claims)


if __name__ == "__main__":
    main()
