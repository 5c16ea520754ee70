"""Checks of the needs of the replication beyond the library: packages, data, folders, and which runs are possible."""

import os
import shutil
from collections.abc import Collection, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pooch
from packaging.requirements import Requirement

from ccprune._util.checks import shorten
from ccprune.cli.doctor import Broken, Check, Missing, import_package
from replication.cli import resources
from replication.cli.resources import Clone
from replication.ledger import PROFILES
from replication.ledger.environment import environment, lock, portable
from replication.runner import Run, requirements
from replication.runner.inventory import DataSet, data_sets, skipped_without


def checks(clone: Clone) -> list[Check]:
    """Return the checks of a clone."""

    def check(name, probe, effect, *, required=False):
        bound = effect if isinstance(effect, str) else partial(effect, clone)
        return Check(name, partial(probe, clone), bound, required)

    return [
        check("Locked versions", _check_lock, "last digits can differ from the committed results; run make install"),
        check("Jupyter kernel", _kernel, "no notebook runs", required=True),
        check("JupyterLab", _lab, "make lab fails; ccprune replicate does not need JupyterLab"),
        check(
            "torchvision",
            _torchvision,
            "MNIST, Fashion-MNIST and CIFAR-10 are not downloaded, and CIFAR-10 is not read from its makers' files",
        ),
        check("codecarbon", _codecarbon, "results have no energy, and notebook 06 leaves out the energy of training"),
        check("distributed", _check_distributed, "ccprune replicate --scheduler fails; --jobs N works on this machine"),
        check("git", _git, "results name no commit"),
        check("Memory", resources.memory, "the system kills runs that need more"),
        check(
            "Output folder", resources.output, "no result can be stored; give another folder by --out", required=True
        ),
        check("Free disk", resources.disk, "a run that fills the disk fails"),
        check("Temporary files", resources.temporary, "no notebook runs", required=True),
        check(
            "Downloads",
            resources.cache,
            "image sets are not downloaded, and the authors' files only into a CCPRUNE_DATA that can be written",
        ),
        check("CCPRUNE_DATA", _data_folder, _data_folder_effect),
        check("Authors' files", partial(_data, "authors"), partial(_data_effect, "authors")),
        check("Image sets", partial(_data, "images"), partial(_data_effect, "images")),
        check("Runs on CUDA", _cuda_runs, _cuda_effect),
        check("Runs", _suite, "nothing can be run", required=True),
    ]


def _check_lock(clone: Clone) -> str:
    state = lock(clone.root / "requirements.lock")
    if state is None:
        raise Missing("no requirements.lock")
    differing = state["differing"]
    if differing:
        raise Missing(f"{len(differing)} versions differ from requirements.lock: {shorten(differing)}")
    return "as in requirements.lock"


def _kernel(clone: Clone) -> str:
    return ", ".join(import_package(name) for name in ("ipykernel", "papermill"))


def _lab(clone: Clone) -> str:
    return import_package("jupyterlab")


def _torchvision(clone: Clone) -> str:
    from replication.data import _torchvision

    if hasattr(_torchvision, "_OPERATORS"):
        how = "without its compiled operators, which belong to another torch and are not used here"
    else:
        how = "with its compiled operators"
    return f"{_torchvision.torchvision.__version__}, {how}"


def _codecarbon(clone: Clone) -> str:
    return _extra(clone, "codecarbon", "energy")


def _check_distributed(clone: Clone) -> str:
    return _extra(clone, "distributed", "dask")


def _extra(clone: Clone, name: str, extra: str) -> str:
    """Return name and version of a package of an extra, or raise `Missing` or `Broken`."""
    advice = f"pip install -e 'replication[{extra}]'"
    installed = import_package(name, f"not installed: {advice}")
    for requirement in map(Requirement, clone.extras.get(extra, [])):
        if requirement.name == name and not requirement.specifier.contains(version(name), prereleases=True):
            raise Broken(f"version {version(name)}, must be {requirement.specifier}: {advice}")
    return installed


def _git(clone: Clone) -> str:
    if shutil.which("git") is None:
        raise Missing("not installed")
    state = environment()
    if state["commit"] is None:
        raise Missing("this folder has no commit")
    return f"commit {state['commit'][:10]}" + (", sources changed since" if state["dirty"] else "")


def _cuda_runs(clone: Clone) -> str:
    if not requirements.is_here("device:cuda"):
        raise Missing("no CUDA device")
    return count_by_profile([run for run in clone.runs if "device:cuda" in run.needs], clone.runs)


def _cuda_effect(clone: Clone) -> str:
    return describe_skipped(clone, ["device:cuda"], names=True)


def _suite(clone: Clone) -> str:
    missing = {need for run in clone.runs for need in run.needs if not requirements.is_here(need)}
    skipped = {run.label for run in skipped_without(clone.runs, missing)}
    counts = []
    for profile in PROFILES:
        runs = [run for run in clone.runs if run.profile == profile]
        can = [run for run in runs if run.label not in skipped]
        counts.append(f"{profile} {len(can)} of {len(runs)}, about {_duration(sum(run.seconds for run in can))}")
    return f"{'; '.join(counts)} on two cores"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _data_folder(clone: Clone) -> str:
    given = os.environ.get("CCPRUNE_DATA")
    if not given:
        raise Missing("not set")
    if not Path(given).expanduser().is_dir():
        raise Broken(f"{given} is not a folder")
    return given


def _data_folder_effect(clone: Clone) -> str:
    return f"data is read from and downloaded to {portable(str(pooch.os_cache('ccprune')))} only"


def _data(kind: str, clone: Clone) -> str:
    sets = _of_kind(kind, clone)
    absent = [data.need.partition(":")[2] for data in sets if not data.here]
    text = f"{len(sets) - len(absent)} of {len(sets)} on this machine"
    if absent:
        raise Missing(f"{text}; missing: {shorten(absent)}")
    return text


def _data_effect(kind: str, clone: Clone) -> str:
    absent = [data.need for data in _of_kind(kind, clone) if not data.here]
    less = [run for run in clone.runs if set(run.uses) & set(absent)]
    text = f"; a part left out of {count_by_profile(less, clone.runs)}" if less else ""
    return f"{describe_skipped(clone, absent)}{text}; ccprune data get {kind} downloads them"


def _of_kind(kind: str, clone: Clone) -> list[DataSet]:
    return [data for data in data_sets(clone.runs) if data.need.startswith(f"{kind}:")]


def count_by_profile(some: Sequence[Run], runs: Sequence[Run]) -> str:
    """Return the number of some runs among all, by profile, such as "1 of 19 smoke, 9 of 37 paper runs"."""
    numbers = {profile: [sum(run.profile == profile for run in part) for part in (some, runs)] for profile in PROFILES}
    parts = [f"{part} of {whole} {profile}" for profile, (part, whole) in numbers.items() if part]
    return f"{', '.join(parts)} runs" if parts else "no run"


def describe_skipped(clone: Clone, needs: Collection[str], *, names: bool = False) -> str:
    """Return the number of runs by profile that are skipped without these needs, with their names if `names`."""
    skipped = skipped_without(clone.runs, needs)
    text = f"{count_by_profile(skipped, clone.runs)} skipped"
    affected = dict.fromkeys(run.name for run in skipped) if names else ()
    return f"{text}: {', '.join(affected)}" if affected else text
