"""Run notebooks as pages that need nothing else."""

import base64
import io
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from replication.runner import alt_text
from replication.runner.page import to_html
from replication.runner.readable import readable

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


PLANTED = {
    "script": "<script>planted()</script>",
    "unclosed script": "<script src='https://a.example/planted.js'>",
    "script in a script": "<scr<script></script>ipt>planted()</scr<script></script>ipt>",
    "handler": "<img src='data:image/png;base64,iVBORw0KGgo=' onerror='planted()'>",
    "handler of a cell": "<table><tr><td onclick=planted()>kept</td></tr></table>",
    "link": "<a href='javascript:planted()'>kept</a>",
    "disguised link": "<a href=' jAva&#9;script&#58;planted()'>kept</a>",
    "link to data": "<a href='data:text/html,<script>planted()</script>'>kept</a>",
    "frame": "<iframe srcdoc='planted()'></iframe>",
    "drawing": "<svg onload='planted()'><script>planted()</script></svg>",
    "drawing as a picture": "<img src='data:image/svg+xml,planted()'>",
    "formula": "<math><mi href='javascript:planted()' onclick='planted()'>x</mi></math>",
    "style": "<style>@import 'planted()'</style><p style='background: url(planted())'>kept</p>",
    "form": "<form action='https://a.example/planted()'><button formaction='planted()'>kept</button></form>",
    "other address": "<base href='https://a.example/planted()'><meta http-equiv=refresh content='0;url=planted()'>",
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
@pytest.mark.parametrize("place", ["output", "text"])
def test_no_script_of_a_notebook_reaches_its_page(planted, place):
    """Planted in the HTML of an output, or in the text itself."""
    output = new_output("display_data", {"text/html": planted, "text/plain": "an output"})
    cells = [new_code_cell("show()", outputs=[output])] if place == "output" else [new_markdown_cell(planted)]
    found = to_html(new_notebook(cells=cells), title="a", note="b")
    active = r"<(script|iframe|svg|base|form|button|link)|<[^>]*(planted|javascript|\son\w+\s*=|refresh)"
    assert not re.search(active, found, re.IGNORECASE)
    assert found.count("<style") == 1 and ("kept" in found) == ("kept" in planted)


@pytest.mark.parametrize("form", ["application/javascript", "image/svg+xml"])
def test_a_program_is_shown_by_the_other_forms_of_its_output(form):
    output = new_output("display_data", {form: "<svg><script>planted()</script></svg>", "text/plain": "a plot"})
    found = to_html(new_notebook(cells=[new_code_cell("show()", outputs=[output])]), title="a", note="b")
    assert "a plot" in found and "planted" not in found and "<img" not in found


def test_null_a_drawing_without_a_program_is_a_picture():
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 1"><text>on = 1</text></svg>'
    output = new_output("display_data", {"image/svg+xml": drawing, "text/plain": "<SVG object>"})
    found = to_html(new_notebook(cells=[new_code_cell("show()", outputs=[output])]), title="a", note="b")
    coded = re.search('<img [^>]*src="data:image/svg[+]xml;base64,([^"]+)"', found)[1]
    assert base64.b64decode(coded).decode().strip() == drawing and "SVG object" not in found


def test_null_what_reports_consist_of_is_kept():
    kept = (
        '<table class="dataframe"><tr style="text-align: right;"><th rowspan="2">a</th></tr></table>',
        '<img alt="a" src="data:image/png;base64,iVBORw0KGgo=">',
        '<a href="00_start_here.ipynb#x">b</a>',
        "<details><summary>c</summary></details>",
    )
    found = to_html(new_notebook(cells=[new_markdown_cell("\n\n".join(kept))]), title="a", note="b")
    assert all(part in found.replace("<tbody>", "").replace("</tbody>", "") for part in kept)
    assert "default-src 'none'" in found


def _png(width: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, 40)).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def test_a_picture_has_its_own_words_or_those_before_it_and_is_never_drawn_too_small():
    outputs = [
        new_output("display_data", {"image/png": _png(1000)}, metadata={"image/png": {"alt": words}})
        for words in ("own words", "png", "")
    ]
    cells = [new_markdown_cell('## A "heading"\n\nThe loss $x$ falls.'), new_code_cell("show()", outputs=outputs)]
    found = to_html(new_notebook(cells=cells), title="a", note="b")
    told = "{}: A &quot;heading&quot;: The loss x falls."
    assert re.findall(r'<img [^>]*alt="([^"]*)"', found) == [
        "own words",
        told.format("Figure 2"),
        told.format("Figure 3"),
    ]
    assert found.count('width="1000" height="40" style="min-width: 700px"') == 3
    assert readable(found) == found


def test_a_long_formula_scrolls_and_a_cell_that_leaves_out_its_part_is_folded():
    def cell(text):
        return new_code_cell("show()", outputs=[new_output("stream", name="stdout", text=text)])

    said = ("Left out here: needs seeds.\n", "Omitted: a.\n", "Left\nLeft out: 3\n")
    cells = [new_markdown_cell("$$a$$ and $b$"), *map(cell, said)]
    found = to_html(new_notebook(cells=cells), title="a", note="b")
    assert found.count('<div class="formula"><math') == 1 and found.count("<math") == 2
    assert re.findall("<summary>(.*?)</summary>", found) == ["Left out here: needs seeds.", "Omitted: a."]
    assert readable(found) == found


def test_a_missing_number_is_a_dash_and_a_long_text_is_wrapped():
    table = pd.DataFrame({"a": [1.0, float("nan")], "note": ["NaN of a", "x" * 41]})
    output = new_output("execute_result", {"text/html": table.to_html()})
    found = to_html(new_notebook(cells=[new_code_cell("show()", outputs=[output])]), title="a", note="b")
    cells = [("", "1.0"), ("", "NaN of a"), ("", "–"), (' class="long"', "x" * 41)]
    assert re.findall("<td(.*?)>(.*?)</td>", found) == cells
    assert readable(found) == found


def test_a_figure_is_described_by_its_titles_labels_and_legends():
    from IPython.core.formatters import DisplayFormatter
    from matplotlib.figure import Figure

    figure = Figure()
    left, right = figure.subplots(1, 2)
    figure.suptitle("Both")
    left.plot([0, 1], label="dense")
    left.set(title="one", xlabel="epoch\n(n = 3)", ylabel="loss")
    left.legend()
    right.set(xlabel="step")
    shell = SimpleNamespace(display_formatter=DisplayFormatter())
    alt_text.load_ipython_extension(shell)
    assert (
        shell.display_formatter.format(figure)[1]["image/png"]["alt"]
        == "Figure. Both. one: loss against epoch (n = 3): dense. step"
    )
    assert shell.display_formatter.format("text")[1] == {}
