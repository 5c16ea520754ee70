"""Checks of the machine, its folders, the suite, and the data that is here."""

import math
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import pooch

from replication import ledger as results
from replication.doctor.check import Broken, Check, Clone, Missing, counted, without
from replication.ledger import PROFILES
from replication.ledger.environment import environment, portable
from replication.runner import requirements
from replication.runner.inventory import DataSet, data_sets, skipped_without

_ROOM = 2**30  # bytes; what all profiles write, scratch included, is far less
_SHOWN = 5  # names of a list


def _git(clone: Clone) -> str:
    if shutil.which("git") is None:
        raise Missing("not installed")
    found = environment()
    if found["commit"] is None:
        raise Missing("it knows no commit of this folder")
    return f"commit {found['commit'][:10]}" + (", sources changed since" if found["dirty"] else "")


def _cores(clone: Clone) -> str:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    allowed = os.environ.get("OMP_NUM_THREADS")
    return f"{count}" + (f"; a run uses {allowed} (OMP_NUM_THREADS)" if allowed else "")


def _memory(clone: Clone) -> str:
    if not hasattr(os, "sysconf"):
        raise Missing("the system does not tell how much")
    total = min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), _allowed_bytes()) / 2**30
    peaks = _peaks(clone.root / "replication" / "results")
    if not peaks:
        return f"{total:.1f} GiB"
    most = max(peaks, key=peaks.get)
    told = f"{total:.1f} GiB; of the committed results {most} took most, {peaks[most]:.1f} GiB"
    if total < peaks[most]:
        raise Missing(told)
    return told


def _allowed_bytes() -> float:
    """What a container may use."""
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # another system, or "max"
        return math.inf


def _peaks(folder: Path) -> dict[str, float]:
    """Peak memory in GiB of each result that tells it and can be read."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            peak = results.read(path)["peak_memory_mb"]
        except ValueError:  # for ccprune verify to tell
            continue
        if peak is not None:
            found[path.stem] = peak / 1024
    return found


def _output(clone: Clone) -> str:
    return _written_to(clone.out)


def _temporary(clone: Clone) -> str:
    return _written_to(Path(tempfile.gettempdir()))


def _cache(clone: Clone) -> str:
    return _written_to(Path(pooch.os_cache("ccprune")))


def _written_to(folder: Path) -> str:
    existing = _existing(folder)
    with tempfile.TemporaryFile(dir=existing):  # root may write where os.access says no, and not on a read-only disk
        return portable(str(folder)) + ("" if existing == folder else ", which will be made")


def _disk(clone: Clone) -> str:
    free = shutil.disk_usage(_existing(clone.out)).free
    told = f"{free / 2**30:.1f} GiB free in the output folder"
    if free < _ROOM:
        raise Missing(told)
    return told


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())


def _suite(clone: Clone) -> str:
    missing = {need for run in clone.runs for need in run.needs if not requirements.is_here(need)}
    skipped = {run.label for run in skipped_without(clone.runs, missing)}
    told = []
    for profile in PROFILES:
        runs = [run for run in clone.runs if run.profile == profile]
        can = [run for run in runs if run.label not in skipped]
        told.append(f"{profile} {len(can)} of {len(runs)}, about {_duration(sum(run.seconds for run in can))}")
    return f"{'; '.join(told)} on two cores"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _data_folder(clone: Clone) -> str:
    given = os.environ.get("CCPRUNE_DATA")
    if not given:
        raise Missing("not set")
    if not Path(given).expanduser().is_dir():
        raise Broken(f"{given} is no folder")
    return given


def _data_folder_cost(clone: Clone) -> str:
    return f"data is looked for in {portable(str(pooch.os_cache('ccprune')))} alone, and downloaded there"


def _found(kind: str, clone: Clone) -> str:
    found = _of_kind(kind, clone)
    absent = [data.need.partition(":")[2] for data in found if not data.here]
    told = f"{len(found) - len(absent)} of {len(found)} here"
    if absent:
        more = f" and {len(absent) - _SHOWN} more" if len(absent) > _SHOWN else ""
        raise Missing(f"{told}; not here: {', '.join(absent[:_SHOWN])}{more}")
    return told


def _found_cost(kind: str, clone: Clone) -> str:
    absent = [data.need for data in _of_kind(kind, clone) if not data.here]
    less = [run for run in clone.runs if set(run.uses) & set(absent)]
    told = f"; some left out of {counted(less, clone.runs)}" if less else ""
    return f"{without(clone, absent)}{told}; ccprune data get {kind} fetches them"


def _of_kind(kind: str, clone: Clone) -> list[DataSet]:
    return [data for data in data_sets(clone.runs) if data.need.startswith(f"{kind}:")]


CHECKS = (
    Check("git", _git, "results name no commit"),
    Check("Cores", _cores, "how many threads a run takes is not known beforehand"),
    Check("Memory", _memory, "the runs that take more than there is are ended by the system"),
    Check("Output folder", _output, "no run can be kept; --out FOLDER takes another", required=True),
    Check("Free disk", _disk, "a run that fills the disk fails"),
    Check("Temporary files", _temporary, "no notebook runs", required=True),
    Check(
        "Downloads",
        _cache,
        "image sets are not fetched, and the authors' files only into a CCPRUNE_DATA that can be written",
    ),
    Check("CCPRUNE_DATA", _data_folder, _data_folder_cost),
    Check("Authors' files", partial(_found, "authors"), partial(_found_cost, "authors")),
    Check("Image sets", partial(_found, "images"), partial(_found_cost, "images")),
    Check("Runs", _suite, "no run can be planned", required=True),
)
