"""Changes to the HTML of an executed notebook for small screens and for readers who do not see its pictures.

`readable` leaves its own output unchanged, so that it can be applied to reports of any age.
"""

import base64
import html
import re
import struct

_CELL = re.compile(r'(?=<div class="cell border-box-sizing )')
_NO_TEXT = "No description has been provided for this image"  # by nbconvert
_TEXT = re.compile(
    r"<h(?P<level>[1-6])\b[^>]*>(?P<heading>.*?)</h(?P=level)>|<p>(?P<text>.*?)</p>|(?P<image><img\b[^>]*>)", re.DOTALL
)
_PNG = re.compile(r'src="data:image/png;base64,([\w+/]{32})')
_LEAST_SCALE = 0.7  # at which labels of 11 pixels can still be read
_LONGEST = 250  # characters of a description


def readable(body: str) -> str:
    """Give images a text and a least width, formulas a box that scrolls, and fold cells that only state an omission.

    In tables, a dash stands for a missing number, and long texts have a class by which they are wrapped.

    Parameters
    ----------
    body : str
        HTML as nbconvert's template "basic" writes it.

    Returns
    -------
    str
    """
    body = re.sub(
        r'(?<!<div class="formula">)(<math\b[^>]*\bdisplay="block".*?</math>)',
        r'<div class="formula">\1</div>',
        body,
        flags=re.DOTALL,
    )
    body = re.sub(r"<td>(?:NaN|nan|NaT)</td>", "<td>–</td>", body)
    body = re.sub(r"<td>(?=[^<]{41,}</td>)", '<td class="long">', body)
    return _with_texts("".join(map(_fold, _CELL.split(body))))


def _fold(cell: str) -> str:
    """Fold a code cell whose whole output is a sentence that begins with "Left out" or "Omitted"."""
    code, _, output = cell.partition('<div class="output_wrapper">')
    sentence = (
        re.fullmatch(r"\s*(?:<[^>]+>\s*)*((?:Left out|Omitted)\b[^<]*?)\s*(?:<[^>]+>\s*)*", output)
        if "<img" not in output
        else None
    )
    if not sentence or cell.rstrip().endswith("</details>"):
        return cell
    return f'<details class="left-out"><summary>{sentence[1]}</summary>{cell.rstrip()}</details>\n'


def _with_texts(body: str) -> str:
    """Write alternative texts from the heading and the paragraph before an image, where its figure gave none."""
    heading, text, number = "", "", 0

    def replace(found: re.Match) -> str:
        nonlocal heading, text, number
        if found["heading"] is not None:
            heading, text = _words(re.sub(r'<a class="anchor-link".*?</a>', "", found["heading"])), ""
        elif found["text"] is not None:
            text = _words(found["text"]) or text
        else:
            number += 1
            return _image(found[0], ": ".join(filter(None, [f"Figure {number}", heading, _shorten(text)])))
        return found[0]

    return _TEXT.sub(replace, body)


def _image(tag: str, described: str) -> str:
    alt = re.search(r'\balt="([^"]*)"', tag)
    if not alt or alt[1].strip() in ("", "png", _NO_TEXT):
        tag = re.sub(r'\s*\balt="[^"]*"', "", tag).replace("<img", f'<img alt="{html.escape(described)}"', 1)
    header = _PNG.search(tag)
    if not header or "min-width" in tag:
        return tag
    width, height = struct.unpack(">II", base64.b64decode(header[1])[16:24])
    size = f'width="{width}" height="{height}" style="min-width: {_LEAST_SCALE * width:.0f}px"'
    return tag.replace("<img", f"<img {size}", 1)


def _words(fragment: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", fragment)).split())


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0] + " …"
