"""What the benchmarks share: the task's data, timing, peak memory, and the result file."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from replication import ledger
from replication.data import Dataset, load
from replication.ledger.environment import environment
from replication.legcnet.settings import SETTINGS, Settings
from replication.networks.ensemble import MLPBatch, initialise

RESULTS = Path(__file__).parent / "results"


def cancer() -> tuple[Dataset, Settings, MLPBatch]:
    """Paper A's cancer network, 9-6-1 with 60 weights, on the packaged data; one fresh initialisation."""
    data, settings = load("cancer"), SETTINGS["cancer"]
    return data, settings, initialise((9, settings.hidden, 1), 1, seed=0)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Gives torch, numba, BLAS and OpenMP so many threads."""
    before, compiled = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(count)
    numba.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)
        numba.set_num_threads(compiled)


def measure(call: Callable[[], Any], *, repeats: int, warm_up: bool = True) -> tuple[Any, float, float | None]:
    """Returns the answer, the seconds of the best repeat, and the MiB by which the repeats raised the peak."""
    if warm_up:
        call()
    start = _memory("VmRSS", reset=True)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        answer = call()
        seconds.append(time.perf_counter() - begin)
    peak = None if start is None else round(_memory("VmHWM") - start, 1)
    return answer, min(seconds), peak


def row(
    task: str,
    tool: str,
    size: str,
    seconds: float | None,
    peak_mb: float | None = None,
    error: float | None = None,
    note: str = "",
) -> dict[str, Any]:
    """One row of a result file; `error` is the largest difference from the oracle that the note names, `seconds` None
    what was not measured, and the note says why.
    """
    print(f"{task:28} {tool:34} {'not measured' if seconds is None else f'{seconds:12.6f} s'}  {note}", flush=True)
    return {
        "task": task,
        "tool": tool,
        "size": size,
        "seconds": seconds,
        "peak_mb": peak_mb,
        "error_vs_oracle": error,
        "note": note,
    }


def claim(text: str, measured: float, *, least: float | None = None, most: float | None = None) -> dict[str, Any]:
    """A claim with what was measured: at least so many times as fast, or at most so many of what the text names."""
    holds = (least is None or measured >= least) and (most is None or measured <= most)
    print(f"{'holds' if holds else 'DOES NOT HOLD'}: {text}: {measured:.3g}", flush=True)
    return {"text": text, "measured": measured, "least": least, "most": most, "holds": holds}


@cache
def peaks(count: int) -> tuple[float, float]:
    """Multiplications a second in a float64 matrix product, and bytes a second of a copy, read and written."""
    square, long = torch.ones(2000, 2000, dtype=torch.float64), torch.ones(2**25, dtype=torch.float64)
    product, copy = torch.empty_like(square), torch.empty_like(long)
    with threads(count):
        multiply = measure(lambda: torch.mm(square, square, out=product), repeats=7)[1]
        move = measure(lambda: copy.copy_(long), repeats=7)[1]
    return len(square) ** 3 / multiply, 2 * long.nbytes / move


def share(seconds: float, count: int, *, multiplications: float = 0, moved: float = 0) -> str:
    """Share of the measured limit of so many threads, in words, for a method's multiplications or bytes moved."""
    done, peak, unit = (multiplications, peaks(count)[0], "multiplications")
    if moved:
        done, peak, unit = (moved, peaks(count)[1], "bytes")
    return f"{done / seconds / peak:.1%} of the machine's limit, {done:.2g} {unit} at {peak:.2g} a second"


def agree(ours: Any, theirs: Any, *, within: float, what: str) -> float:
    """Largest difference of two arrays, relative where they exceed 1; ends the benchmark when it exceeds `within`."""
    ours, theirs = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    error = float((np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max())
    if not error <= within:
        raise SystemExit(f"ccprune and {what} differ by {error}")
    return error


def alone(script: str, *arguments: str) -> dict[str, Any]:
    """What a script prints as JSON, run in a process of its own, with the process's peak memory as "peak_mb"."""
    command = [sys.executable, str(Path(__file__).parent / script), *arguments]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(answer.splitlines()[-1])


def peak_mb() -> float | None:
    """Peak memory of this process so far, MiB."""
    return _memory("VmHWM")


def save(name: str, rows: list[dict[str, Any]], claims: list[dict[str, Any]]) -> None:
    """Writes results/NAME.json, signed as a run's result is."""
    machine = {"cores": os.cpu_count(), "load_at_end": _load(), "device": _device()}
    content = {"name": name, "environment": environment() | machine, "claims": claims, "rows": rows}
    ledger.save(RESULTS / f"{name}.json", content)


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _load() -> float | None:
    # Tells a reader whether the machine had other things to do.
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _memory(field: str, *, reset: bool = False) -> float | None:
    """Current ("VmRSS") or peak ("VmHWM") memory in MiB, from Linux; None elsewhere."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))
