"""Run notebooks as pages that need nothing else."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from replication.runner.page import to_html

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def page(*texts: str) -> str:
    return to_html(new_notebook(cells=[new_markdown_cell(text) for text in texts]), title="a < b", note="made")


def test_formulas_are_set_in_the_line_and_by_themselves():
    found = page(r"With $x_i^2$, $$\sum_k \theta_k$$ and \$5.")
    assert "<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>" in found
    assert re.findall(r'<math [^>]*display="(\w+)"', found) == ["inline", "block"]
    assert "and $5." in found and "$$" not in found


def test_a_formula_that_cannot_be_read_stays_as_it_was_written():
    found = page(r"before $\left( x < 1$ after")
    assert r"before <code>\left( x &lt; 1</code> after" in found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_formula_of_the_notebooks_is_set(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    found = page(*(cell.source for cell in cells))
    assert not re.findall(r"<m\w+[^>]*>\\\w+", found), "commands that MathML does not know"
    assert "<ns0:" not in found, "formulas in headings are not drawn"
    assert len(re.findall(r"<math ", found)) >= sum(len(re.findall(r"\$\$", cell.source)) // 2 for cell in cells)
    assert "$$" not in re.sub(r"<(pre|code).*?</\1>", "", found, flags=re.DOTALL)


def test_a_page_asks_nothing_of_the_network():
    notebook = new_notebook(cells=[new_markdown_cell("# Title\n\n$a$"), new_code_cell("1 + 1")])
    found = to_html(notebook, title="a < b", note="made by a & b")
    assert "<title>a &lt; b</title>" in found and "made by a &amp; b" in found
    assert not re.search(r"<script|<link|src=[\"']http|@import", found)


def test_a_widget_is_shown_by_the_other_forms_of_its_output():
    widget = {"application/vnd.jupyter.widget-view+json": {"version_major": 2, "version_minor": 0, "model_id": "f00d"}}
    shown = [widget | {"image/png": "iVBORw0KGgo=", "text/plain": "a figure"}, widget | {"text/plain": "VBox()"}]
    outputs = [new_output("display_data", data) for data in shown]
    notebook = new_notebook(cells=[new_code_cell("show()", outputs=outputs)])
    state = {"f00d": {"model_name": "VBoxModel", "model_module": "@jupyter-widgets/controls", "state": {}}}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    found = to_html(notebook, title="a", note="b")
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in found and "VBox()" in found and "a figure" not in found
    assert "<script" not in found and "f00d" not in found and "widget" not in found
