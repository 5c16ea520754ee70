"""`make lab` in a browser: the first notebook opens, runs to its end, and its figure is turned by hand.

JupyterLab runs as the Makefile starts it, on a copy of notebooks/, because it saves what it has run.
"""

import base64
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FIRST = "notebooks/00_start_here.ipynb"
OUTSIDE = "replication/README.md"  # of notebooks/; the first lesson links to it
# Seconds, for a machine that is busy with other things; on two idle cores all is done within one minute.
STARTS, RUNS, TURNS = 120, 240, 60

# What the browser knows of the notebook: how far it has come, and what its cells said.
STATE = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  const all = [...(panel?.content?.model?.cells ?? [])];
  const cells = all.filter(c => c.type == "code" && c.sharedModel.getSource().trim());
  const outputs = cells.flatMap(c => [...Array(c.outputs.length).keys()].map(i => c.outputs.get(i).toJSON()));
  return {
    path: panel?.context?.path, kernel: panel?.sessionContext?.session?.kernel?.status,
    cells: cells.length, done: cells.filter(c => c.executionCount).length,
    errors: outputs.filter(o => o.output_type == "error").map(o => `${o.ename}: ${o.evalue}`),
    pictures: outputs.filter(o => o.data?.["image/png"]).length,
  };
}"""


def lab_command() -> list[str]:
    """What `make lab` runs, by this interpreter."""
    recipe = re.search(r"^lab:.*\n\t\$\(PY\) (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    return [sys.executable, *recipe[1].split()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def lab(tmp_path):
    """A running JupyterLab that keeps to itself: (the file that its browser would be opened on, its address)."""
    pytest.importorskip("jupyterlab", reason="needs the notebooks' packages")
    project, runtime, port = tmp_path / "project", tmp_path / "runtime", free_port()
    # Not where a run left outputs or checkpoints of its own.
    for part in ("notebooks", "scripts"):
        shutil.copytree(ROOT / part, project / part, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    (project / OUTSIDE).parent.mkdir()
    shutil.copy(ROOT / OUTSIDE, project / OUTSIDE)
    folders = {f"JUPYTER_{kind.upper()}_DIR": str(tmp_path / kind) for kind in ("config", "data", "runtime")}
    environment = {**os.environ, **folders, "IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(ROOT)}
    command = [
        *lab_command(),
        "--no-browser",
        "--expose-app-in-browser",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={secrets.token_hex(16)}",
    ]
    if os.geteuid() == 0:
        command.append("--allow-root")
    log = tmp_path / "lab.log"
    with (
        log.open("w") as said,
        subprocess.Popen(command, cwd=project, env=environment, stdout=said, stderr=subprocess.STDOUT) as server,
    ):
        try:
            opening = _opening(runtime, server, log)
            yield opening, f"http://localhost:{port}/"
        finally:
            server.terminate()  # it ends its kernels
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _opening(runtime: Path, server: subprocess.Popen, log: Path) -> Path:
    """The page that JupyterLab opens a browser on to show the notebook that it was told, once it is ready."""
    until = time.monotonic() + STARTS
    while time.monotonic() < until and server.poll() is None:
        time.sleep(0.2)
        for found in runtime.glob("jpserver-file-to-run-*-open.html"):
            return found
        if list(runtime.glob("jpserver-*-open.html")):  # the page of the lab itself: the notebook's follows at once
            until = min(until, time.monotonic() + 5)
    pytest.fail(f"JupyterLab did not start on a notebook:\n{log.read_text()[-3000:]}")


@pytest.fixture
def page(browser, lab):
    """A page that remembers what it asks of others than its server."""
    _, address = lab
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.asked = []
    own = (address, "data:", "blob:", "file:")
    page.on("request", lambda request: request.url.startswith(own) or page.asked.append(request.url))
    yield page
    page.close()


def state_when(page, condition: str, *, seconds: float) -> dict:
    """The notebook's state as soon as the condition, in JavaScript and of `state`, holds."""
    from playwright.sync_api import TimeoutError as Timeout

    try:
        page.wait_for_function(f"() => {{ const state = ({STATE})(); return {condition}; }}", timeout=1000 * seconds)
    except Timeout:
        pytest.fail(f"not within {seconds} s: {condition}; the notebook's state is {page.evaluate(STATE)}")
    return page.evaluate(STATE)


def png(picture) -> bytes:
    """The bytes that an img element shows, once it shows them."""
    picture.scroll_into_view_if_needed()
    assert picture.is_visible() and picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    kind, _, encoded = picture.get_attribute("src").partition(",")
    assert kind == "data:image/png;base64"
    found = base64.b64decode(encoded)
    assert found.startswith(b"\x89PNG\r\n\x1a\n")
    return found


def test_the_first_notebook_opens_runs_and_is_turned(lab, page, tmp_path):
    from playwright.sync_api import expect

    opening, address = lab
    page.goto(opening.as_uri())  # as JupyterLab's own browser would; it leads on to the notebook
    page.wait_for_url(f"{address}lab/tree/{FIRST}*", timeout=1000 * STARTS)
    opened = state_when(page, f"state.path == '{FIRST}' && state.kernel == 'idle'", seconds=STARTS)
    assert opened["cells"] > 10 and opened["done"] == 0 and opened["pictures"] == 0
    page.screenshot(path=tmp_path / "1_opened.png")

    page.locator(f".jp-Notebook a[href*='{OUTSIDE}']").first.click()
    expect(page.locator(".jp-MarkdownViewer h1").first).to_be_visible(timeout=1000 * TURNS)  # not its source
    page.evaluate("() => window.jupyterapp.shell.currentWidget.close()")
    state_when(page, f"state.path == '{FIRST}'", seconds=TURNS)

    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    ended = "(state.done == state.cells && state.kernel == 'idle') || state.errors.length > 0"
    ran = state_when(page, ended, seconds=RUNS)
    assert ran["errors"] == [] and ran["done"] == ran["cells"]
    assert ran["pictures"] >= 4
    pictures = page.locator(".jp-Notebook .jp-OutputArea img")
    assert all(len(png(picture)) > 1000 for picture in pictures.all())

    turned = page.locator(".jp-Notebook .jp-OutputArea").filter(has=page.get_by_role("slider"))
    expect(turned).to_have_count(1)
    slider, picture, reading = (
        turned.get_by_role("slider").first,
        turned.locator("img"),
        turned.locator(".widget-readout"),
    )
    before, stood = png(picture), reading.first.inner_text()
    page.screenshot(path=tmp_path / "2_ran.png")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(reading.first).not_to_have_text(stood)
    expect(picture).not_to_have_attribute("src", picture_source(before), timeout=1000 * TURNS)
    after = png(picture)
    assert after != before
    page.keyboard.press("ArrowLeft")
    expect(picture).to_have_attribute("src", picture_source(before), timeout=1000 * TURNS)
    page.keyboard.press("ArrowRight")
    expect(picture).to_have_attribute("src", picture_source(after), timeout=1000 * TURNS)
    page.screenshot(path=tmp_path / "3_turned.png")
    assert page.evaluate(STATE)["errors"] == []

    # Saved, and opened again with a kernel that has run nothing: no widget, but the picture as it was left.
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.goto(f"{address}lab/tree/{FIRST}?reset")
    state_when(page, f"state.path == '{FIRST}' && state.pictures == {ran['pictures']}", seconds=STARTS)
    kept = page.locator(f'.jp-Notebook .jp-OutputArea img[src="{picture_source(after)}"]')
    expect(kept).to_have_count(1, timeout=1000 * TURNS)
    assert png(kept) == after
    expect(page.get_by_role("slider")).to_have_count(0)
    kept.scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "4_without_its_kernel.png")
    assert page.asked == []
    expect(page.locator(".Toastify__toast")).to_have_count(0)  # no question about news lies over the notebook


def picture_source(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
