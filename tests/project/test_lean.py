"""The library installed without its extras: it scores, prunes, compares and exports, and starts quickly."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)

# Installed, but not by the dependencies alone: what a reader without extras does not have.
_HIDE = """
import sys
from importlib.machinery import PathFinder

class Present(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {names!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Present
"""


def brought_by(requirements: list[str]) -> set[str]:
    """Distributions that these requirements install, those that they need in turn included."""
    found: set[str] = set()
    waiting = list(map(Requirement, requirements))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            needed = requires(name) or []
        except PackageNotFoundError:  # another platform's, or one that this torch comes without
            continue
        found.add(name)
        waiting += map(Requirement, needed)
    return found


def hidden() -> set[str]:
    kept = brought_by(DEPENDENCIES) | {"ccprune"}
    modules = packages_distributions()
    found = {name for name, owners in modules.items() if not kept & {canonicalize_name(owner) for owner in owners}}
    return found - {"replication"}  # it lies in the clone, installed or not


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )


def run_without_extras(code: str) -> subprocess.CompletedProcess:
    return run(_HIDE.format(names=hidden()) + code, MPLBACKEND="agg")


def test_what_is_hidden_is_what_the_extras_bring():
    assert {"jupyterlab", "papermill", "nbformat", "shap", "weightwatcher", "torch_pruning"} <= hidden()
    assert not {"torch", "numpy", "pandas", "safetensors", "ccprune"} & hidden()


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_readme_example_runs_without_the_extras(number):
    done = run_without_extras(EXAMPLES[number])
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_library_is_imported_without_the_extras():
    done = run_without_extras(
        "from ccprune import comparison, criteria, distributed, export, flatness, granger, lasso, lyapunov, mask, "
        "measure, online, recording, scores, stats, training"
    )
    assert done.returncode == 0, done.stderr


def test_replicate_names_a_missing_package_and_what_brings_it(tmp_path):
    done = run_without_extras(
        f"from ccprune.cli import main; sys.exit(main(['replicate', '--out', {str(tmp_path)!r}]))"
    )
    assert done.returncode == 2
    assert "is not installed; run `make install`, or pip install -e . -e replication" in done.stderr
    assert not list(tmp_path.rglob("*.json"))


def test_channels_cannot_be_removed_without_torch_pruning_and_the_error_says_so():
    done = run_without_extras(
        "import torch, ccprune; from ccprune import export; model = torch.nn.Linear(4, 4); "
        "mask = ccprune.Mask.from_scores({'weight': torch.rand(4, 4)}, sparsity=0.5); "
        "export.to_structured(model, mask, torch.rand(1, 4))"
    )
    assert "channels are found by torch-pruning: pip install torch-pruning" in done.stderr


def test_every_public_name_is_imported_within_a_second_and_a_half_after_torch():
    code = (
        "import time, torch; start = time.perf_counter(); import ccprune; "
        "[getattr(ccprune, name) for name in ccprune.__all__]; print(time.perf_counter() - start)"
    )
    # One of three: the first may find files that were not read before, and other tests may be running.
    assert any(float(run(code).stdout) < 1.5 for _ in range(3))
