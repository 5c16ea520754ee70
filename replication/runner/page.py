"""Conversion of an executed notebook to one HTML file without scripts, fonts or links to other files."""

import html
import re
from functools import partial

from nbformat import NotebookNode

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 62rem;
       margin: 2rem auto; padding: 0 1rem; }
.made { color: #555; font-size: 13px; border-bottom: 1px solid #ddd; padding-bottom: .5rem; }
.input .highlight { background: #f7f7f7; border-left: 3px solid #ddd; overflow-x: auto; }
.input pre { font-size: 11px; line-height: 1.35; margin: .6rem 0; padding: .4rem .7rem; }
.output pre { font-size: 13px; overflow-x: auto; }
.output_stderr pre { background: #fdf3e7; padding: .3rem .6rem; }
.anchor-link { display: none; }
img, svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 13px; margin: .6rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: .2rem .6rem; text-align: right; white-space: nowrap; }
thead th { border-bottom: 2px solid #999; }
"""


def to_html(notebook: NotebookNode, *, title: str, note: str) -> str:
    """Convert an executed notebook to HTML.

    The page has the code in small print, without prompts. Formulas are MathML, which browsers draw without scripts.

    Parameters
    ----------
    notebook : NotebookNode
        As papermill returns it. Its widgets' metadata are removed.
    title : str
        Title of the page.
    note : str
        Line at the top of the page about its origin.

    Returns
    -------
    str
    """
    from nbconvert import HTMLExporter  # slow to import; only a worker needs it
    from pygments.formatters import HtmlFormatter

    # Widgets do not work without a kernel, and their scripts would fail. For widgets without a state nbconvert uses
    # the other forms of their output, such as the picture of a figure.
    notebook.metadata.pop("widgets", None)
    for number, cell in enumerate(notebook.cells):  # papermill gives the cell that it adds a random one
        cell["id"] = f"cell-{number}"
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.register_filter("markdown2html", _markdown)
    body, _ = exporter.from_notebook_node(notebook)
    # Trailing blanks and empty lines are a third of nbconvert's output.
    body = re.sub(r"[ \t]+\n", "\n", body)
    body = re.sub(r"\n{3,}", "\n\n", body)
    colours = HtmlFormatter(style="default").get_style_defs(".highlight")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}{colours}</style>\n</head>\n<body>\n"
        f'<p class="made">{html.escape(note)}</p>\n{body.strip()}\n</body>\n</html>\n'
    )


def _markdown(source: str) -> str:
    """Render as nbconvert's own filter does, with formulas as MathML."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    renderer = IPythonRenderer(escape=False)
    renderer.inline_math = partial(_formula, display="inline")
    renderer.block_math = partial(_formula, display="block")
    return MarkdownWithMath(renderer=renderer).render(source)


def _formula(latex: str, *, display: str) -> str:
    from latex2mathml.converter import convert

    try:
        return convert(latex, display=display)
    except Exception:  # its errors have no common class, and a formula must not make a run of hours fail
        return f"<code>{html.escape(latex.strip())}</code>"
