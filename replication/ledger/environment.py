"""Environment of a run: versions, commit, threads, memory, time."""

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

#: Files that determine a result (patterns of git). A result belongs to a commit if none of them differs from it.
#: Generated files are left out.
SOURCES = (
    "ccprune",
    "notebooks",
    ":(glob)replication/**/*.py",
    "replication/data",
    "replication/paper",
    "replication/suite.toml",
    "pyproject.toml",
)

#: Folder of the clone.
ROOT = Path(__file__).resolve().parents[2]
#: Folders of the packages that compute the results.
SOURCE_FOLDERS = (Path(ccprune.__file__).parent, Path(__file__).resolve().parents[1])

_imported = time.perf_counter()


def package_versions() -> dict[str, str]:
    """Return the versions of ccprune and of those `PACKAGES` that are installed, by name."""
    versions = {"ccprune": ccprune.__version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def environment() -> dict[str, Any]:
    """Return the environment of this process as a result file stores it.

    Returns
    -------
    dict
        python, packages, lock (see `lock`), platform, processor, threads (of torch, or None without torch), commit and
        dirty (whether `SOURCES` differ from the commit). The last two are None where git or the commit is missing.
    """
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
    """Compare the installed packages with a lock file.

    Parameters
    ----------
    path : Path
        File with lines "name==version".

    Returns
    -------
    dict or None
        "sha256" of the file in hex, and "differing", the packages that are installed in another version. Packages that
        are not installed are left out. None if the file cannot be read.
    """
    try:
        content = path.read_bytes()
        lines = content.decode()
    except (OSError, UnicodeDecodeError):
        return None
    differing = []
    for name, pinned in re.findall(r"^([\w.-]+)==([^\s;]+)", lines, re.MULTILINE):
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if Version(installed).public != pinned.partition("+")[0]:  # torch's "+cpu" is the same version
            differing.append(f"{name} {installed}")
    return {"sha256": hashlib.sha256(content).hexdigest(), "differing": differing}


def cost() -> dict[str, float | None]:
    """Return the cost of this process so far.

    Returns
    -------
    dict
        "wall_seconds" since this module was imported, and "peak_memory_mb" in MiB (None on Windows).
    """
    try:
        import resource
    except ImportError:
        peak = None
    else:
        unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
    return {"wall_seconds": round(time.perf_counter() - _imported, 2), "peak_memory_mb": peak}


def portable(text: str) -> str:
    """Return the text with names in place of this machine's folders, so that it can be committed."""
    folders = {
        os.environ.get("CCPRUNE_DATA"): "$CCPRUNE_DATA",
        sys.prefix: "$ENVIRONMENT",
        sys.base_prefix: "$PYTHON",
        str(ROOT): "$CCPRUNE",
        str(Path.home()): "~",
    }
    for folder in sorted(filter(None, folders), key=len, reverse=True):
        if folder not in ("/", "/usr", "/usr/local"):  # these are the same on every machine
            text = text.replace(folder, folders[folder])
    return text


def _processor() -> str | None:
    """Return the processor's name, or None where the system does not provide it."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or None
    model = re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE)
    return model[1].strip() if model else platform.processor() or None


def _threads() -> int | None:
    """Return the number of torch's threads, or None if the process has not imported torch."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def _commit() -> dict[str, str | bool | None]:
    """Return the commit of the clone and whether its sources differ from it."""

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
