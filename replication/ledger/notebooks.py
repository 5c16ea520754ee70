"""Notebook files: their cells and parameters."""

import ast
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Folder of the notebooks inside the project's.
NOTEBOOKS = Path("notebooks")
#: Parameters every notebook has, with their type. The runner gives "profile" and "out" itself.
EVERY_NOTEBOOK = {"profile": str, "seed": int, "out": str}
#: Parameters that say where a notebook writes: its result file, and its units where it has such a parameter. The runner
#: gives them, and they are no parameters of the result.
PLACES = ("out", "units")


@dataclass(frozen=True)
class Cell:
    """A cell: "code" or "markdown", its text, its tags."""

    kind: str
    source: str
    tags: tuple[str, ...]


def cells(path: Path) -> list[Cell]:
    """The cells of a notebook of format 4; ValueError for another file, FileNotFoundError if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no notebook {path.name} in {path.parent.name}/")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["nbformat"] != 4:
            raise ValueError(f"it has format {content['nbformat']}")
        return [
            Cell(cell["cell_type"], "".join(cell["source"]), tuple(cell["metadata"].get("tags", ())))
            for cell in content["cells"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} is not a notebook of format 4: {error}") from error


def code(found: Iterable[Cell]) -> list[str]:
    """The sources of the code cells."""
    return [cell.source for cell in found if cell.kind == "code"]


def parameters(path: Path) -> dict[str, Any]:
    """Return names and defaults from the cell tagged "parameters".

    Raises
    ------
    FileNotFoundError
        If there is no such notebook.
    ValueError
        If it is no notebook, not exactly one cell has the tag, it holds anything but assignments of literals, or one of
        `EVERY_NOTEBOOK` is missing or has another type. papermill itself would run on with the defaults.
    """
    tagged = [cell for cell in cells(path) if "parameters" in cell.tags]
    if len(tagged) != 1 or tagged[0].kind != "code":
        raise ValueError(f"{path.name} must have exactly one code cell tagged 'parameters', it has {len(tagged)}")
    try:
        statements = ast.parse(tagged[0].source).body
    except SyntaxError as error:
        raise ValueError(f"{path.name}: line {error.lineno} of the parameters cell is not Python") from error
    found = {}
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                raise ValueError(f"{path.name}: line {statement.lineno} of the parameters cell is no assignment")
        try:
            found[name] = ast.literal_eval(value)
        except ValueError:
            raise ValueError(f"{path.name}: parameter {name!r} must be a literal") from None
    for name, kind in EVERY_NOTEBOOK.items():
        if type(found.get(name)) is not kind:
            raise ValueError(f"{path.name} must have a parameter {name!r} of type {kind.__name__}")
    return found
