"""The suite file and the parameters cells; each planted fault must be told before anything runs."""

from pathlib import Path

import nbformat
import pytest

from replication import runner as suite
from replication.ledger import notebooks
from replication.runner import spec, suite_file

RUN = "[[run]]\nname = 'a'\nnotebook = 'good.ipynb'\nseconds = { default = 1 }\n"
DEFAULT = "default = {}\n"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (None, "exactly one cell tagged 'parameters', a code cell, got 0"),
        ("profile = 'default'\nout = ''", "must have a parameter 'seed' of type int"),
        ("profile = 'default'\nseed = 0", "must have a parameter 'out' of type str"),
        ("profile = 'default'\nseed = True\nout = ''", "'seed' of type int"),
        ("seed = 0\nfolder = open('x')", "parameter 'folder' must be a literal"),
        ("seed = 0\nprint(seed)", "line 2 of the parameters cell is not an assignment"),
        ("seed = 0\nprofile = = 1", "line 2 of the parameters cell is not Python"),
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
    with pytest.raises(suite.SuiteError, match="got 2"):
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
        ('{ profile = "paper" }', "'profile' is set by the runner"),
        ('{ out = "x" }', "'out' is set by the runner"),
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
    assert lines[1] == "b: no notebook gone.ipynb in notebooks/"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[runs]]\nname = 1", r"unknown key 'runs' \(did you mean run\?\)"),
        (f"{RUN}defalt = {{}}", r"a: unknown key 'defalt' \(did you mean default\?\)"),
        ((RUN + DEFAULT) * 2, "a: two runs have this name"),
        ("[[run]]\nname = 'a'", "a: notebook must be a string, got None"),
        (
            f"{RUN}{DEFAULT}needs = ['vowel.csv']",
            "a: data must be written 'authors:PATH', 'images:NAME' or 'device:cuda', got 'vowel.csv'",
        ),
        (f"{RUN}{DEFAULT}needs = ['images']", "a: data must be written .* got 'images'"),
        (f"{RUN}{DEFAULT}uses = ['authors:data/vowels.csv']", "a: .*data/vowels.csv"),
        (f"{RUN}{DEFAULT}needs = ['device:tpu']", "a: a device must be one of cuda, got 'tpu'"),
        (f"{RUN}{DEFAULT}uses = ['images:mnits']", "a: name must be an image set"),
        ("[[run]", "suite.toml: .*"),
        (RUN, "a: must have a table for at least one profile of smoke, default, paper"),
        (f"{RUN}default = 3", "a: default must be a table, got 3"),
        (f"{RUN}{DEFAULT}needs = 'images:mnist'", "a: needs must be a list of strings, got 'images:mnist'"),
        (f"{RUN}{DEFAULT}paper = {{}}", "a: seconds.paper must be the expected wall time, a number above 0, got None"),
        (f"{RUN}{DEFAULT}".replace("'a'", "'a b'"), "a b: name must be words"),
        (f"{RUN}default = {{ grid = {{ size = 3 }} }}", "a: default.grid must give a list .* got {'size': 3}"),
        (f"{RUN}default = {{ grid = {{ size = [3, 3] }} }}", "a: default.grid must give a list of different"),
        (f"{RUN}{DEFAULT}after = ['b']", r"a: after: profile 'default' has no run 'b'"),
        (f"{RUN}{DEFAULT}after = ['a']", "a: after: the run depends on itself"),
        ("[limits]\nsize = { lest = 1 }", "limits: size: must be a table with some of least, most"),
        ("[limits]\nsize = { least = '1' }", "limits: size: least must be a number, got '1'"),
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
    with pytest.raises(suite.SuiteError, match=r"no run 'table-iris' in the suite \(did you mean tables-iris"):
        chosen("table-iris")
    with pytest.raises(suite.SuiteError, match="profile 'default' has no run big"):
        chosen("big")


def test_of_a_group_those_that_the_profile_has_are_run(project):
    project.write_notebook("good.ipynb")
    project.write_suite(project.entry("tables-small"), project.entry("tables-big", paper="{}"))
    assert [run.name for run in project.plan(only=["tables"])] == ["tables-small"]
    with pytest.raises(suite.SuiteError, match="profile 'default' has no run tables-big"):
        project.plan(only=["tables", "tables-big"])


def test_a_device_that_is_not_there_is_a_reason_to_skip(monkeypatch):
    from replication.runner import requirements

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


def test_a_grid_is_a_run_for_each_combination(project):
    grid = '{ size = 5, grid = { rate = [0.5, 1], kind = ["a", "b"] } }'
    parameters = "profile = 'default'\nseed = 0\nout = ''\nsize = 3\nrate = 0.5\nkind = 'a'"
    project.write_notebook("good.ipynb", parameters=parameters)
    project.write_suite(project.entry("one", default=grid, needs='["authors:data/{data}.csv"]', paper="{ kind = 'c' }"))
    with pytest.raises(suite.SuiteError, match=r"one-0.5-a: .*data/\{data\}.csv"):
        project.plan()
    project.write_suite(
        project.entry("one", default=grid, paper="{ kind = 'c' }"),
        project.entry("two", default="{}", after='["one-1-b"]'),
    )
    runs = project.plan()
    assert [run.name for run in runs] == ["one-0.5-a", "one-0.5-b", "one-1-a", "one-1-b", "two"]
    assert [(run.parameters["rate"], run.parameters["kind"], run.parameters["size"]) for run in runs[:4]] == [
        (0.5, "a", 5),
        (0.5, "b", 5),
        (1, "a", 5),
        (1, "b", 5),
    ]
    assert [run.name for run in project.plan("paper")] == ["one"]
    assert len(project.plan(only=["one"])) == 4
    assert [run.name for run in project.plan(only=["one-1-a"])] == ["one-1-a"]
    # A run comes with those it comes after.
    assert [run.name for run in project.plan(only=["two"])] == ["one-1-b", "two"]
    with pytest.raises(suite.SuiteError, match="profile 'paper' has no run two"):
        project.plan("paper", only=["two"])


def test_data_is_named_by_a_parameter(project):
    project.write_notebook("good.ipynb")
    project.write_suite(project.entry("one", needs='["images:{extra}"]', default='{ grid = { extra = ["mnist"] } }'))
    (run,) = project.plan()
    assert (run.name, run.needs) == ("one-mnist", ("images:mnist",))


def test_runs_that_wait_for_each_other(project):
    project.write_notebook("good.ipynb")
    project.write_suite(*(project.entry(a, default="{}", after=f'["{b}"]') for a, b in ("ab", "bc", "ca")))
    with pytest.raises(suite.SuiteError, match="a: after: the run depends on itself") as caught:
        project.plan()
    names = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert names == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("stated", "given", "message"),
    [
        ("size = { least = 4 }", "{ size = 3 }", "'size' must be at least 4, got 3"),
        ("size = { least = 4 }", "{}", "'size' must be at least 4, got 3"),  # the notebook's own default
        ("rate = { above = 0, below = 1 }", "{ rate = 0 }", "'rate' must be above 0, got 0"),
        ("rate = { above = 0, below = 1 }", "{ rate = 1.0 }", "'rate' must be below 1, got 1.0"),
        ("rate = { most = 1 }", "{ rate = nan }", "'rate' must be at most 1, got nan"),
        ('names = { among = ["a", "b"] }', '{ names = ["b", "c"] }', "'names' must be one of 'a', 'b', got .'b', 'c'."),
    ],
)
def test_values_out_of_range(project, stated, given, message):
    project.write_notebook("good.ipynb")
    project.write_suite(f"[limits]\n{stated}", project.entry("one", default=given))
    with pytest.raises(suite.SuiteError, match=f"one: parameter {message}"):
        project.plan()
    with pytest.raises(suite.SuiteError, match="size"):
        project.plan(replaced={"sise": 4})


def test_the_committed_suite_limits_every_parameter_of_every_notebook():
    root = Path(__file__).resolve().parents[2]
    limits = suite_file.read(root / spec.SUITE_FILE).limits
    found = [notebooks.parameters(path) for path in (root / spec.NOTEBOOKS).glob("*.ipynb")]
    names = {name for parameters in found for name in parameters if not isinstance(parameters[name], bool)} - set(
        notebooks.PLACES
    )
    assert names == limits.keys()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nbformat": 3, "cells": []}', '{"nbformat": 4, "cells": [{}]}'])
def test_no_notebook(project, text):
    project.write_suite(project.entry("one"))
    (project.root / "notebooks" / "good.ipynb").write_text(text)
    with pytest.raises(suite.SuiteError, match="one: good.ipynb is not a notebook of format 4"):
        project.plan()
