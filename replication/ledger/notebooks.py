"""Notebook files: their cells and parameters."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication.ledger.reading import read_json

#: Folder of the notebooks in the project's folder.
NOTEBOOKS = Path("notebooks")
#: Parameters that every notebook has, and their types. The runner sets "profile" and "out".
EVERY_NOTEBOOK = {"profile": str, "seed": int, "out": str}
#: Parameters with the paths of the result file and, where the notebook has units, of their folder. The runner sets
#: them. A result does not store them.
PLACES = ("out", "units")


@dataclass(frozen=True)
class Cell:
    """Cell of a notebook.

    Attributes
    ----------
    kind : str
        "code" or "markdown".
    source : str
        Its text.
    tags : tuple of str
    """

    kind: str
    source: str
    tags: tuple[str, ...]


def cells(path: Path) -> list[Cell]:
    """Return the cells of a notebook.

    Parameters
    ----------
    path : Path
        Path of the notebook.

    Returns
    -------
    list of Cell

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a notebook of format 4.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no notebook {path.name} in {path.parent.name}/")
    try:
        content = read_json(path)
        if content["nbformat"] != 4:
            raise ValueError(f"its format is {content['nbformat']}")
        return [
            Cell(cell["cell_type"], "".join(cell["source"]), tuple(cell["metadata"].get("tags", ())))
            for cell in content["cells"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} is not a notebook of format 4: {error}") from error


def code(notebook: Iterable[Cell]) -> list[str]:
    """Return the sources of the code cells."""
    return [cell.source for cell in notebook if cell.kind == "code"]


def parameters(path: Path) -> dict[str, Any]:
    """Return the parameters of a notebook and their defaults, from the cell tagged "parameters".

    In some of the cases that raise ValueError here, papermill silently uses the defaults.

    Parameters
    ----------
    path : Path
        Path of the notebook.

    Returns
    -------
    dict
        Defaults by name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a notebook, not exactly one cell has the tag, the cell holds anything but assignments of
        literals, or a parameter of `EVERY_NOTEBOOK` is missing or has another type.
    """
    tagged = [cell for cell in cells(path) if "parameters" in cell.tags]
    if len(tagged) != 1 or tagged[0].kind != "code":
        raise ValueError(f"{path.name} must have exactly one cell tagged 'parameters', a code cell, got {len(tagged)}")
    try:
        statements = ast.parse(tagged[0].source).body
    except SyntaxError as error:
        raise ValueError(f"{path.name}: line {error.lineno} of the parameters cell is not Python") from error
    defaults = {}
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                raise ValueError(f"{path.name}: line {statement.lineno} of the parameters cell is not an assignment")
        try:
            defaults[name] = ast.literal_eval(value)
        except (ValueError, TypeError, RecursionError, MemoryError):
            raise ValueError(f"{path.name}: parameter {name!r} must be a literal") from None
    for name, kind in EVERY_NOTEBOOK.items():
        if type(defaults.get(name)) is not kind:
            raise ValueError(f"{path.name} must have a parameter {name!r} of type {kind.__name__}")
    return defaults
