"""What the benchmarks share: the task's data, timing, peak memory, and the result file."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from ccprune import legcnet, results
from ccprune.data import Dataset, load
from ccprune.ensemble import Ensemble, initialise
from ccprune.results.environment import environment

RESULTS = Path(__file__).parent / "results"


def cancer() -> tuple[Dataset, legcnet.Settings, Ensemble]:
    """Paper A's cancer network, 9-6-1 with 60 weights, on the packaged data; one fresh initialisation."""
    data, settings = load("cancer"), legcnet.SETTINGS["cancer"]
    return data, settings, initialise((9, settings.hidden, 1), 1, seed=0)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Gives torch, BLAS and OpenMP so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


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
    task: str, tool: str, size: str, seconds: float, peak_mb: float | None, error: float | None, note: str
) -> dict[str, Any]:
    """One row of a result file; `error` is the largest difference from the oracle that the note names."""
    print(f"{task:28} {tool:34} {seconds:12.6f} s  {note}")
    return {
        "task": task,
        "tool": tool,
        "size": size,
        "seconds": seconds,
        "peak_mb": peak_mb,
        "error_vs_oracle": error,
        "note": note,
    }


def save(name: str, rows: list[dict[str, Any]]) -> None:
    """Writes results/NAME.json, signed as a run's result is."""
    machine = {"cores": os.cpu_count(), "load_at_end": _load()}
    content = {"name": name, "environment": environment() | machine, "rows": rows}
    results.save(RESULTS / f"{name}.json", content)


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
