"""Lessons in other languages, made of an English notebook and a file with the translation of its cells.

The file has an entry for each cell, `<!-- ID DIGEST -->` and the text, where DIGEST is that of the English source. The
entry of a code cell holds pairs of lines, `- English` and `+ translation`. A pair is the content of one string (with
the same expressions in braces), one comment, or, in backticks, one name. The rest of the code stays as it is.
"""

import ast
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication.ledger.notebooks import NOTEBOOKS
from replication.ledger.reading import read_text

LANGUAGES = ("ja",)
_ENTRY = re.compile(r"^<!-- (\S+) ([0-9a-f]{8}) -->\n(.*?)(?=^<!-- \S+ [0-9a-f]{8} -->$|\Z)", re.MULTILINE | re.DOTALL)
_PAIR = re.compile(r"^- (.+)\n\+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """Translation of a cell: the digest of the English source, and the text or, for code, the pairs."""

    digest: str
    text: str

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """English strings, comments or names, and their translations."""
        return _PAIR.findall(self.text)


def digest(source: str) -> str:
    """Return the digest of an English cell that its entry states."""
    return hashlib.sha256(source.encode()).hexdigest()[:8]


def entries(root: Path, notebook: str, language: str) -> dict[str, Entry]:
    """Return the translated cells of a notebook by cell id; empty if there is no translation."""
    path = root / NOTEBOOKS / language / f"{Path(notebook).stem}.md"
    if not path.is_file():
        return {}
    return {name: Entry(made, text.strip()) for name, made, text in _ENTRY.findall(read_text(path))}


def translate(notebook: dict[str, Any], translated: dict[str, Entry]) -> dict[str, Any]:
    """Return a notebook (parsed JSON) with translated cells. A cell that was changed since stays in English.

    ValueError is raised if a pair of a code cell does not fit its source.
    """
    cells = []
    for cell in notebook["cells"]:
        source, entry = "".join(cell["source"]), translated.get(cell.get("id", ""))
        if entry and entry.digest == digest(source):
            source = _join_lines(entry.text) if cell["cell_type"] == "markdown" else _code(source, entry, cell["id"])
            cell = cell | {"source": source.splitlines(keepends=True)}
        cells.append(cell)
    return notebook | {"cells": cells}


def _join_lines(text: str) -> str:
    """Join the lines of a paragraph after a Japanese full stop, where browsers would show a space."""
    return re.sub(r"(?<=。)\n *(?![-#|<`]|\d+\. |\s)", "", text)


def strings(source: str) -> dict[str, list[ast.expr]]:
    """Return the strings of Python code by their content, f-strings as templates, newlines escaped."""
    tree = ast.parse(source)
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inside = {id(part) for node in formatted for part in ast.walk(node) if part is not node}
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            if id(node) not in inside:
                found.setdefault(_template(node).replace("\n", "\\n"), []).append(node)
    return found


def expressions(template: str) -> list[str]:
    """Return the expressions of a template with their formats, sorted."""
    ((node,),) = strings(f'f"""{template}"""').values()
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    return sorted(ast.unparse(ast.JoinedStr([part])) for part in parts if isinstance(part, ast.FormattedValue))


def _template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value.replace("{", "{{").replace("}", "}}") if isinstance(part, ast.Constant) else _template(part)
            for part in node.values
        )
    assert isinstance(node, ast.FormattedValue)
    conversion = f"!{chr(node.conversion)}" if node.conversion >= 0 else ""
    form = f":{_template(node.format_spec)}" if node.format_spec else ""
    return f"{{{ast.unparse(node.value)}{conversion}{form}}}"


def _code(source: str, entry: Entry, name: str) -> str:
    def rename(text: str) -> str:
        for old, new in names:
            text = re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", new, text)
        return text

    names = [(old.strip("`"), new.strip("`")) for old, new in entry.pairs if old[0] in "`#"]
    if missing := [old for old, _ in names if old not in source]:
        raise ValueError(f"{name}: the code must have each translated name or comment, got {missing[0]!r}")
    source = rename(source)
    lines = source.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    known, changes = strings(source), []
    for old, new in ((rename(old), new) for old, new in entry.pairs if old[0] not in "`#"):
        if old not in known:
            raise ValueError(f"{name}: the code must have each translated string, got {old!r}")
        if expressions(old) != expressions(new):
            raise ValueError(f"{name}: the translation must have the same expressions in braces, got {new!r}")
        for node in known[old]:
            ends = ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
            changes.append((*(starts[line - 1] + column for line, column in ends), _literal(new, node)))
    made = source.encode()
    for start, end, text in sorted(changes, reverse=True):
        made = made[:start] + text.encode() + made[end:]
    return made.decode()


def _literal(text: str, node: ast.expr) -> str:
    """Return a string literal, an f-string where the English one is, with a line for each sentence."""
    sentences = re.findall(r".+?(?:。|$)", text)
    prefix = "f" if isinstance(node, ast.JoinedStr) else ""
    return ("\n" + " " * node.col_offset).join(f'{prefix}"{part}"' for part in sentences)
