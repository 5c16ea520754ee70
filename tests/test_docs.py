"""The pages in docs/ and the reference build without a warning, and every name that is public is in it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ccprune

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    told = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0 and "WARNING" not in told.stderr, told.stderr
    return folder


def test_what_the_package_offers_is_in_the_reference(site):
    pages = "".join(path.read_text(encoding="utf-8") for path in site.glob("reference/*/index.html"))
    for name in ccprune.__all__:
        found = getattr(ccprune, name)
        assert re.search(rf'id="{re.escape(found.__module__.removesuffix("._core"))}\.{name}"', pages), name


def test_nothing_is_fetched_when_a_page_is_read(site):
    for path in site.rglob("*.html"):
        for address in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', path.read_text()):
            assert "canonical" in address, (path, address)


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r": ([\w/]+\.md)", (ROOT / "mkdocs.yml").read_text()))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
