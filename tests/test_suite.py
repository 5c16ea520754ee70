"""The runner on small notebooks made here; each planted fault must end with its own message."""

import io
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from ccprune import results, suite
from ccprune.suite import requirements, runner, spec, stamps

PARAMETERS = "profile = 'default'\nseed = 0\nout = ''\nsize = 3\nrate = 0.5\nnames: list = ['a']\nextra = None"
WRITE = """
from ccprune import results
if out:
    results.write(out, notebook={notebook!r}, seeds=[seed], data_checksums={{}}, parameters=dict(
        profile=profile, seed=seed, size=size, rate=rate, names=names, extra=extra), cells=[results.Cell(
        paper="legcnet", table="1", dataset={notebook!r}, method="ft", quantity="epochs", published=3, ours=size,
        ci_low=None, ci_high=None, n=1, verdict="identical", note="", profile=profile)])
"""


def make_notebook(root: Path, name: str, *sources: str, parameters: str | None = PARAMETERS) -> None:
    cells = [nbformat.v4.new_markdown_cell(f"# {name}")]
    if parameters is not None:
        cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [nbformat.v4.new_code_cell(source) for source in sources or (WRITE.format(notebook=name),)]
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), root / "notebooks" / name)


def make_suite(root: Path, text: str) -> None:
    (root / "replication").mkdir(exist_ok=True)
    (root / "replication" / "suite.toml").write_text(text)


def entry(name: str, notebook: str = "good.ipynb", **tables: str) -> str:
    tables = tables or {"default": "{}"}
    lines = [f"{key} = {value}" for key, value in tables.items()]
    return "\n".join(["[[run]]", f'name = "{name}"', f'notebook = "{notebook}"', *lines, ""])


def run(root: Path, *, jobs: int = 1, force: bool = False, out: Path | None = None, **options):
    runs = suite.plan(root, **({"profile": "default"} | options))
    return suite.replicate(root, runs, out=out or root / "replication", jobs=jobs, force=force, stream=io.StringIO())


def statuses(outcomes) -> dict[str, str]:
    return {outcome.run.name: outcome.status for outcome in outcomes}


# Planning


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (None, "exactly one code cell tagged 'parameters', it has 0"),
        ("profile = 'default'\nout = ''", "must have a parameter 'seed' of type int"),
        ("profile = 'default'\nseed = 0", "must have a parameter 'out' of type str"),
        ("profile = 'default'\nseed = True\nout = ''", "'seed' of type int"),
        (f"{PARAMETERS}\nfolder = open('x')", "parameter 'folder' must be a literal"),
        (f"{PARAMETERS}\nprint(seed)", "line 8 of the parameters cell is no assignment"),
    ],
)
def test_faulty_parameters_cell(tmp_path, parameters, message):
    make_suite(tmp_path, entry("one"))
    make_notebook(tmp_path, "good.ipynb", parameters=parameters)
    with pytest.raises(suite.SuiteError, match=message):
        suite.plan(tmp_path, profile="default")


def test_two_parameters_cells(tmp_path):
    make_suite(tmp_path, entry("one"))
    make_notebook(tmp_path, "good.ipynb")
    path = tmp_path / "notebooks" / "good.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("seed = 1", metadata={"tags": ["parameters"]}))
    nbformat.write(notebook, path)
    with pytest.raises(suite.SuiteError, match="it has 2"):
        suite.plan(tmp_path, profile="default")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{ sise = 3 }", r"no parameter 'sise' \(did you mean size"),
        ("{ size = 3.0 }", "'size' must be of type int as in its default 3, got 3.0"),
        ("{ size = true }", "'size' must be of type int"),
        ('{ rate = "fast" }', "'rate' must be of type float"),
        ("{ names = [1] }", "'names' must be of type list"),
        ('{ names = "a" }', "'names' must be of type list"),
        ('{ profile = "paper" }', "'profile' is given by the runner"),
        ('{ out = "x" }', "'out' is given by the runner"),
    ],
)
def test_faulty_value(tmp_path, given, message):
    make_notebook(tmp_path, "good.ipynb")
    for key in ("default", "parameters"):
        make_suite(tmp_path, entry("one", **({"default": "{}"} | {key: given})))
        with pytest.raises(suite.SuiteError, match=f"one: .*{message}"):
            suite.plan(tmp_path, profile="default")


def test_every_fault_is_told_at_once(tmp_path):
    make_notebook(tmp_path, "good.ipynb")
    make_suite(tmp_path, entry("a", default="{ sise = 1 }") + entry("b", "gone.ipynb") + entry("c"))
    with pytest.raises(suite.SuiteError) as caught:
        suite.plan(tmp_path, profile="default")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("a: ")
    assert lines[1] == "b: there is no notebook gone.ipynb in notebooks/"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[runs]]\nname = 1", r"unknown key 'runs' \(did you mean run\?\)"),
        (entry("a", defalt="{}"), r"a: unknown key 'defalt' \(did you mean default\?\)"),
        (entry("a") + entry("a"), "a: two runs have this name"),
        ("[[run]]\nname = 'a'", "a: notebook must be a string, got None"),
        (entry("a", needs='["vowel.csv"]'), "a: data must be written 'authors:PATH', got 'vowel.csv'"),
        (entry("a", uses='["authors:data/vowels.csv"]'), "a: .*data/vowels.csv"),
        ("[[run]", "suite.toml: .*"),
    ],
)
def test_faulty_suite_file(tmp_path, text, message):
    make_suite(tmp_path, text)
    make_notebook(tmp_path, "good.ipynb")
    with pytest.raises(suite.SuiteError, match=message):
        suite.plan(tmp_path, profile="default")


def test_parameters_are_resolved(tmp_path):
    make_notebook(tmp_path, "good.ipynb")
    tables = {"parameters": "{ size = 4, rate = 1 }", "default": "{ size = 5 }", "paper": '{ names = ["x", "y"] }'}
    make_suite(tmp_path, entry("one", **tables))
    (default,) = suite.plan(tmp_path, profile="default")
    expected = {"profile": "default", "seed": 0, "size": 5, "rate": 1, "names": ["a"], "extra": None}
    assert default.parameters == expected
    assert default.label == "one.default"
    (paper,) = suite.plan(tmp_path, profile="paper", seed=7)
    assert (paper.parameters["size"], paper.parameters["names"]) == (4, ["x", "y"])
    assert (paper.parameters["seed"], paper.parameters["profile"]) == (7, "paper")
    assert suite.plan(tmp_path, profile="smoke") == []


def test_only(tmp_path):
    make_notebook(tmp_path, "good.ipynb")
    names = ("tables-iris", "tables-cancer", "tables_more", "null")
    make_suite(tmp_path, "".join(map(entry, names)) + entry("big", paper="{}"))

    def chosen(*only):
        return [run.name for run in suite.plan(tmp_path, profile="default", only=only)]

    assert chosen() == list(names)
    assert chosen("tables") == ["tables-iris", "tables-cancer"]
    assert chosen("null", "tables-iris") == ["tables-iris", "null"]
    with pytest.raises(suite.SuiteError, match=r"no run 'table-iris' \(did you mean tables-iris"):
        chosen("table-iris")
    with pytest.raises(suite.SuiteError, match="not in profile 'default': big"):
        chosen("big")


def test_find_root(tmp_path):
    make_suite(tmp_path, "")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert suite.find_root(below) == tmp_path
    with pytest.raises(suite.SuiteError, match="no replication.suite.toml"):
        spec.find_root(Path("/nowhere/at/all"))


# Running


def test_a_good_run_and_a_second_call(tmp_path):
    make_notebook(tmp_path, "good.ipynb")
    make_suite(tmp_path, entry("one", default="{ size = 4 }"))
    out = tmp_path / "replication"
    (outcome,) = run(tmp_path)
    assert (outcome.status, outcome.why) == ("done", "")
    content = results.read(out / "results" / "one.default.json")
    assert content["parameters"]["size"] == 4
    page = (out / "reports" / "one.default.html").read_text()
    assert "replication/.cache/runs/one.default/one.default.json" in page  # the injected cell, a relative path
    assert str(tmp_path) not in page
    for outside in ("<script", "http:", "https:", "@import"):
        assert outside not in page
    assert len(page) < 20_000
    assert sorted(os.listdir(out)) == [".cache", "reports", "results", "suite.toml"]
    assert os.listdir(out / ".cache" / "runs") == []

    assert statuses(run(tmp_path)) == {"one": "unchanged"}
    assert statuses(run(tmp_path, force=True, seed=5)) == {"one": "done"}
    assert results.read(out / "results" / "one.default.json")["seeds"] == [5]
    assert statuses(run(tmp_path, seed=5)) == {"one": "unchanged"}
    # Another seed has another key, without --force.
    assert not stamps.is_current(out, tmp_path, suite.plan(tmp_path, profile="default")[0])


def test_what_makes_a_run_stale(tmp_path, monkeypatch):
    """No kernel is started: the stamp is written as the runner writes it."""
    make_notebook(tmp_path, "good.ipynb")
    make_suite(tmp_path, entry("one", uses='["authors:data/vowel.csv"]', default="{}"))
    out = tmp_path / "out"
    here = {"authors:data/vowel.csv": False}
    monkeypatch.setattr(requirements, "is_here", here.get)
    package = tmp_path / "ccprune"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(stamps.ccprune, "__file__", str(package / "__init__.py"))
    results.write_atomic(out / "results" / "one.default.json", "{}")
    results.write_atomic(out / "reports" / "one.default.html", "page")

    def planned(**options):
        return suite.plan(tmp_path, profile="default", **options)[0]

    def current(**options):
        return stamps.is_current(out, tmp_path, planned(**options))

    def stamp():
        stamps.write(out, planned(), stamps.sources(tmp_path, planned()))
        assert current()

    assert not current()  # results that are there are no cache
    stamp()
    assert not current(seed=1)
    for path, text in [
        (package / "train.py", "x = 1"),
        (package / "train.py", "x = 2"),
        (package / "data" / "table.csv", "1,2"),
        (tmp_path / "replication" / "paper" / "tables.json", "{}"),
        (out / "results" / "one.default.json", '{"edited": 1}'),
    ]:
        results.write_atomic(path, text)
        assert not current()
        stamp()
    results.write_atomic(package / "__pycache__" / "train.pyc", "")
    assert current()
    here["authors:data/vowel.csv"] = True
    assert not current()
    stamp()
    make_notebook(tmp_path, "good.ipynb", "print('other')")
    assert not current()
    stamp()
    notebook = nbformat.read(tmp_path / "notebooks" / "good.ipynb", as_version=4)
    notebook.metadata["edited"] = "with another program"
    nbformat.write(notebook, tmp_path / "notebooks" / "good.ipynb")
    assert current()
    monkeypatch.setattr(stamps, "package_versions", lambda: {"torch": "0.1"})
    assert not current()
    stamp()
    (out / ".cache" / "one.default.json").write_text("half a st")
    assert not current()


def test_failures_are_told_and_the_others_go_on(tmp_path):
    make_notebook(tmp_path, "bad.ipynb", "kept = 'shown'\nkept", "first = 1\nraise RuntimeError('planted fault')")
    make_notebook(tmp_path, "dies.ipynb", "import os\nos._exit(7)")
    lying = WRITE.format(notebook="lying.ipynb").replace("size=size", "size=9")
    make_notebook(tmp_path, "lying.ipynb", lying)
    make_notebook(tmp_path, "good.ipynb")
    names = ("bad", "dies", "lying", "good")
    make_suite(tmp_path, "".join(entry(name, f"{name}.ipynb") for name in names))
    out = tmp_path / "replication"
    results.write_atomic(out / "results" / "bad.default.json", "an older result")

    outcomes = run(tmp_path, jobs=2)
    assert statuses(outcomes) == dict.fromkeys(names[:-1], "failed") | {"good": "done"}
    why = {outcome.run.name: outcome.why for outcome in outcomes}
    for part in ("cell 4 failed", "    raise RuntimeError('planted fault')", "RuntimeError: planted fault"):
        assert part in why["bad"]
    assert "died" in why["dies"].lower()
    assert "size: asked 3, used 9" in why["lying"]

    kept = nbformat.read(out / "reports" / "bad.default.failed.ipynb", as_version=4)
    assert any("shown" in str(cell.get("outputs")) for cell in kept.cells)
    assert sorted(os.listdir(out / "results")) == ["bad.default.json", "good.default.json"]
    assert (out / "results" / "bad.default.json").read_text() == "an older result"
    assert [name for name in os.listdir(out / "reports") if name.endswith(".html")] == ["good.default.html"]

    make_notebook(tmp_path, "bad.ipynb")
    assert statuses(run(tmp_path, only=["bad", "good"])) == {"bad": "done", "good": "unchanged"}
    assert not (out / "reports" / "bad.default.failed.ipynb").exists()


def test_a_result_must_be_there_and_of_this_run(tmp_path):
    make_notebook(tmp_path, "good.ipynb")
    make_suite(tmp_path, entry("one"))
    (asked,) = suite.plan(tmp_path, profile="default")
    path = tmp_path / "one.default.json"
    assert "without writing its result file" in runner._result_problem(path, asked)
    path.write_text("{")
    assert "not valid" in runner._result_problem(path, asked)

    def problem(notebook="good.ipynb", **parameters):
        arguments = {"notebook": notebook, "parameters": parameters, "seeds": [], "data_checksums": {}, "cells": []}
        return runner._result_problem(results.write(path, **arguments), asked)

    used = dict(asked.parameters)
    assert problem(**used) is None
    assert problem("other.ipynb", **used) == "the result file names the notebook 'other.ipynb', not 'good.ipynb'"
    assert "profile: asked 'default', used 'paper'" in problem(**used | {"profile": "paper"})
    assert "extra: asked None, used 'nothing'" in problem(**{k: v for k, v in used.items() if k != "extra"})
    assert "more: asked 'nothing', used 1" in problem(**used, more=1)


def test_missing_data_is_skipped_and_noted(tmp_path, monkeypatch):
    make_notebook(tmp_path, "good.ipynb")
    make_suite(tmp_path, entry("one", needs='["authors:data/vowel.csv"]', default="{}"))
    out = tmp_path / "replication"
    monkeypatch.setattr(requirements, "why_missing", lambda need: f"{need} cannot be had")
    (outcome,) = run(tmp_path)
    assert (outcome.status, outcome.why) == ("skipped", "authors:data/vowel.csv cannot be had")
    assert json.loads((out / "skipped.json").read_text()) == {"one.default": outcome.why}

    # The note goes with the next result. That stands, and is not called missing, when the data is gone again.
    runner._note_skipped(out, [replace(outcome, status="done", why="")])
    assert not (out / "skipped.json").exists()
    results.write_atomic(out / "results" / "one.default.json", "a result from another time")
    assert statuses(run(tmp_path)) == {"one": "skipped"}
    assert not (out / "skipped.json").exists()
    assert (out / "results" / "one.default.json").is_file()


def test_corrupt_data_is_a_failure(tmp_path, monkeypatch):
    from ccprune.data import authors

    def corrupt(relative):
        raise authors.CorruptData(f"{relative} is not the pinned file")

    make_notebook(tmp_path, "good.ipynb")
    make_suite(tmp_path, entry("one", needs='["authors:data/vowel.csv"]', default="{}"))
    monkeypatch.setattr(authors, "path", corrupt)
    (outcome,) = run(tmp_path)
    assert (outcome.status, outcome.why) == ("failed", "data/vowel.csv is not the pinned file")


def test_unavailable_data_names_its_reason(monkeypatch):
    from ccprune.data import authors

    def unavailable(relative):
        raise authors.DataUnavailable(f"{relative}:\n  set CCPRUNE_DATA")

    monkeypatch.setattr(authors, "path", unavailable)
    assert requirements.why_missing("authors:data/vowel.csv") == "data/vowel.csv: set CCPRUNE_DATA"


def test_the_kernel_is_this_interpreter_whatever_is_registered(tmp_path, monkeypatch):
    """A kernel "python3" registered by another environment, and the user's start-up script, must not run."""
    decoy = tmp_path / "jupyter" / "kernels" / "python3"
    decoy.mkdir(parents=True)
    argv = ["/bin/false", "-f", "{connection_file}"]
    (decoy / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python"}))
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "spoil.py").write_text("spoiled = True")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    check = (
        "import os, sys\n"
        f"assert sys.executable == {sys.executable!r}, sys.executable\n"
        f"assert os.getcwd() == {str(tmp_path)!r}, os.getcwd()\n"
        "assert 'spoiled' not in globals()\n"
        "assert os.environ['OMP_NUM_THREADS'] == os.environ['NUMBA_NUM_THREADS'] == '3'"
    )
    make_notebook(tmp_path, "good.ipynb", check, WRITE.format(notebook="good.ipynb"))
    make_suite(tmp_path, entry("one"))
    (outcome,) = run(tmp_path, jobs=2)
    assert outcome.status == "done", outcome.why


def test_interrupting_ends_the_notebooks(tmp_path, monkeypatch):
    pid_file = tmp_path / "pid"
    stuck = f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    make_notebook(tmp_path, "good.ipynb", stuck)
    make_suite(tmp_path, entry("one"))

    def tick(self):
        if pid_file.exists() and pid_file.read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr("ccprune.suite.progress.Progress.tick", tick)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(pid):
        time.sleep(0.1)
    assert not _alive(pid)
    assert not (tmp_path / "replication" / "results").exists()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
