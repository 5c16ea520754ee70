"""The library installed without its extras says what is missing, and starts quickly. What works: test_wheel.py."""

import os
import subprocess
import sys
from pathlib import Path

from extras import brought_by_extras, code_that_hides

ROOT = Path(__file__).parents[2]


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )


def run_without_extras(code: str) -> subprocess.CompletedProcess:
    return run(code_that_hides(brought_by_extras()) + code, MPLBACKEND="agg")


def test_what_is_hidden_is_what_the_extras_bring():
    assert {"jupyterlab", "papermill", "nbformat", "shap", "weightwatcher", "torch_pruning"} <= brought_by_extras()
    assert not {"torch", "numpy", "pandas", "safetensors", "ccprune"} & brought_by_extras()


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
