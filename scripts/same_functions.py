"""Compare the functions of two commits, wherever they are defined.

    python scripts/same_functions.py OLD [NEW]

Lists functions and methods whose syntax trees differ, without import statements and docstrings. NEW is the working
tree by default.
"""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

FOLDERS = ("ccprune", "replication")


def main(old: str, new: str | None = None) -> int:
    """Print the functions that only one of the two has. The exit status is 1 if there are any."""
    before, after = _functions(_read_committed(old)), _functions(_read_committed(new) if new else _read_here())
    for sign, found in (("-", before - after), ("+", after - before)):
        for (name, _), count in sorted(found.items()):
            print(sign, name, f"x{count}" if count > 1 else "")
    print(f"{(before & after).total()} functions are the same")
    return int(before != after)


def _functions(sources: list[str]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()

    def walk(node: ast.AST, names: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                walk(child, (*names, child.name))
                if not isinstance(child, ast.ClassDef):
                    found[".".join((*names, child.name)), ast.dump(_Bare().visit(child))] += 1
            else:
                walk(child, names)

    for source in sources:
        walk(ast.parse(source), ())
    return found


class _Bare(ast.NodeTransformer):
    """Remove imports and docstrings."""

    def visit_Import(self, node: ast.Import) -> None:  # noqa: N802, D102 - ast's name
        return None

    visit_ImportFrom = visit_Import  # noqa: N815 - ast's name

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:  # noqa: N802, D102 - ast's name
        return None if isinstance(node.value, ast.Constant) else node


def _read_here() -> list[str]:
    return [path.read_text(encoding="utf-8") for folder in FOLDERS for path in sorted(Path(folder).rglob("*.py"))]


def _read_committed(commit: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", commit, *FOLDERS], capture_output=True, text=True, check=True
    )
    paths = [path for path in listed.stdout.splitlines() if path.endswith(".py")]
    return [
        subprocess.run(["git", "show", f"{commit}:{path}"], capture_output=True, text=True, check=True).stdout
        for path in paths
    ]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
