"""A figure with knobs in a notebook that the suite's worker runs: the report has its picture, and asks for nothing."""

import base64
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[3]
CELL = """\
from matplotlib.figure import Figure
from replication.figures.interactive import Interactive
from replication.figures.interactive._figure import slider
def draw(*, height):
    figure = Figure(figsize=(2, 2))
    figure.suptitle(f"bar of height {height}")
    figure.subplots().bar([0], [height])
    return figure
shown = Interactive(draw, {"height": slider("height", [("1", 1), ("2", 2)], 1)})
shown"""
TURNED = """\
import base64, pathlib
first = shown.png
shown.knobs["height"].value = 2
pathlib.Path(out).write_text(base64.b64encode(shown.png).decode())
assert shown.png != first"""


class Asked(HTMLParser):
    """Whatever a browser would fetch for a page, and its pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures, self.others = [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "img":
            self.pictures.append(attrs)
        elif tag in ("link", "iframe", "object", "embed") or "src" in attrs:
            self.others.append((tag, attrs))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Report, executed notebook and last picture of a notebook that shows a figure and then turns its knob."""
    folder = tmp_path_factory.mktemp("worker")
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("out = ''", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(CELL),
            nbformat.v4.new_code_cell(TURNED),
        ]
    )
    nbformat.write(notebook, folder / "figure.ipynb")
    last = folder / "last.txt"
    job = {
        "notebook": str(folder / "figure.ipynb"),
        "folder": str(folder / "job"),
        "cwd": str(folder),
        "parameters": {"out": str(last)},
        "recorded": {},
        "cell_seconds": 120,
        "title": "figure",
        "note": "a test",
    }
    (folder / "job").mkdir()
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "replication.runner.worker", str(folder / "job.json")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    executed = nbformat.read(folder / "job" / "executed.ipynb", as_version=4)
    return (folder / "job" / "report.html").read_text(), executed, last.read_text()


def test_report_shows_the_picture_once_and_asks_nothing_of_the_network(run):
    page, _, last = run
    asked = Asked()
    asked.feed(page)
    assert asked.others == []
    (picture,) = asked.pictures
    assert picture["src"].replace("\n", "") == f"data:image/png;base64,{last}"
    assert picture["alt"] == "bar of height 2"
    assert "<script" not in page and "Knobs: height." in page
    assert not re.search(r"""(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", page)


def test_notebook_holds_the_turned_picture_for_readers_without_a_kernel(run):
    _, executed, last = run
    (knobs, picture) = next(cell.outputs for cell in executed.cells if cell.source == CELL)
    assert "application/vnd.jupyter.widget-view+json" in knobs.data
    assert "image/png" not in knobs.data and "application/vnd.jupyter.widget-view+json" not in picture.data
    assert base64.b64decode(picture.data["image/png"]) == base64.b64decode(last)
    assert picture.metadata["image/png"]["alt"] == "bar of height 2"
