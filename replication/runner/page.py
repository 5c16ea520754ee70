"""Conversion of an executed notebook to one HTML file without scripts, fonts or links to other files.

A notebook's outputs can hold any HTML, so only elements and attributes in the lists of this module are kept.
"""

import html
import re
from functools import partial

from nbformat import NotebookNode

from replication.runner.readable import readable

#: Style of a page, which the site gives older reports, too.
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 62rem;
       margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word; }
.made { color: #555; font-size: 13px; border-bottom: 1px solid #ddd; padding-bottom: .5rem; }
.input .highlight { background: #f7f7f7; border-left: 3px solid #ddd; overflow-x: auto; }
.input pre { font-size: 11px; line-height: 1.35; margin: .6rem 0; padding: .4rem .7rem; }
.output, .formula { overflow-x: auto; overflow-y: hidden; }
.output pre { font-size: 13px; white-space: pre-wrap; }
.output_stderr pre { background: #fdf3e7; padding: .3rem .6rem; }
.anchor-link { display: none; }
img, svg { max-width: 100%; height: auto; }
img[src^="data:image/svg"] { min-width: 40rem; }
@media screen and (min-width: 60rem) { img { min-width: 0 !important; } }
table { border-collapse: collapse; font-size: 13px; margin: .6rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: .2rem .6rem; text-align: left; }
.dataframe th, .dataframe td { text-align: right; white-space: nowrap; }
.dataframe th[colspan] { text-align: left; }
.dataframe td.long { min-width: 16rem; white-space: normal; }
thead th { border-bottom: 2px solid #999; }
tbody th { vertical-align: top; }
"""

# Browsers that obey it run no script, and load nothing, even if one passed the lists below.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_TEXT = """a abbr b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img kbd li ol p pre s small
    span strong sub summary sup table tbody td tfoot th thead tr u ul"""
_MATHS = """math merror menclose mfenced mfrac mi mn mo mover mpadded mphantom mroot mrow ms mspace msqrt mstyle msub
    msubsup msup mtable mtd mtext mtr munder munderover"""
_TEXT_ATTRIBUTES = "alt border class colspan halign height id open rowspan scope style title valign width"
_MATHS_ATTRIBUTES = """accent accentunder class columnalign columnlines columnspacing depth display displaystyle fence
    form height linethickness lspace mathcolor mathsize mathvariant maxsize minsize notation rowlines rowspacing rspace
    scriptlevel separator stretchy voffset width xmlns"""
_HREF = re.compile(r"https?:|mailto:|#|[\w./%-]*(#|$)")
_SRC = re.compile(r"data:image/(png|jpeg|gif|svg\+xml);base64,")
# Without their content; of other elements that are not kept, the text stays.
_REMOVED = re.compile(r"<(script|style|iframe|object|svg|template|noscript)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
#: Of an SVG drawing. As a picture it runs none, but a reader can open it by itself.
_PROGRAM = re.compile(r"<(\w+:)?(script|foreignObject)|\son\w+\s*=|javascript:", re.IGNORECASE)


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
        for output in cell.get("outputs", ()):
            data = output.get("data", {})  # without programs the other forms of the output are shown
            data.pop("application/javascript", None)
            if _PROGRAM.search(data.get("image/svg+xml", "")):
                del data["image/svg+xml"]
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    exporter.register_filter("markdown2html", _markdown)
    body, _ = exporter.from_notebook_node(notebook)
    body = readable(_sanitise(body))
    # Trailing blanks and empty lines are a third of nbconvert's output.
    body = re.sub(r"[ \t]+\n", "\n", body)
    body = re.sub(r"\n{3,}", "\n\n", body)
    colours = HtmlFormatter(style="default").get_style_defs(".highlight")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}{colours}</style>\n</head>\n<body>\n"
        f'<p class="made">{html.escape(note)}</p>\n{body.strip()}\n</body>\n</html>\n'
    )


def _sanitise(body: str) -> str:
    """Return HTML without scripts, handlers of events, frames, styles but alignment, and links that run code."""
    from bleach.css_sanitizer import CSSSanitizer
    from bleach.sanitizer import Cleaner

    allowed = dict.fromkeys(_TEXT.split(), _is_kept) | dict.fromkeys(_MATHS.split(), _MATHS_ATTRIBUTES.split())
    styles = CSSSanitizer(allowed_css_properties=("text-align",))
    cleaner = Cleaner(allowed, allowed, ("http", "https", "mailto", "data"), css_sanitizer=styles, strip=True)
    return cleaner.clean(_REMOVED.sub("", body))


def _is_kept(element: str, attribute: str, value: str) -> bool:
    if attribute == "href":
        return element == "a" and bool(_HREF.match(value))
    if attribute == "src":
        return element == "img" and bool(_SRC.match(value))
    return attribute in _TEXT_ATTRIBUTES.split()


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
