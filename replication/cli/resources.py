"""A clone, and the checks of what this machine has for it: memory, folders, free space."""

import math
import os
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pooch

from ccprune.cli.doctor import Missing
from replication import ledger
from replication.ledger.environment import portable
from replication.runner import Run
from replication.runner.inventory import all_runs

_ROOM = 2**30  # bytes; all profiles write far less, including scratch files


@dataclass(frozen=True)
class Clone:
    """Clone of the project.

    Attributes
    ----------
    root : Path
        Folder of the clone.
    out : Path
        Output folder of its runs.
    """

    root: Path
    out: Path

    @cached_property
    def runs(self) -> list[Run]:
        """Runs of all profiles. SuiteError is raised if the suite file is invalid."""
        return all_runs(self.root)

    @cached_property
    def extras(self) -> dict[str, list[str]]:
        """Optional dependencies of the replication, by the names of the extras."""
        text = (self.root / "replication" / "pyproject.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)["project"].get("optional-dependencies", {})


def memory(clone: Clone) -> str:
    """Return the memory of this machine, and the largest peak of a committed result."""
    if not hasattr(os, "sysconf"):
        raise Missing("the system does not provide its size")
    total = min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), _allowed_bytes()) / 2**30
    peaks = _peaks(clone.root / "replication" / "results")
    if not peaks:
        return f"{total:.1f} GiB"
    most = max(peaks, key=peaks.get)
    text = f"{total:.1f} GiB; the largest peak of a committed result is {peaks[most]:.1f} GiB ({most})"
    if total < peaks[most]:
        raise Missing(text)
    return text


def _allowed_bytes() -> float:
    """Return the memory limit of a container in bytes, infinity without a limit."""
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # another system, or "max"
        return math.inf


def _peaks(folder: Path) -> dict[str, float]:
    """Return the peak memory in GiB of each readable result that has it."""
    peaks = {}
    for path in sorted(folder.glob("*.json")):
        try:
            peak = ledger.read(path)["peak_memory_mb"]
        except ValueError:  # ccprune verify reports it
            continue
        if peak is not None:
            peaks[path.stem] = peak / 1024
    return peaks


def output(clone: Clone) -> str:
    """Return the output folder, where a file can be written."""
    return _written_to(clone.out)


def temporary(clone: Clone) -> str:
    """Return the folder for temporary files, where a file can be written."""
    return _written_to(Path(tempfile.gettempdir()))


def cache(clone: Clone) -> str:
    """Return the folder for downloads, where a file can be written."""
    return _written_to(Path(pooch.os_cache("ccprune")))


def _written_to(folder: Path) -> str:
    existing = _existing(folder)
    with tempfile.TemporaryFile(dir=existing):  # os.access is wrong for root
        return portable(str(folder)) + ("" if existing == folder else ", which will be created")


def disk(clone: Clone) -> str:
    """Return the free space in the output folder."""
    free = shutil.disk_usage(_existing(clone.out)).free
    text = f"{free / 2**30:.1f} GiB free in the output folder"
    if free < _ROOM:
        raise Missing(text)
    return text


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
