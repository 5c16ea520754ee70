"""Checks of Python and its packages."""

import importlib
import platform
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from replication.doctor.check import Broken, Check, Clone, Missing, counted, without
from replication.ledger import environment

_SHOWN = 8  # of a list of names


def _python(clone: Clone) -> str:
    found, wanted = platform.python_version(), clone.project["requires-python"]
    if not SpecifierSet(wanted).contains(found, prereleases=True):
        raise Broken(f"{found}, needed is {wanted}")
    return found


def _packages(clone: Clone) -> str:
    absent, unfit = [], []
    wanted = [Requirement(text) for text in (*clone.project["dependencies"], *_asked_for(clone, "notebooks"))]
    for requirement in wanted:
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            absent.append(requirement.name)
        else:
            if not requirement.specifier.contains(found, prereleases=True):
                unfit.append(f"{requirement.name} {found}, needed is {requirement.specifier}")
    if unfit:
        raise Broken("; ".join([*unfit, *(f"{name} is not installed" for name in absent)]))
    if absent:
        raise Missing(f"not installed: {', '.join(absent)}")
    return f"all {len(wanted)} that pyproject.toml asks for"


def _locked(clone: Clone) -> str:
    lock = environment.lock(clone.root / "requirements.lock")
    if lock is None:
        raise Missing("there is no requirements.lock")
    differing = lock["differing"]
    if differing:
        more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        raise Missing(f"{len(differing)} are others than in requirements.lock: {', '.join(differing[:_SHOWN])}{more}")
    return "those of requirements.lock"


def _torch(clone: Clone) -> str:
    _imported("torch")
    import torch

    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x @ x).backward()
    if x.grad.tolist() != [2.0, 4.0, 6.0]:
        raise Broken(f"the gradient of x @ x at (1, 2, 3) comes out as {x.grad.tolist()}")
    return torch.__version__


def _cuda(clone: Clone) -> str:
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if not available:
        if said:  # such as a driver that is too old
            raise Missing(" ".join(str(said[0].message).split()))
        built = torch.version.cuda or torch.version.hip
        raise Missing("no device" if built else f"torch {torch.__version__} is built without it")
    if torch.ones(3, device="cuda").cumsum(0).tolist() != [1.0, 2.0, 3.0]:
        raise Broken("sums come out wrong on it")
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    others = torch.cuda.device_count() - 1
    return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB" + (f", and {others} more" if others else "")


def _bfloat16(clone: Clone) -> str:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a = torch.rand(512, 512, generator=torch.Generator().manual_seed(0)).to(device)
    exact, half = a @ a, a.bfloat16()
    error = float(((half @ half).float() - exact).abs().max() / exact.abs().max())
    if not error < 0.02:  # it has 8 binary digits
        raise Broken(f"a product of two matrices is off by {error:.2g} of its largest entry")
    faster = _seconds(lambda: float((a @ a)[0, 0])) / _seconds(lambda: float((half @ half)[0, 0]))
    return f"on the {device}, a matrix product at {faster:.2g} times the speed of float32"


def _seconds(call: Callable[[], object]) -> float:
    """Of the quickest of five."""
    found = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def _bfloat16_cost(clone: Clone) -> str:
    asking = [run for run in clone.runs if run.parameters.get("bf16") is True]
    return f"{counted(asking, clone.runs)} train with it, and fail"


def _torchvision(clone: Clone) -> str:
    from replication.data import _torchvision

    if hasattr(_torchvision, "_OPERATORS"):
        how = "without its compiled operators, which fit another torch and are not used here"
    else:
        how = "with its compiled operators"
    return f"{_torchvision.torchvision.__version__}, {how}"


def _numba(clone: Clone) -> str:
    import numba
    import numpy as np

    from ccprune._util.threads import torch_threads_kept
    from ccprune.lyapunov import _cpu as _lyapunov_cpu  # noqa: F401  it fails where compiled code cannot be kept

    @torch_threads_kept
    @numba.njit(parallel=True)
    def squares(x):
        out = np.empty_like(x)
        for i in numba.prange(x.size):
            out[i] = x[i] * x[i]
        return out

    x = np.arange(1000.0)
    start = time.perf_counter()
    found = squares(x)
    seconds = time.perf_counter() - start
    if not np.array_equal(found, x**2):
        raise Broken("a compiled loop gives other numbers than numpy")
    return f"{numba.__version__}, a parallel loop compiled in {seconds:.1f} s ({numba.threading_layer()})"


def _kernel(clone: Clone) -> str:
    return ", ".join(_imported(name) for name in ("ipykernel", "papermill"))


def _lab(clone: Clone) -> str:
    return _imported("jupyterlab")


def _codecarbon(clone: Clone) -> str:
    return _extra(clone, "codecarbon", "energy")


def _distributed(clone: Clone) -> str:
    return _extra(clone, "distributed", "dask")


def _extra(clone: Clone, name: str, extra: str) -> str:
    """A package that only an extra of pyproject.toml asks for."""
    found = _imported(name, f"not installed; pip install -e '.[{extra}]' brings it")
    for requirement in map(Requirement, _asked_for(clone, extra)):
        if requirement.name == name and not requirement.specifier.contains(version(name), prereleases=True):
            raise Broken(f"{version(name)}, needed is {requirement.specifier}")
    return found


def _asked_for(clone: Clone, extra: str) -> list[str]:
    return clone.project.get("optional-dependencies", {}).get(extra, [])


def _imported(name: str, absent: str = "not installed") -> str:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise Missing(absent) from error
        raise
    return f"{name} {version(name)}"


def _cuda_cost(clone: Clone) -> str:
    return without(clone, ["device:cuda"], names=True)


CHECKS = (
    Check("Python", _python, "nothing here is tested with it", required=True),
    Check("Packages", _packages, "whatever imports them fails; make install brings them", required=True),
    Check("Locked versions", _locked, "last digits can differ from the committed results; make install has those"),
    Check("torch", _torch, "no run works", required=True),
    Check("CUDA", _cuda, _cuda_cost),
    Check("bfloat16", _bfloat16, _bfloat16_cost),
    Check(
        "torchvision",
        _torchvision,
        "MNIST, Fashion-MNIST and CIFAR-10 are not downloaded, and CIFAR-10 is not read from its makers' files",
    ),
    Check("numba", _numba, "no exponents, no paper A training and no Lasso on the CPU: no run works", required=True),
    Check("Jupyter kernel", _kernel, "no notebook runs", required=True),
    Check("JupyterLab", _lab, "make lab does not open; ccprune replicate does without it"),
    Check("codecarbon", _codecarbon, "results tell no energy, and notebook 06 leaves out that of training"),
    Check("distributed", _distributed, "no ccprune replicate --scheduler; --jobs N works on this machine"),
)
