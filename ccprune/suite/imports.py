"""Which files of the library a notebook's numbers can depend on: those that its code imports, and what these import."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path


def closure(package: Path, code: Iterable[str]) -> list[Path]:
    """Files of a package that some code leads to, sorted.

    Followed are all import statements, wherever they stand, whether or not they would be reached; a package brings its
    `__init__`, and a folder of it that holds a module in use brings its files that are no Python (data). Code that is
    not Python by itself (a notebook's magics) leads everywhere.

    Parameters
    ----------
    package
        The package's folder; its name is that of the imports.
    code
        Source texts, such as a notebook's cells.
    """
    found: set[Path] = set()
    waiting: list[Path] = []

    def add(names: Iterable[str]) -> None:
        for name in names:
            for path in _files(package, name):
                if path not in found:
                    found.add(path)
                    waiting.append(path)

    for text in code:
        try:
            tree = ast.parse(text)
        except SyntaxError:
            return sorted(path for path in package.rglob("*") if _counts(path))
        add(_imported(tree, package.name, ()))
    while waiting:
        path = waiting.pop()
        inside = path.relative_to(package.parent).with_suffix("").parts
        parent = inside[:-1]  # of a module and of a package's __init__ alike
        add(_imported_by(path.read_text(encoding="utf-8"), package.name, parent))
    folders = {path.parent for path in found}
    beside = (path for folder in folders for path in folder.rglob("*") if _counts(path) and path.suffix != ".py")
    return sorted(found | set(beside))


@cache  # every notebook leads to much the same files
def _imported_by(text: str, name: str, parent: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_imported(ast.parse(text), name, parent))


def _imported(tree: ast.AST, name: str, parent: tuple[str, ...]) -> Iterator[str]:
    """Dotted names below `name` that import statements mention; of "from a import b" both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            mentioned = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = parent[: len(parent) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            mentioned = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (dotted for dotted in mentioned if dotted.split(".")[0] == name)


def _files(package: Path, dotted: str) -> Iterator[Path]:
    """The module's file, where there is such a module, and the `__init__` of every package above it."""
    folder = package.parent
    for part in dotted.split("."):
        module = folder / f"{part}.py"
        if module.is_file():
            yield module
        folder = folder / part
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts
