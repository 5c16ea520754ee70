import os
import shutil

import pytest


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by playwright; the test is skipped where one of them is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs a chromium on the PATH, as Debian's, or named by CHROMIUM")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
