"""Checks of the installation: one line each, with what a missing dependency disables."""

import importlib
import os
import platform
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from ccprune._util.checks import shorten

_WIDTH = 110  # characters of a line


class Missing(Exception):
    """Raised by a check if its subject is not installed or does not exist; the message is a few words."""


class Broken(Exception):
    """Raised by a check if its subject exists but does not work; the message has the symptom."""


@dataclass(frozen=True)
class Check:
    """One check.

    `probe` returns a version, a device or the like. It raises `Missing` or, if the subject does not work, `Broken` or
    any other exception. `effect` is what does not work without the subject, or a function that returns it. Nothing
    works without a `required` subject.
    """

    name: str
    probe: Callable[[], str]
    effect: str | Callable[[], str]
    required: bool = False


@dataclass(frozen=True)
class Line:
    """Result of a check. `detail` is a version, a device or a reason; `effect` is empty if the subject works."""

    name: str
    state: Literal["works", "missing", "broken"]
    detail: str
    effect: str = ""
    required: bool = False


def examine(check: Check) -> Line:
    """Run a check. It does not raise: after an exception the state is "broken", with its first line as the reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of imported packages
        try:
            return Line(check.name, "works", check.probe(), required=check.required)
        except Missing as error:
            state, detail = "missing", str(error)
        except Broken as error:
            state, detail = "broken", str(error)
        except Exception as error:
            state, detail = "broken", _first_line(error)
        try:
            effect = check.effect if isinstance(check.effect, str) else check.effect()
        except Exception as error:
            effect = f"unknown, {_first_line(error)}"
    return Line(check.name, state, detail, effect, check.required)


def format_line(line: Line, width: int) -> str:
    """Return the line as plain text, with `width` characters for its name, and its effect below."""
    indent = " " * (len("missing") + width + 4)
    first = f"{line.state:<7}  {line.name:<{width}}  {line.detail}"
    parts = [(first, indent)] + ([(f"{indent}effect: {line.effect}", indent + " " * 8)] if line.effect else [])
    return "\n".join(
        textwrap.fill(part, _WIDTH, subsequent_indent=below, break_on_hyphens=False, break_long_words=False)
        for part, below in parts
    )


def summarise(lines: Sequence[Line]) -> str:
    """Return the counts of states and the required checks that do not work."""
    states = [line.state for line in lines]
    counted = f"{states.count('works')} work, {states.count('missing')} missing, {states.count('broken')} broken"
    failing = [line.name for line in lines if line.required and line.state != "works"]
    return f"{counted}. " + (f"Required: {', '.join(failing)}." if failing else "Everything that is required works.")


def import_package(name: str, absent: str = "not installed") -> str:
    """Import a package and return its name and version. Raise `Missing` if it is not installed."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise Missing(absent) from error
        raise
    return f"{name} {version(name)}"


def _packages() -> str:
    """Run `pip check`, report conflicts of this project, and count those of other packages."""
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    if done.returncode and not done.stdout:
        raise Missing("pip is not installed, so versions were not checked")
    lines = [] if done.returncode == 0 else done.stdout.strip().splitlines()
    ours = [line for line in lines if line.startswith("ccprune")]
    if ours:
        raise Broken(shorten(ours, separator="; "))
    return "no conflicts of this project" + (f", {len(lines)} of other packages" if lines else "")


def _torch() -> str:
    import_package("torch")
    import torch

    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x @ x).backward()
    if x.grad is None or x.grad.tolist() != [2.0, 4.0, 6.0]:
        raise Broken(f"the gradient of x @ x at (1, 2, 3) is {x.grad.tolist() if x.grad is not None else None}")
    return torch.__version__


def _cuda() -> str:
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if not available:
        if caught:  # such as a driver that is too old
            raise Missing(" ".join(str(caught[0].message).split()))
        built = torch.version.cuda or torch.version.hip
        raise Missing("no device" if built else f"torch {torch.__version__} was built without CUDA")
    if torch.ones(3, device="cuda").cumsum(0).tolist() != [1.0, 2.0, 3.0]:
        raise Broken("it computes a wrong cumulative sum")
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    others = torch.cuda.device_count() - 1
    return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB" + (f", and {others} more" if others else "")


def _bfloat16() -> str:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a = torch.rand(512, 512, generator=torch.Generator().manual_seed(0)).to(device)
    exact, half = a @ a, a.bfloat16()
    error = float(((half @ half).float() - exact).abs().max() / exact.abs().max())
    if not error < 0.02:  # bfloat16 has 8 binary digits
        raise Broken(f"the error of a matrix product is {error:.2g} of its largest entry")
    faster = _seconds(lambda: float((a @ a)[0, 0])) / _seconds(lambda: float((half @ half)[0, 0]))
    return f"on the {device}, a matrix product has {faster:.2g} times the speed of float32"


def _seconds(call: Callable[[], object]) -> float:
    """Return the time of the fastest of five calls."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def _numba() -> str:
    import numba
    import numpy as np

    from ccprune._util.threads import torch_threads_kept
    from ccprune.lyapunov import _cpu  # noqa: F401 - fails where compiled code cannot be cached

    @torch_threads_kept
    @numba.njit(parallel=True)
    def squares(x):
        out = np.empty_like(x)
        for i in numba.prange(x.size):
            out[i] = x[i] * x[i]
        return out

    x = np.arange(1000.0)
    start = time.perf_counter()
    squared = squares(x)
    seconds = time.perf_counter() - start
    if not np.array_equal(squared, x**2):
        raise Broken("a compiled loop and numpy return different numbers")
    return f"{numba.__version__}, a parallel loop compiled in {seconds:.1f} s ({numba.threading_layer()})"


def _cores() -> str:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    allowed = os.environ.get("OMP_NUM_THREADS")
    return f"{count}" + (f"; OMP_NUM_THREADS is {allowed}" if allowed else "")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    more = f" (and {len(lines) - 1} more lines)" if len(lines) > 1 else ""
    return f"{type(error).__name__}: {lines[0]}{more}" if lines else type(error).__name__


CHECKS = (
    Check("Python", platform.python_version, "nothing works", required=True),
    Check("Packages", _packages, "the code that imports them fails", required=True),
    Check("torch", _torch, "nothing works", required=True),
    Check("CUDA", _cuda, "everything runs on the CPU"),
    Check("bfloat16", _bfloat16, "training with bf16=True fails"),
    Check("numba", _numba, "no exponents and no Lasso on the CPU", required=True),
    Check("Cores", _cores, "the number of threads is unknown"),
)
