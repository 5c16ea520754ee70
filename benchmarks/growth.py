"""How time and memory grow with weights, steps, windows and lags, and that a limit of memory is kept.

Each quantity, but for lags, goes over three decades at least while the others stay as they are, each point in a
process of its own, so that its peak memory is its own. The exponent is the slope of log seconds against log size over
the larger half of the points, where what a call costs beside its work no longer matters. Every number of lags up to the
largest is tested, so time grows with its fourth power once the lags are many; 1,000 would by that take over an hour.
"""

import argparse
import json
import os
from collections.abc import Callable

import _common
import numpy as np
import torch

from ccprune.granger import granger_test
from ccprune.lasso import Screen
from ccprune.lyapunov import windowed_exponents

LIMIT = 2**24  # bytes, for the runs under a limit


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def exponents(weights: int, windows: int, window: int, **options: int) -> Callable[[], object]:
    series = noise(window + windows - 1, weights, dtype=torch.float32).cumsum_(0)
    return lambda: windowed_exponents(series, window=window, stride=1, steps=3, **options)


def granger(weights: int, windows: int, lags: int, **options: int) -> Callable[[], object]:
    risk, causes = noise(windows), noise(windows, weights)
    return lambda: granger_test(risk, causes, max_lag=lags, **options)


def screen(weights: int, steps: int) -> Callable[[], object]:
    changes = [noise(weights, dtype=torch.float32) for _ in range(2)]

    def feed() -> None:
        store = Screen()
        for step in range(steps):
            store.update(0.5 + step % 3, {"weight": changes[step % 2]})

    return feed


WAYS = {"exponents": exponents, "granger": granger, "screen": screen}
#: Of each way: what grows, its sizes, and the other sizes.
GROWTHS = [
    ("exponents", "weights", (10**3, 10**4, 10**5, 10**6), {"windows": 1, "window": 50}),
    ("exponents", "windows", (10**2, 10**3, 10**4, 10**5), {"weights": 10, "window": 50}),
    ("exponents", "window", (50, 500, 5_000, 50_000), {"weights": 4, "windows": 1}),
    ("granger", "weights", (10**3, 10**4, 10**5, 10**6), {"windows": 50, "lags": 5}),
    ("granger", "windows", (10**2, 10**3, 10**4, 10**5), {"weights": 1000, "lags": 5}),
    ("granger", "lags", (1, 3, 10, 30, 100, 300), {"weights": 2, "windows": 3100}),
    ("screen", "weights", (10**4, 10**5, 10**6, 10**7), {"steps": 20}),
    ("screen", "steps", (10, 10**2, 10**3, 10**4), {"weights": 10**4}),
]
#: Under a limit: as without one, or an error beforehand.
LIMITED = [
    ("exponents", {"weights": 10**5, "windows": 10, "window": 50}),
    ("granger", {"weights": 10**5, "windows": 50, "lags": 5}),
]


def measure(way: str, sizes: dict[str, int]) -> None:
    """Prints seconds and peak memory of one point as JSON, compilation and the data left out of both."""
    small = {"weights": 2, "windows": 40, "lags": 2, "window": 50, "steps": 2}
    WAYS[way](**{name: small[name] for name in sizes if name in small})()
    call = WAYS[way](**sizes)
    _, seconds, peak = _common.measure(call, repeats=1, warm_up=False)
    if seconds < 0.2:  # short ones are repeated
        _, seconds, _ = _common.measure(call, repeats=5)
    print(json.dumps({"seconds": seconds, "peak_mb": peak}))


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Slope of log seconds against log size over the larger half."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(seconds[half:]), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--point", nargs=2, metavar=("WAY", "SIZES"), help="only this, sizes as JSON")
    point = parser.parse_args().point
    if point:
        measure(point[0], json.loads(point[1]))
        return
    rows, claims = [], []
    for way, name, sizes, others in GROWTHS:
        seconds = []
        for size in sizes:
            found = _common.alone("growth.py", "--point", way, json.dumps(others | {name: size}))
            seconds.append(found["seconds"])
            sized = ", ".join(f"{value} {key}" for key, value in (others | {name: size}).items())
            rows.append(_common.row(f"{way}, {name}", "ccprune", sized, found["seconds"], found["peak_mb"]))
        rows[-1]["note"] = f"seconds grow with the power {exponent(sizes, seconds):.2f} of {name}"
    for way, sizes in LIMITED:
        found = _common.alone("growth.py", "--point", way, json.dumps(sizes | {"max_bytes": LIMIT}))
        answer = _answer_size(way, sizes)
        sized = ", ".join(f"{value} {key}" for key, value in sizes.items())
        task = f"{way}, at most {LIMIT // 2**20} MiB"
        rows.append(_common.row(task, "ccprune", sized, found["seconds"], found["peak_mb"], None, "answer included"))
        if found["peak_mb"] is not None:
            most = LIMIT / 2**20 + answer
            claims.append(_common.claim(f"MiB of {task} of work, beside the answer", found["peak_mb"], most=most))
    _common.save("growth", rows, claims)


def _answer_size(way: str, sizes: dict[str, int]) -> float:
    """MiB of the answer."""
    answer = WAYS[way](**sizes)()
    tensors = [answer] if isinstance(answer, torch.Tensor) else vars(answer).values()
    return sum(part.nbytes for part in tensors if isinstance(part, torch.Tensor)) / 2**20


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    main()
