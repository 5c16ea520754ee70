"""Checks of the needs of the replication beyond the library: packages, data, folders, and which runs are possible."""

import math
import os
import shutil
import tempfile
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path

import pooch
from packaging.requirements import Requirement

from ccprune.cli.doctor import Broken, Check, Missing, imported
from replication import ledger
from replication.ledger import PROFILES
from replication.ledger.environment import environment, lock, portable
from replication.runner import Run, requirements
from replication.runner.inventory import DataSet, all_runs, data_sets, skipped_without

_ROOM = 2**30  # bytes; all profiles write far less, including scratch files
_SHOWN = 5  # names shown of a list


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


def checks(clone: Clone) -> list[Check]:
    """Return the checks of a clone."""

    def check(what, look, cost, *, required=False):
        bound = cost if isinstance(cost, str) else partial(cost, clone)
        return Check(what, partial(look, clone), bound, required)

    return [
        check("Locked versions", _locked, "last digits can differ from the committed results; make install has those"),
        check("Jupyter kernel", _kernel, "no notebook runs", required=True),
        check("JupyterLab", _lab, "make lab does not open; ccprune replicate needs no JupyterLab"),
        check(
            "torchvision",
            _torchvision,
            "MNIST, Fashion-MNIST and CIFAR-10 are not downloaded, and CIFAR-10 is not read from its makers' files",
        ),
        check("codecarbon", _codecarbon, "results have no energy, and notebook 06 leaves out that of training"),
        check("distributed", _distributed, "no ccprune replicate --scheduler; --jobs N works on this machine"),
        check("git", _git, "results name no commit"),
        check("Memory", _memory, "the runs that take more than there is are ended by the system"),
        check("Output folder", _output, "no run can be kept; --out FOLDER takes another", required=True),
        check("Free disk", _disk, "a run that fills the disk fails"),
        check("Temporary files", _temporary, "no notebook runs", required=True),
        check(
            "Downloads",
            _cache,
            "image sets are not fetched, and the authors' files only into a CCPRUNE_DATA that can be written",
        ),
        check("CCPRUNE_DATA", _data_folder, _data_folder_cost),
        check("Authors' files", partial(_found, "authors"), partial(_found_cost, "authors")),
        check("Image sets", partial(_found, "images"), partial(_found_cost, "images")),
        check("Runs on CUDA", _cuda_runs, _cuda_cost),
        check("Runs", _suite, "no run can be planned", required=True),
    ]


def _locked(clone: Clone) -> str:
    found = lock(clone.root / "requirements.lock")
    if found is None:
        raise Missing("there is no requirements.lock")
    differing = found["differing"]
    if differing:
        raise Missing(f"{len(differing)} are others than in requirements.lock: {listed(differing)}")
    return "those of requirements.lock"


def _kernel(clone: Clone) -> str:
    return ", ".join(imported(name) for name in ("ipykernel", "papermill"))


def _lab(clone: Clone) -> str:
    return imported("jupyterlab")


def _torchvision(clone: Clone) -> str:
    from replication.data import _torchvision

    if hasattr(_torchvision, "_OPERATORS"):
        how = "without its compiled operators, which fit another torch and are not used here"
    else:
        how = "with its compiled operators"
    return f"{_torchvision.torchvision.__version__}, {how}"


def _codecarbon(clone: Clone) -> str:
    return _extra(clone, "codecarbon", "energy")


def _distributed(clone: Clone) -> str:
    return _extra(clone, "distributed", "dask")


def _extra(clone: Clone, name: str, extra: str) -> str:
    """Return name and version of a package of an extra, or raise `Missing` or `Broken`."""
    found = imported(name, f"not installed; pip install -e 'replication[{extra}]' brings it")
    for requirement in map(Requirement, clone.extras.get(extra, [])):
        if requirement.name == name and not requirement.specifier.contains(version(name), prereleases=True):
            raise Broken(f"{version(name)}, needed is {requirement.specifier}")
    return found


def _git(clone: Clone) -> str:
    if shutil.which("git") is None:
        raise Missing("not installed")
    found = environment()
    if found["commit"] is None:
        raise Missing("it knows no commit of this folder")
    return f"commit {found['commit'][:10]}" + (", sources changed since" if found["dirty"] else "")


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
    """Return the memory limit of a container in bytes, infinity without a limit."""
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # another system, or "max"
        return math.inf


def _peaks(folder: Path) -> dict[str, float]:
    """Return the peak memory in GiB of each readable result that has it."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            peak = ledger.read(path)["peak_memory_mb"]
        except ValueError:  # ccprune verify reports it
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
    with tempfile.TemporaryFile(dir=existing):  # os.access is wrong for root
        return portable(str(folder)) + ("" if existing == folder else ", which will be made")


def _disk(clone: Clone) -> str:
    free = shutil.disk_usage(_existing(clone.out)).free
    told = f"{free / 2**30:.1f} GiB free in the output folder"
    if free < _ROOM:
        raise Missing(told)
    return told


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())


def _cuda_runs(clone: Clone) -> str:
    if not requirements.is_here("device:cuda"):
        raise Missing("no CUDA device")
    return counted([run for run in clone.runs if "device:cuda" in run.needs], clone.runs)


def _cuda_cost(clone: Clone) -> str:
    return without(clone, ["device:cuda"], names=True)


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
        raise Missing(f"{told}; not here: {listed(absent)}")
    return told


def _found_cost(kind: str, clone: Clone) -> str:
    absent = [data.need for data in _of_kind(kind, clone) if not data.here]
    less = [run for run in clone.runs if set(run.uses) & set(absent)]
    told = f"; some left out of {counted(less, clone.runs)}" if less else ""
    return f"{without(clone, absent)}{told}; ccprune data get {kind} fetches them"


def _of_kind(kind: str, clone: Clone) -> list[DataSet]:
    return [data for data in data_sets(clone.runs) if data.need.startswith(f"{kind}:")]


def listed(names: Sequence[str]) -> str:
    """Return the first five names and the count of the others."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def counted(some: Sequence[Run], runs: Sequence[Run]) -> str:
    """Return the number of some runs among all, by profile, such as "1 of 19 smoke, 9 of 37 paper runs"."""
    numbers = {profile: [sum(run.profile == profile for run in part) for part in (some, runs)] for profile in PROFILES}
    told = [f"{part} of {whole} {profile}" for profile, (part, whole) in numbers.items() if part]
    return f"{', '.join(told)} runs" if told else "no run"


def without(clone: Clone, needs: Collection[str], *, names: bool = False) -> str:
    """Return the number of runs by profile that are skipped without these needs, with their names if `names`."""
    skipped = skipped_without(clone.runs, needs)
    told = f"{counted(skipped, clone.runs)} skipped"
    listed = dict.fromkeys(run.name for run in skipped) if names else ()
    return f"{told}: {', '.join(listed)}" if listed else told
