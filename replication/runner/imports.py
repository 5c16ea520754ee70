"""Source files that a notebook's numbers can depend on: those that its code imports, directly or indirectly."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path


def closure(packages: Iterable[Path], code: Iterable[str]) -> list[Path]:
    """Return the files of some packages that some code imports, directly or indirectly.

    All import statements count, also those inside functions and branches, except those under `if TYPE_CHECKING`. A
    package includes its `__init__`. The `__init__` of a package with lazy imports lists their sources under
    `if TYPE_CHECKING`; of these, the names that the code mentions count. A folder inside a package that holds an
    imported module includes its data files. Code that is not plain Python (a notebook's magics) includes all files.

    Parameters
    ----------
    packages : iterable of Path
        Folders of the packages, whose names are those of the imports.
    code : iterable of str
        Source texts, such as the cells of a notebook.

    Returns
    -------
    list of Path
        Sorted.
    """
    known = {package.name: package for package in packages}
    files: set[Path] = set()
    waiting: list[Path] = []
    seen: set[str] = set()

    def add(names: Iterable[str]) -> None:
        for name in set(names) - seen:
            seen.add(name)
            package = known.get(name.partition(".")[0])
            for path in _files(package, name) if package else ():
                if path not in files:
                    files.add(path)
                    waiting.append(path)

    try:
        # One tree, because a cell uses what another one imports.
        tree = ast.Module([node for text in code for node in ast.parse(text).body], type_ignores=[])
    except (SyntaxError, ValueError, RecursionError):
        return sorted(path for package in known.values() for path in _everything(package))
    add(_list_imports(tree, ()))
    while waiting:
        path = waiting.pop()
        package = next(package for package in known.values() if path.is_relative_to(package))
        inside = path.relative_to(package.parent).with_suffix("").parts
        # The parent package is the folder, both for a module and for a package's __init__.
        add(_imported_by(path.read_bytes(), inside[:-1]))
    folders = {path.parent for path in files} - set(known.values())
    return sorted(files | {path for folder in folders for path in _data(folder)})


def _everything(package: Path) -> set[Path]:
    """Return all modules, and the data files of subpackages; result files beside the packages are left out."""
    folders = [path.parent for path in package.rglob("__init__.py") if path.parent != package]
    return {path for path in package.rglob("*.py")} | {path for folder in folders for path in _data(folder)}


def _data(folder: Path) -> Iterator[Path]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".py")
    return (path for path in files if "__pycache__" not in path.parts)


@cache  # most notebooks import the same files
def _imported_by(text: bytes, parent: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(_list_imports(ast.parse(text), parent))
    except (SyntaxError, ValueError, RecursionError):  # no Python now; when it is mended, its digest changes
        return ()


def _list_imports(tree: ast.AST, parent: tuple[str, ...]) -> Iterator[str]:
    """Yield the dotted names in the code: a and a.b for "from a import b", each a.b in use for "import a"."""
    known: dict[str, str] = {}
    for node in _running(tree):
        for alias, dotted in _bound(node, parent):
            yield dotted
            known[alias] = dotted
    for node in _running(tree):
        attributes = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        if attributes and isinstance(node, ast.Name) and node.id in known:
            yield ".".join((known[node.id], *reversed(attributes)))


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes except those under `if TYPE_CHECKING`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += ast.iter_child_nodes(node) if not _for_types(node) else node.orelse


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _bound(node: ast.AST, parent: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the names that an import statement binds, each with its dotted name."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.split(".")[0], alias.name if alias.asname else alias.name.split(".")[0]
            yield alias.name, alias.name
    elif isinstance(node, ast.ImportFrom):
        base = parent[: len(parent) - node.level + 1] if node.level else ()
        module = ".".join((*base, *([node.module] if node.module else [])))
        yield module, module
        for alias in node.names:
            yield alias.asname or alias.name, f"{module}.{alias.name}"


@cache
def _lazy_imports(text: bytes, parent: tuple[str, ...]) -> dict[str, str]:
    """Return the lazy imports of a package's `__init__`: dotted names by name."""
    try:
        blocks = [node for node in ast.parse(text).body if _for_types(node)]
    except (SyntaxError, ValueError, RecursionError):
        return {}
    return dict(names for block in blocks for node in block.body for names in _bound(node, parent))


def _files(package: Path, dotted: str) -> Iterator[Path]:
    """Yield the module's file, if there is such a module, and the `__init__` of every package above it."""
    folder, parent = package.parent, ()
    for part in dotted.split("."):
        own = folder / "__init__.py"
        if parent and own.is_file():
            source = _lazy_imports(own.read_bytes(), parent).get(part)
            if source:
                yield from _files(package, source)
        module = folder / f"{part}.py"
        if module.is_file():
            yield module
        folder, parent = folder / part, (*parent, part)
        if (folder / "__init__.py").is_file():
            yield folder / "__init__.py"
