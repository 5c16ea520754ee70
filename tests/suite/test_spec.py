"""The suite file and the parameters cells; each planted fault must be told before anything runs."""

from pathlib import Path

import nbformat
import pytest

from ccprune import results, suite
from ccprune.suite import spec

RUN = "[[run]]\nname = 'a'\nnotebook = 'good.ipynb'\n"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (None, "exactly one code cell tagged 'parameters', it has 0"),
        ("profile = 'default'\nout = ''", "must have a parameter 'seed' of type int"),
        ("profile = 'default'\nseed = 0", "must have a parameter 'out' of type str"),
        ("profile = 'default'\nseed = True\nout = ''", "'seed' of type int"),
        ("seed = 0\nfolder = open('x')", "parameter 'folder' must be a literal"),
        ("seed = 0\nprint(seed)", "line 2 of the parameters cell is no assignment"),
    ],
)
def test_faulty_parameters_cell(project, parameters, message):
    project.write_suite(project.entry("one"))
    project.write_notebook("good.ipynb", parameters=parameters)
    with pytest.raises(suite.SuiteError, match=message):
        project.plan()


def test_two_parameters_cells(project):
    project.write_suite(project.entry("one"))
    project.write_notebook("good.ipynb")
    path = project.root / "notebooks" / "good.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("seed = 1", metadata={"tags": ["parameters"]}))
    nbformat.write(notebook, path)
    with pytest.raises(suite.SuiteError, match="it has 2"):
        project.plan()


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
def test_faulty_value(project, given, message):
    project.write_notebook("good.ipynb")
    for key in ("default", "parameters"):
        project.write_suite(project.entry("one", **({"default": "{}"} | {key: given})))
        with pytest.raises(suite.SuiteError, match=f"one: .*{message}"):
            project.plan()


def test_every_fault_is_told_at_once(project):
    project.write_notebook("good.ipynb")
    project.write_suite(
        project.entry("a", default="{ sise = 1 }"), project.entry("b", "gone.ipynb"), project.entry("c")
    )
    with pytest.raises(suite.SuiteError) as caught:
        project.plan()
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("a: ")
    assert lines[1] == "b: there is no notebook gone.ipynb in notebooks/"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[runs]]\nname = 1", r"unknown key 'runs' \(did you mean run\?\)"),
        (f"{RUN}defalt = {{}}", r"a: unknown key 'defalt' \(did you mean default\?\)"),
        (RUN + RUN, "a: two runs have this name"),
        ("[[run]]\nname = 'a'", "a: notebook must be a string, got None"),
        (
            f"{RUN}needs = ['vowel.csv']",
            "a: data must be written 'authors:PATH', 'images:NAME' or 'device:cuda', got 'vowel.csv'",
        ),
        (f"{RUN}needs = ['images']", "a: data must be written .* got 'images'"),
        (f"{RUN}uses = ['authors:data/vowels.csv']", "a: .*data/vowels.csv"),
        (f"{RUN}needs = ['device:tpu']", "a: a device must be one of cuda, got 'tpu'"),
        (f"{RUN}uses = ['images:mnits']", "a: name='mnits' is not an image set"),
        ("[[run]", "suite.toml: .*"),
    ],
)
def test_faulty_suite_file(project, text, message):
    project.write_suite(text)
    project.write_notebook("good.ipynb")
    with pytest.raises(suite.SuiteError, match=message):
        project.plan()


def test_parameters_are_resolved(project):
    project.write_notebook("good.ipynb")
    tables = {"parameters": "{ size = 4, rate = 1 }", "default": "{ size = 5 }", "paper": '{ names = ["x", "y"] }'}
    project.write_suite(project.entry("one", **tables))
    (default,) = project.plan()
    expected = {"profile": "default", "seed": 0, "size": 5, "rate": 1, "names": ["a"], "extra": None}
    assert default.parameters == expected
    assert default.label == "one.default"
    (paper,) = project.plan("paper", replaced={"seed": 7})
    assert (paper.parameters["size"], paper.parameters["names"]) == (4, ["x", "y"])
    assert (paper.parameters["seed"], paper.parameters["profile"]) == (7, "paper")
    assert project.plan("smoke") == []


def test_only(project):
    project.write_notebook("good.ipynb")
    names = ("tables-iris", "tables-cancer", "tables_more", "null")
    project.write_suite(*map(project.entry, names), project.entry("big", paper="{}"))

    def chosen(*only):
        return [run.name for run in project.plan(only=only)]

    assert chosen() == list(names)
    assert chosen("tables") == ["tables-iris", "tables-cancer"]
    assert chosen("null", "tables-iris") == ["tables-iris", "null"]
    with pytest.raises(suite.SuiteError, match=r"no run 'table-iris' \(did you mean tables-iris"):
        chosen("table-iris")
    with pytest.raises(suite.SuiteError, match="not in profile 'default': big"):
        chosen("big")


def test_of_a_group_those_that_the_profile_has_are_run(project):
    project.write_notebook("good.ipynb")
    project.write_suite(project.entry("tables-small"), project.entry("tables-big", paper="{}"))
    assert [run.name for run in project.plan(only=["tables"])] == ["tables-small"]
    with pytest.raises(suite.SuiteError, match="not in profile 'default': tables-big"):
        project.plan(only=["tables", "tables-big"])


def test_a_device_that_is_not_there_is_a_reason_to_skip(monkeypatch):
    from ccprune.suite import requirements

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert requirements.why_missing("device:cuda") == ("not run: it needs a cuda device, and this machine has none")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert requirements.why_missing("device:cuda") is None and requirements.is_here("device:cuda")


def test_find_root(project):
    project.write_suite("")
    below = project.root / "a" / "b"
    below.mkdir(parents=True)
    assert suite.find_root(below) == project.root
    with pytest.raises(suite.SuiteError, match="no replication.suite.toml"):
        spec.find_root(Path("/nowhere/at/all"))


def test_the_committed_suite_file_is_well_formed():
    entries = spec._load(Path(__file__).resolve().parents[2] / spec.SUITE_FILE)
    assert {"start_here", "legcnet_tables-cancer", "legcnet_settings"} <= {entry["name"] for entry in entries}
    assert all(set(entry) & set(results.PROFILES) for entry in entries)  # a run in no profile is never run
