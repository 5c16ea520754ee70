"""Oracle: what Python itself loads when a notebook's imports are carried out in a process of its own."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from replication.ledger.environment import ROOT, SOURCE_FOLDERS
from replication.runner.imports import closure

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def code_of(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def relative(paths, package):
    return {path.relative_to(package).as_posix() for path in paths}


@pytest.fixture
def package(tmp_path):
    files = {
        "__init__.py": "",
        "a.py": "def f():\n    from p.sub import b\n",
        "c.py": "import p.d as d\n",
        "d.py": "",
        "unused.py": "import p.c",
        "sub/__init__.py": "from .inner import thing\n",
        "sub/b.py": "from .. import d\nimport os.path\n",
        "sub/inner.py": "from . import helper\nthing = 1\n",
        "sub/helper.py": "",
        "sub/table.csv": "1",
        "other/__init__.py": "",
        "other/data.csv": "2",
    }
    for name, text in files.items():
        path = tmp_path / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "p"


def test_imports_are_followed_wherever_they_stand(package):
    found = relative(closure([package], ["from p import a\nx = 1", "import numpy"]), package)
    assert found == {
        "__init__.py", "a.py", "d.py", "sub/__init__.py", "sub/b.py", "sub/helper.py", "sub/inner.py", "sub/table.csv",
    }  # fmt: skip


def test_names_that_a_package_imports_when_asked_are_followed_where_they_are_mentioned(package):
    (package / "lazy").mkdir()
    (package / "lazy" / "__init__.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import f\n    from .own import g as h\n"
    )
    (package / "lazy" / "own.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.c\n")

    def found(*code):
        return relative(closure([package], code), package) & {"a.py", "c.py", "lazy/own.py"}

    assert found("from p import lazy") == found("import p.lazy as q\nq.k()") == set()
    assert found("from p.lazy import f") == found("import p.lazy\np.lazy.f(1).x") == {"a.py"}
    assert found("import p.lazy as q\nprint(q.h)") == found("from p import lazy as q\nq.h()") == {"lazy/own.py"}
    assert found("from p import lazy", "def f():\n    return lazy.h()") == {"lazy/own.py"}  # two cells


def test_a_name_that_is_no_module_leads_to_its_module_alone(package):
    assert "c.py" not in relative(closure([package], ["from p.sub import thing"]), package)
    assert {"c.py", "d.py"} <= relative(closure([package], ["import p.c"]), package)
    assert {"unused.py", "c.py"} <= relative(closure([package], ["from p import unused"]), package)


def test_null_code_without_imports_leads_nowhere(package):
    assert closure([package], ["x = 1", "import numpy as p"]) == []


def test_code_that_cannot_be_read_leads_everywhere(package):
    assert relative(closure([package], ["%matplotlib inline"]), package) == relative(
        (path for path in package.rglob("*") if path.is_file()), package
    )


def test_it_holds_all_that_python_loads():
    """Two notebooks that lead far; imports inside functions are held as well, so it may be more."""
    for path in (NOTEBOOKS[1], NOTEBOOKS[3]):
        nodes = [node for text in code_of(path) for node in ast.parse(text).body]
        lines = [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        loaded = (
            "[m.__file__ for n, m in sys.modules.items() if n.startswith(('ccprune', 'replication')) and m.__file__]"
        )
        show = f"import json, sys; print(json.dumps({loaded}))"
        done = subprocess.run(
            [sys.executable, "-c", "\n".join([*lines, show])], capture_output=True, text=True, check=True
        )
        loaded = {Path(name) for name in json.loads(done.stdout.splitlines()[-1])}
        held = set(closure(SOURCE_FOLDERS, code_of(path)))
        assert loaded and loaded <= held
        assert ROOT / "replication" / "cli" / "__init__.py" not in held


def test_what_one_paper_needs_leaves_the_other_alone():
    tables = relative(closure(SOURCE_FOLDERS, code_of(NOTEBOOKS[1])), ROOT)
    phase_shift = relative(closure(SOURCE_FOLDERS, code_of(NOTEBOOKS[3])), ROOT)
    assert "replication/legcnet/runs.py" in tables
    assert not any(name.startswith("replication/causal/") for name in tables)
    assert "replication/causal/runs.py" in phase_shift and "replication/legcnet/runs.py" not in phase_shift
