"""The drawing of the parts follows from the imports, and every import contract rejects a planted violation."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import draw_parts
import pytest

pytest.importorskip("importlinter")

ROOT = Path(__file__).parents[2]
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
]
#: Contract, file, and the import that breaks it. Each is planted inside a function, since those imports count, too.
VIOLATIONS = [
    ("The library imports neither papers nor a runner", "ccprune/stats/intervals.py", "from replication import ledger"),
    ("Inside the library nothing imports upwards", "ccprune/_util/files.py", "from ccprune import scores"),
    ("Inside the library nothing imports upwards", "ccprune/unlisted.py", "import math"),
    (
        "Inside the replication nothing imports upwards",
        "replication/networks/models.py",
        "from replication import null",
    ),
    ("Inside the replication nothing imports upwards", "replication/unlisted.py", "import math"),
    ("The runner imports no papers", "replication/runner/spec.py", "from replication import legcnet"),
    ("The runner starts without torch", "replication/runner/pools.py", "import torch"),
    (
        "Papers, pictures and reports do not import the runner",
        "replication/causal/runs.py",
        "from replication import runner",
    ),
]


@pytest.fixture
def tree(tmp_path):
    """A copy of the sources of both packages and of the contracts."""
    for package in ("ccprune", "replication"):
        for path in (ROOT / package).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def check(tree: Path) -> tuple[int, list[str]]:
    """Return the exit status of lint-imports in a tree, and the names of the broken contracts."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    statuses = dict(re.findall(r"^(.+) (KEPT|BROKEN)\b", done.stdout, flags=re.M))
    assert sorted(statuses) == sorted(CONTRACTS), done.stdout + done.stderr
    return done.returncode, [name for name, status in statuses.items() if status == "BROKEN"]


def test_the_committed_drawing_is_that_of_the_present_imports():
    # After a change of the imports: python scripts/draw_parts.py
    assert draw_parts.PICTURE.read_text(encoding="utf-8") == draw_parts.draw()


def test_the_drawing_has_few_arrows():
    assert 0 < draw_parts.draw().count("marker-end") < 10


def test_the_wheel_for_students_has_every_folder_of_the_replication():
    project = tomllib.loads((ROOT / "replication" / "pyproject.toml").read_text(encoding="utf-8"))
    folders = [path.parent.relative_to(ROOT) for path in (ROOT / "replication").rglob("__init__.py")]
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(".".join(one.parts) for one in folders)


def test_the_runner_and_the_ledger_load_no_torch():
    """The contract looks at direct imports; here whatever they load is loaded."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for part in ("runner", "ledger")
        for path in (ROOT / "replication" / part).glob("*.py")
        if path.stem not in ("__init__", "alt_text")
    ]
    code = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nassert 'torch' not in "
    code += "sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_contract_has_a_planted_violation():
    assert {contract for contract, *_ in VIOLATIONS} == set(CONTRACTS)


def test_the_tree_keeps_its_contracts(tree):
    assert check(tree) == (0, [])


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS, ids=[file for _, file, _ in VIOLATIONS])
def test_a_planted_violation_breaks_its_contract(tree, contract, file, line):
    assert (tree / file).exists() or "unlisted" in file
    with (tree / file).open("a", encoding="utf-8") as source:
        source.write(f"\n\ndef planted():\n    {line}\n")
    status, broken = check(tree)
    assert status != 0 and contract in broken


def code_lines(path: Path) -> int:
    """Number of lines of a module that are neither blank nor in a docstring."""
    source = path.read_text(encoding="utf-8")
    places = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = [node.body for node in ast.walk(ast.parse(source)) if isinstance(node, places) and ast.get_docstring(node)]
    documented = {line for body in bodies for line in range(body[0].lineno, body[0].end_lineno + 1)}
    return sum(bool(line.strip()) and number not in documented for number, line in enumerate(source.splitlines(), 1))


def test_the_library_stays_thin():
    entries = [path for path in (ROOT / "ccprune").iterdir() if path.name not in ("__pycache__", "py.typed")]
    assert len(entries) <= 22
    assert 5_000 < sum(code_lines(path) for path in (ROOT / "ccprune").rglob("*.py")) <= 11_000
