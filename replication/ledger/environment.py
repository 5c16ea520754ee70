"""What a run ran on: versions, commit, threads, memory, time."""

import hashlib
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.version import Version

import ccprune

#: Packages whose version can change a number or a figure.
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "statsmodels", "numba", "matplotlib")

#: What a commit must hold for its result to be the commit's; generated files are left out.
SOURCES = (
    "ccprune",
    "notebooks",
    ":(glob)replication/**/*.py",
    "replication/data",
    "replication/paper",
    "replication/suite.toml",
    "pyproject.toml",
)

#: The project's folder: a clone.
ROOT = Path(__file__).resolve().parents[2]
#: Folders of the packages that results are computed with.
SOURCE_FOLDERS = (Path(ccprune.__file__).parent, Path(__file__).resolve().parents[1])

_imported = time.perf_counter()


def package_versions() -> dict[str, str]:
    """Versions of ccprune and of those `PACKAGES` that are installed."""
    versions = {"ccprune": ccprune.__version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def environment() -> dict[str, Any]:
    """Interpreter, packages, lock, platform, threads and commit of this process, as stored in a result file."""
    return {
        "python": platform.python_version(),
        "packages": package_versions(),
        "lock": lock(ROOT / "requirements.lock"),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": _threads(),
        **_commit(),
    }


def lock(path: Path) -> dict[str, Any] | None:
    """SHA-256 of a lock file, and which of its packages are installed in another version ("differing"), or None.

    What is not installed at all was not used, and does not count.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    differing = []
    for name, pinned in re.findall(r"^([\w.-]+)==([^\s;]+)", content.decode(), re.MULTILINE):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if Version(found).public != Version(pinned).public:  # torch's "+cpu" is the same version
            differing.append(f"{name} {found}")
    return {"sha256": hashlib.sha256(content).hexdigest(), "differing": differing}


def cost() -> dict[str, float | None]:
    """Seconds since this module was imported, and the process's peak memory in MiB (None on Windows)."""
    try:
        import resource
    except ImportError:
        peak = None
    else:
        unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
    return {"wall_seconds": round(time.perf_counter() - _imported, 2), "peak_memory_mb": peak}


def portable(text: str) -> str:
    """Replace this machine's folders in a text, so that it can be committed."""
    folders = {
        os.environ.get("CCPRUNE_DATA"): "$CCPRUNE_DATA",
        sys.prefix: "$ENVIRONMENT",
        sys.base_prefix: "$PYTHON",
        str(ROOT): "$CCPRUNE",
        str(Path.home()): "~",
    }
    for folder in sorted(filter(None, folders), key=len, reverse=True):
        if folder not in ("/", "/usr", "/usr/local"):  # the same on every machine
            text = text.replace(folder, folders[folder])
    return text


def _processor() -> str | None:
    """The processor's name, where the system tells it."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or None
    found = re.search(r"^model name\s*: (.+)$", told, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or None


def _threads() -> int | None:
    """Threads of torch, or None in a process that does without it."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def _commit() -> dict[str, str | bool | None]:
    """Commit of the checkout this package lies in, and whether its sources differ from it."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        except OSError:  # no git on this machine
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--", *SOURCES))}
