"""Ways into the lessons without an installation: one public address, and the files for Binder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import public_address
import pytest
import site_sliders
import site_tables
import yaml

ROOT = Path(__file__).parents[2]
PUBLIC = "https://github.com/someone/pruning"
FILES = ("pyproject.toml", "README.md", "CITATION.cff")


@pytest.fixture
def project(tmp_path):
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def set_address(project: Path, public: str) -> None:
    text = (project / "pyproject.toml").read_text()
    changed = re.sub(r"^\[project.urls\]\n", f'[project.urls]\nRepository = "{public}"\n', text, flags=re.M)
    assert changed != text
    (project / "pyproject.toml").write_text(changed)
    public_address.write(project)


def test_the_committed_files_have_the_address_of_the_setting(project):
    public_address.write(project)
    assert all((project / name).read_text() == (ROOT / name).read_text() for name in FILES)


def test_one_setting_reaches_every_place_and_none_when_it_is_removed(project):
    made = site_tables.MADE["online"]
    before = {name: (project / name).read_text() for name in FILES}
    assert public_address.address(ROOT) or "colab.research" not in before["README.md"]
    set_address(project, f"{PUBLIC}/")
    assert f"{PUBLIC.removeprefix('https://github.com/')}/blob/HEAD/notebooks/00" in (project / "README.md").read_text()
    assert yaml.safe_load((project / "CITATION.cff").read_text())["repository-code"] == PUBLIC
    assert f"git clone --depth 1 {PUBLIC}\n" in made(project, None) and "colab" not in made(ROOT, None).lower()
    (project / "pyproject.toml").write_text(before["pyproject.toml"])
    public_address.write(project)
    assert {name: (project / name).read_text() for name in FILES} == before


def test_null_an_address_elsewhere_has_no_badge():
    assert public_address.badges("https://git.example.org/a/b") == public_address.badges("") == ""


def test_binder_installs_the_lock_and_both_packages(tmp_path):
    """All but the downloads: pip resolves the files against what is installed here."""
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check"]
    wanted = ROOT / ".binder" / "requirements.txt"
    done = subprocess.run([*pip, "--dry-run", "-r", wanted], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pins = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
    assert done.stdout.count("already satisfied") == len(pins) > 50
    settings = tmp_path / "settings"
    environment = os.environ | {
        "PIP_DRY_RUN": "1",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BINDER_SETTINGS": str(settings),
    }
    made = subprocess.run(
        [ROOT / ".binder" / "postBuild"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert re.search(r"Would install .*ccprune-\S+ .*replication", made.stdout), made.stdout
    assert (settings / "overrides.json").read_bytes() == (ROOT / "scripts/jupyterlab/overrides.json").read_bytes()


def test_a_slider_has_a_picture_for_each_setting_of_the_figure_that_the_run_made():
    drawn = site_sliders.with_slider
    drawn.__globals__.update(WINDOWS=(20,), LAGS=())
    parameters = {"dataset": "iris3f", "network": 0, "seed": 0}
    words = "window 50 steps, lags 1 to 14: 53 windows, 4 of 36 weights pruned"  # as lesson 11's committed report
    found, pictures = drawn(f'<img alt="{words}" src="">', notebook="11_legcnet.ipynb", parameters=parameters)
    assert sorted(pictures) == ["window-20-lags-14.png", "window-50-lags-14.png"]
    assert pictures["window-20-lags-14.png"] != pictures["window-50-lags-14.png"]
    assert f'alt="{words}" src="window-50-lags-14.png"' in found and "<script>" in found
    other = f'<img alt="{words.replace("4 of", "5 of")}" src="">'
    assert drawn(other, notebook="11_legcnet.ipynb", parameters=parameters) == (other, {})
