"""The library's wheel: what it holds, and what works with it alone, outside the clone and without optional packages."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from extras import brought_by_extras, code_that_hides
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
# What the replication, its tests and the library's extras bring, matplotlib even though celer brings it too.
HIDDEN = (
    *("replication", "statsmodels", "hypothesis", "matplotlib", "jupyter", "jupyter_client", "jupyter_core"),
    *("jupyterlab", "papermill", "nbformat", "nbclient", "IPython", "ipykernel", "shap", "weightwatcher"),
    *("torch_pruning", "distributed", "rattler", "pytest", "mypy"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of the clone, since setuptools writes beside the sources and reads what lies there."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Python with the unpacked wheel, in an empty folder."""
    unpacked, start, cwd = (tmp_path_factory.mktemp(name) for name in ("unpacked", "start", "elsewhere"))
    zipfile.ZipFile(wheel).extractall(unpacked)
    # Python runs this file at its start.
    (start / "sitecustomize.py").write_text(code_that_hides({*HIDDEN, *brought_by_extras()}))
    here = {"PYTHONPATH": os.pathsep.join(map(str, (start, unpacked)))}

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-P", *arguments]
        return subprocess.run(command, cwd=cwd, env=os.environ | here | environment, capture_output=True, text=True)

    found = call("-c", "import ccprune; print(ccprune.__file__)")
    assert found.stdout.strip() == str(unpacked / "ccprune" / "__init__.py"), found.stderr
    return call


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ccprune").rglob("*.py")}
    metadata = [name for name in names if name.startswith(f"ccprune-{wheel.name.split('-')[1]}.dist-info/")]
    data = {f"ccprune/{name}" for name in ("py.typed", "_pilot/page.html", "_pilot/texts.toml")}
    assert set(names) - set(metadata) == sources | data
    assert {Path(name).name for name in metadata} == {
        *("METADATA", "WHEEL", "RECORD", "LICENSE", "entry_points.txt", "top_level.txt")
    }


def test_its_metadata_asks_for_the_dependencies_and_for_no_more(wheel):
    (name,) = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA")]
    metadata = message_from_string(zipfile.ZipFile(wheel).read(name).decode())
    asked = [Requirement(line) for line in metadata.get_all("Requires-Dist")]
    assert {str(one) for one in asked if one.marker is None} == {str(Requirement(d)) for d in PROJECT["dependencies"]}
    assert all(one.marker is None or "extra ==" in str(one.marker) for one in asked)


def test_the_hidden_packages_cannot_be_imported(run):
    code = f"""
for name in {HIDDEN!r}:
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(error)
"""
    assert run("-c", code).stdout.splitlines() == [f"No module named '{name}'" for name in HIDDEN]


def test_importing_the_package_takes_less_than_a_fifth_of_a_second(run):
    code = (
        "import sys, time; before = {*sys.modules}; start = time.perf_counter(); import ccprune; "
        "print(time.perf_counter() - start, *{'torch', 'numpy', 'pandas'} & {*sys.modules} - before)"
    )
    found = [run("-c", code).stdout.split() for _ in range(3)]
    assert min(float(seconds) for seconds, *_ in found) < 0.2
    assert [heavy for _, *heavy in found] == [[], [], []]


def test_the_exponents_bring_neither_training_nor_the_replication(run):
    loaded = run("-c", "import sys, ccprune.lyapunov; print(*sys.modules)").stdout.split()
    assert "ccprune.lyapunov" in loaded
    assert not [name for name in loaded if name.split(".")[0] == "replication" or name == "ccprune.training"]


def test_every_module_is_imported(run):
    done = run(
        "-c",
        "from ccprune import comparison, criteria, distributed, export, flatness, granger, lasso, lyapunov, mask, "
        "measure, online, recording, scores, stats, training",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_readme_example_runs(run, number):
    # Compiling takes a quarter of a minute in a new folder, and other tests run the same sources compiled.
    done = run("-c", EXAMPLES[number], NUMBA_DISABLE_JIT="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_doctor_needs_no_clone(run):
    done = run("-m", "ccprune.cli", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything that is required works." in done.stdout


def test_replicate_says_that_it_needs_a_clone(run):
    done = run("-m", "ccprune.cli", "replicate")
    assert done.returncode == 2
    assert "this command needs a clone of the project, but there is none" in done.stderr
