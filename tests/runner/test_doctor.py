"""What `ccprune doctor` says of machines that lack this or that, and of this one."""

import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numba
import numpy as np
import pooch
import pytest
import torch

from ccprune import cli
from ccprune.cli import doctor
from ccprune.cli.doctor import Check, Line, Missing, examine
from replication import ledger
from replication.cli import clone_checks, resources
from replication.cli.clone_checks import Clone, checks
from replication.data import _torchvision
from replication.ledger.environment import ROOT
from replication.runner import Run

LIBRARY = {check.name: check for check in doctor.CHECKS}
RUNS = [
    Run("one", "smoke", "x.ipynb", {"bf16": False}, uses=("authors:data/Iris.csv",), seconds=30),
    Run("two", "paper", "x.ipynb", {"bf16": True}, needs=("images:mnist", "device:cuda"), seconds=7200),
    Run("three", "paper", "x.ipynb", {}, needs=("authors:data/vowel.csv",), seconds=5400),
]


@pytest.fixture
def clone(tmp_path):
    """A folder with three runs, nothing else in it."""
    made = Clone(tmp_path, tmp_path / "replication")
    vars(made)["runs"] = RUNS
    return made


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    monkeypatch.delenv("CCPRUNE_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache")


def look(what, clone):
    """The line of a check of the library, or of a clone with these runs."""
    if what in LIBRARY:
        return examine(LIBRARY[what])
    return examine(next(check for check in checks(clone) if check.name == what))


def test_a_check_that_raises_is_a_broken_thing():
    def raising():
        raise OSError("no such\nlibrary")

    def missing():
        raise Missing("not installed")

    def warning():
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
        return "1.0"

    first, second, last = map(
        examine,
        (Check("first", raising, "all", True), Check("costly", missing, raising), Check("last", warning, "nothing")),
    )
    assert first == Line("first", "broken", "OSError: no such (and 1 more lines)", "all", required=True)
    assert (second.state, second.effect) == ("missing", "unknown, OSError: no such (and 1 more lines)")
    assert last == Line("last", "works", "1.0")


@pytest.mark.parametrize(
    ("required", "state", "status"), [(True, "missing", 1), (True, "works", 0), (False, "missing", 0)]
)
def test_only_what_is_required_fails(required, state, status, monkeypatch, capfd, tmp_path):
    line = Line("thing", state, "here or there", "" if state == "works" else "x" * 8 + " y" * 60, required)
    monkeypatch.setattr(doctor, "CHECKS", [Check("thing", lambda: "", "")])
    monkeypatch.setattr(doctor, "examine", lambda check: line)
    monkeypatch.chdir(tmp_path)  # no clone: what the wheel has
    assert cli.main(["doctor"]) == status
    printed = capfd.readouterr().out.splitlines()
    assert printed[0].split() == [state, "thing", "here", "or", "there"]
    assert [len(line) > 110 for line in printed] == [False] * len(printed)
    assert printed[-1].endswith("Required: thing." if status else "Everything that is required works.")
    if state == "missing":
        assert printed[1].strip() == "effect: xxxxxxxx" + " y" * (len(printed[1].strip()) // 2 - 8)


@pytest.mark.parametrize(
    ("status", "printed", "state", "detail"),
    [
        (0, "No broken requirements found.\n", "works", "no conflicts of this project"),
        (
            1,
            "other 1 requires x, which is not installed.\n",
            "works",
            "no conflicts of this project, 1 of other packages",
        ),
        (1, "ccprune 0.1.0 requires torch, which is not installed.\n", "broken", "ccprune 0.1.0 requires torch, "),
        (1, "", "missing", "pip is not installed"),
    ],
)
def test_packages_are_those_that_pip_checks(monkeypatch, status, printed, state, detail):
    done = SimpleNamespace(returncode=status, stdout=printed)
    monkeypatch.setattr(doctor.subprocess, "run", lambda command, **how: done)
    found = examine(LIBRARY["Packages"])
    assert found.state == state and found.detail.startswith(detail) and found.required


def test_versions_are_held_against_the_lock(clone):
    assert look("Locked versions", clone).detail == "no requirements.lock"
    lock = clone.root / "requirements.lock"
    lock.write_text(f"numpy=={np.__version__}\n")
    assert look("Locked versions", clone).state == "works"
    lock.write_text("numpy==0.1\n")
    found = look("Locked versions", clone)
    assert (found.state, found.detail) == (
        "missing",
        f"1 versions differ from requirements.lock: numpy {np.__version__}",
    )


def test_without_cuda_the_runs_of_the_suite_that_need_it_are_told(clone, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (look("CUDA", clone).state, look("CUDA", clone).required) == ("missing", False)
    found = look("Runs on CUDA", clone)
    assert (found.state, found.effect, found.required) == ("missing", "1 of 2 paper runs skipped: two", False)

    def old_driver():
        warnings.warn("CUDA initialization: the driver\nis too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", old_driver)
    assert look("CUDA", clone).detail == "CUDA initialization: the driver is too old"
    vars(clone)["runs"] = RUNS[:1]
    assert look("Runs on CUDA", clone).effect == "no run skipped"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_is_named(clone):
    assert look("CUDA", clone).detail.startswith(torch.cuda.get_device_name(0))
    assert look("bfloat16", clone).detail.startswith("on the cuda")


def test_wrong_numbers_are_broken_things(clone, monkeypatch):
    assert look("torch", clone).detail == torch.__version__
    assert look("bfloat16", clone).state == "works"
    assert look("numba", clone).state == "works"
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "__matmul__", lambda a, b: (2 * a * b).sum())
        assert look("torch", clone).detail.endswith("is [4.0, 8.0, 12.0]")
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "bfloat16", lambda a: (1.1 * a).to(torch.bfloat16))
        found = look("bfloat16", clone)
        assert found.state == "broken" and found.detail.endswith("is 0.21 of its largest entry")
    with monkeypatch.context() as patch:
        patch.setattr(numba, "njit", lambda **options: lambda function: np.sqrt)
        assert look("numba", clone).detail == "a compiled loop and numpy return different numbers"


def test_how_torchvision_was_loaded_is_told(clone, monkeypatch):
    monkeypatch.setattr(_torchvision, "_OPERATORS", None, raising=False)
    assert "without its compiled operators" in look("torchvision", clone).detail
    monkeypatch.delattr(_torchvision, "_OPERATORS")
    assert "with its compiled operators" in look("torchvision", clone).detail


def test_optional_packages_are_missing_too_old_or_broken(clone, monkeypatch):
    vars(clone)["extras"] = {"energy": ["codecarbon>=3.3"], "dask": ["distributed>=2024"]}

    def imported(name):
        if outcome := outcomes.get(name):
            raise outcome
        return SimpleNamespace()

    monkeypatch.setattr(doctor.importlib, "import_module", imported)
    for module in (doctor, clone_checks):
        monkeypatch.setattr(module, "version", lambda name: "3.2")
    outcomes = {"distributed": ModuleNotFoundError("no module", name="distributed")}
    found = look("distributed", clone)
    assert (found.state, found.detail) == ("missing", "not installed: pip install -e 'replication[dask]'")
    assert "--scheduler" in found.effect
    outcomes = {"jupyterlab": ModuleNotFoundError("No module named 'tornado'", name="tornado")}
    assert (look("JupyterLab", clone).state, look("JupyterLab", clone).required) == ("broken", False)
    assert look("codecarbon", clone).detail == "version 3.2, must be >=3.3: pip install -e 'replication[energy]'"
    assert look("Jupyter kernel", clone).detail == "ipykernel 3.2, papermill 3.2"


def test_git_is_missing_or_knows_no_commit(clone, monkeypatch):
    monkeypatch.setattr(clone_checks, "environment", lambda: {"commit": "0123456789abcdef", "dirty": True})
    monkeypatch.setattr(clone_checks.shutil, "which", lambda name: name)
    assert look("git", clone).detail == "commit 0123456789, sources changed since"
    monkeypatch.setattr(clone_checks, "environment", lambda: {"commit": None, "dirty": None})
    assert look("git", clone).state == "missing"
    monkeypatch.setattr(clone_checks.shutil, "which", lambda name: None)
    assert (look("git", clone).detail, look("git", clone).effect) == ("not installed", "results name no commit")


def test_memory_is_held_against_what_committed_runs_took(clone, monkeypatch):
    monkeypatch.setattr(resources.os, "sysconf", {"SC_PHYS_PAGES": 2**20, "SC_PAGE_SIZE": 2**12}.get)
    monkeypatch.setattr(resources, "_allowed_bytes", lambda: np.inf)
    assert look("Memory", clone).detail == "4.0 GiB"
    folder = clone.out / "results"
    for name in ("small", "large"):
        ledger.write(
            folder / f"{name}.paper.json",
            notebook="x.ipynb", parameters={"profile": "paper"}, seeds=[], data_checksums={}, cells=[],
        )  # fmt: skip
    (folder / "spoilt.paper.json").write_text("{")
    peaks = {"small.paper.json": 2048.0, "large.paper.json": 3072.0}
    read = ledger.read
    monkeypatch.setattr(ledger, "read", lambda path: read(path) | {"peak_memory_mb": peaks[path.name]})
    assert look("Memory", clone).detail == "4.0 GiB; the largest peak of a committed result is 3.0 GiB (large.paper)"
    peaks["large.paper.json"] = 5120.0
    assert (look("Memory", clone).state, look("Memory", clone).required) == ("missing", False)
    peaks["large.paper.json"] = 3072.0
    monkeypatch.setattr(resources, "_allowed_bytes", lambda: 2**31)
    assert look("Memory", clone).detail.startswith("2.0 GiB; ")


def test_folders_that_cannot_be_written_or_are_full(clone, monkeypatch):
    found = look("Output folder", clone)
    assert found.state == "works" and found.detail.endswith("replication, which will be created")
    assert list(clone.root.iterdir()) == []
    (clone.root / "file").touch()
    inside = Clone(clone.root, clone.root / "file" / "out")
    found = look("Output folder", inside)
    assert (found.state, found.required) == ("broken", True) and found.detail.startswith("NotADirectoryError")
    assert look("Free disk", clone).state == "works"
    monkeypatch.setattr(resources.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**29))
    assert look("Free disk", clone).detail == "0.5 GiB free in the output folder"
    assert look("Free disk", clone).state == "missing"

    def refused(dir):
        raise PermissionError(f"[Errno 13] Permission denied: '{dir}'")

    monkeypatch.setattr(resources.tempfile, "TemporaryFile", refused)
    assert [look(what, clone).state for what in ("Temporary files", "Downloads")] == ["broken", "broken"]


def test_data_that_is_not_here_costs_runs(clone, no_data):
    found = look("Authors' files", clone)
    assert (found.state, found.detail) == ("missing", "0 of 2 on this machine; missing: data/Iris.csv, data/vowel.csv")
    effect = "1 of 2 paper runs skipped; a part left out of 1 of 1 smoke runs; ccprune data get authors downloads them"
    assert found.effect == effect
    assert look("Image sets", clone).effect == "1 of 2 paper runs skipped; ccprune data get images downloads them"
    assert look("Runs", clone).detail == "smoke 1 of 1, about 0 min; default 0 of 0, about 0 min; " + (
        "paper 0 of 2, about 0 min on two cores"
    )
    for name in ("vowel", "Iris"):
        path = clone.root / "cache" / "chaotic-pruning" / "data" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert look("Authors' files", clone) == Line("Authors' files", "works", "2 of 2 on this machine")
    assert look("Runs", clone).detail.endswith("paper 1 of 2, about 1.5 h on two cores")


def test_the_data_folder_is_not_set_or_no_folder(clone, no_data, monkeypatch):
    found = look("CCPRUNE_DATA", clone)
    assert (found.state, found.detail) == ("missing", "not set") and "downloaded to" in found.effect
    monkeypatch.setenv("CCPRUNE_DATA", str(clone.root))
    assert look("CCPRUNE_DATA", clone) == Line("CCPRUNE_DATA", "works", str(clone.root))
    monkeypatch.setenv("CCPRUNE_DATA", str(clone.root / "nowhere"))
    assert look("CCPRUNE_DATA", clone).detail.endswith("nowhere is not a folder")


def test_a_wrong_suite_file_is_told(tmp_path):
    (tmp_path / "replication").mkdir()
    (tmp_path / "replication" / "suite.toml").write_text("[[runs]]")
    found = look("Runs", Clone(tmp_path, tmp_path))
    assert (found.state, found.required) == ("broken", True)
    assert found.detail == "SuiteError: suite.toml: unknown key 'runs' (did you mean run?)"


def doctor_of(out, **environment):
    command = [sys.executable, "-m", "ccprune.cli", "doctor", "--out", str(out)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


def test_this_machine_as_a_user_sees_it(tmp_path):
    done = doctor_of(tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    names = [check.name for check in (*doctor.CHECKS, *checks(Clone(ROOT, tmp_path)))]
    assert [what for what in names if not any(line[9:].startswith(what) for line in lines)] == []
    assert max(map(len, lines)) <= 120
    assert not (tmp_path / "out").exists()


def test_with_a_torch_that_cannot_be_loaded_it_still_says_what_works(tmp_path):
    (tmp_path / "torch.py").write_text("raise OSError('libtorch_cpu.so: cannot open shared object file')")
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = doctor_of(tmp_path, PYTHONPATH=paths)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    states = {
        what: line[:9].strip()
        for what in ("torch", "Python", "Jupyter kernel")
        for line in lines
        if line[9:].startswith(f"{what} ")
    }
    assert (states["torch"], states["Python"], states["Jupyter kernel"]) == ("broken", "works", "works")
    assert any("OSError: libtorch_cpu.so: cannot open shared object file" in line for line in lines)
    assert "Required: torch, " in lines[-1]
