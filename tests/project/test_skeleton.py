"""The files that install and describe the project agree with each other."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rattler import MatchSpec

import ccprune

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REPLICATION = tomllib.loads((ROOT / "replication" / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch"}  # names that conda-forge spells differently


EXTRAS = PROJECT["optional-dependencies"]


def dependencies() -> dict[str, Requirement]:
    """Of the library and of the replication, which needs the library."""
    asked = map(Requirement, [*PROJECT["dependencies"], *REPLICATION["dependencies"]])
    return {r.name: r for r in asked if r.name != "ccprune"}


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"==[^*,+]+", str(pin.specifier)) for pin in pins), "every line is one exact version"
    return {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in pins}


def conda() -> tuple[dict[str, MatchSpec], list[str]]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    specs = [MatchSpec(entry, strict=True) for entry in listed if isinstance(entry, str)]
    return {spec.name.normalized: spec for spec in specs}, next(e for e in listed if isinstance(e, dict))["pip"]


def test_the_lock_satisfies_every_range():
    pins = locked()
    extras = [map(Requirement, EXTRAS[name]) for name in ("test", "bench", "export", "docs", "plot", "search")]
    for requirement in itertools.chain(dependencies().values(), *extras):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), str(requirement)


def test_the_lock_is_free_of_what_differs_between_machines():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"^(nvidia|cuda|triton|ccprune)|^-|://|\+", text, re.MULTILINE)


def test_every_version_of_the_lock_has_digests_but_the_builds_that_differ():
    text = re.sub("^#.*\n", "", (ROOT / "requirements.sha256").read_text(), flags=re.MULTILINE)
    assert re.fullmatch(r"(\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n)+", text)
    found = [Requirement(pin) for pin in re.findall(r"^\S+==\S+", text, flags=re.MULTILINE)]
    pins = {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in found}
    assert pins == {name: version for name, version in locked().items() if name not in ("torch", "torchvision")}


def test_the_lock_is_what_this_environment_has():
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("not run in the environment that make builds from the lock")
    from importlib.metadata import version

    assert {name: version(name).split("+")[0] for name in locked()} == locked()


@pytest.mark.parametrize(
    ("torch", "torchvision"), [("2.11.0", "0.26.0"), ("2.13.0", "0.28.0")], ids=["torch2.11", "torch2.13"]
)
def test_ranges_admit_the_versions_in_use(torch, torchvision):
    assert dependencies()["torch"].specifier.contains(torch)
    assert dependencies()["torchvision"].specifier.contains(torchvision)


def test_conda_environment_has_the_same_packages_and_ranges():
    specs, pip = conda()
    assert pip == ["-e .", "-e replication"]
    expected = {CONDA_NAMES.get(name, name): r for name, r in dependencies().items()}
    assert set(specs) == {*expected, "python", "pip"}
    for name, requirement in expected.items():
        # Conda keeps the order as written, packaging sorts it.
        assert sorted(str(specs[name].version).split(",")) == sorted(str(requirement.specifier).split(","))
    assert str(specs["python"].version) == PROJECT["requires-python"]


def test_citation_has_this_version_and_both_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == ccprune.__version__
    assert [r["notes"][6:16] for r in citation["references"]] == ["2308.09955", "2412.03035"]


def test_importing_the_package_imports_no_heavy_one():
    code = "import sys, ccprune; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture
def bare_tree(tmp_path):
    """A copy of the Makefile with a lock and a package that need no download."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "requirements.sha256"):
        (tmp_path / name).write_text("")
    for folder in (tmp_path, tmp_path / "replication"):
        folder.mkdir(exist_ok=True)
        (folder / "pyproject.toml").write_text("")
    return tmp_path


def make(tree: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PYTHON"))}
    if path is not None:
        environment["PATH"] = str(path)
    return subprocess.run([shutil.which("make"), *arguments], cwd=tree, env=environment, capture_output=True, text=True)


def test_make_alone_lists_the_targets(bare_tree):
    done = make(bare_tree)
    assert done.returncode == 0, done.stderr
    listed = re.findall(r"^make (\w+)", done.stdout, re.MULTILINE)
    assert {"test", "replicate", "lab", "bench", "lint", "clean"} <= set(listed)


@pytest.mark.parametrize("version", ["3.10", "none"])
def test_make_says_that_python_is_missing_or_too_old(bare_tree, tmp_path, version):
    tools = tmp_path / "tools"
    tools.mkdir()
    if version != "none":
        (tools / "python3").write_text("#!/bin/sh\nexit 1\n")  # what the version check of an old Python answers
        (tools / "python3").chmod(0o755)
    done = make(bare_tree, "install", path=tools)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer; tried: python3.11 python3.12 python3.13 python3" in done.stderr
    assert not (bare_tree / ".venv").exists()


def test_make_passes_its_variables_on_and_installs_once(bare_tree):
    plan = make(bare_tree, "-n", "replicate", "PROFILE=smoke", "ONLY=iris", "JOBS=2")
    assert "replicate --profile smoke --jobs 2 --keep-going iris" in plan.stdout
    assert "--no-deps --require-hashes -r requirements.sha256" in plan.stdout
    assert "--no-compile -r requirements.lock" in plan.stdout
    (bare_tree / ".venv").mkdir()
    for stamp in (".locked", ".installed"):
        (bare_tree / ".venv" / stamp).touch()
    assert "pip install" not in make(bare_tree, "-n", "test").stdout
    os.utime(bare_tree / "pyproject.toml", (2**31, 2**31))
    changed = make(bare_tree, "-n", "test").stdout
    assert "-e . -e replication" in changed and "-r requirements.lock" not in changed
