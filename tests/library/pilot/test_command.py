"""The command `ccprune pilot` and its starter files."""

import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch

import ccprune
from ccprune import cli, criteria
from ccprune._pilot import _checks
from ccprune._pilot._data import load
from ccprune.cli import pilot as command
from ccprune.criteria import _registry


def _table(path):
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    pd.DataFrame(x.numpy()).rename(columns=str).assign(sold=(x[:, 0] > 0).numpy()).to_csv(path, index=False)


def test_a_starter_file_is_written_once_and_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["pilot", "new", "table", "mine.py"]) == 0
    _table(tmp_path / "houses.csv")
    text = (tmp_path / "mine.py").read_text().replace("FILE = None", 'FILE = "houses.csv"')
    for before, after in {
        'TARGET = "target"': 'TARGET = "sold"',
        '"before": 20, "recorded": 5, "after": 6': '"before": 2, "after": 2',
        '"seeds": 3': '"criteria": ("random",), "sparsities": (0.5,)',
    }.items():
        assert before in text
        text = text.replace(before, after)
    (tmp_path / "mine.py").write_text(text)
    assert cli.main(["pilot", "mine.py", "--seeds", "1", "--folder", "page", "--language", "ja"]) == 0
    assert "シード" in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip().endswith("index.html")
    assert cli.main(["pilot", "new", "table", "mine.py"]) == 2
    assert "must not exist yet" in capsys.readouterr().err


@pytest.mark.parametrize("kind", command.KINDS)
def test_every_starter_gives_data_and_a_model_that_train(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["pilot", "new", kind, "starter.py"]) == 0
    settings = runpy.run_path("starter.py")["settings"]()
    parts = [settings.get(name) for name in ("train", "validation", "test")]
    data = load(*parts, target=settings.get("target"), batch_size=64, seed=0, device=torch.device("cpu"))
    assert data.sizes["validation"] >= 100 and data.sizes["test"] >= 100
    if "make" in settings:
        _checks.check_factory(settings["make"], 0)
        x, y = data.batch
        outputs = settings["make"](0)(x)
        assert len(outputs) == len(y)


def test_a_csv_file_needs_its_target(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _table(tmp_path / "houses.csv")
    assert cli.main(["pilot", "houses.csv"]) == 2
    assert "target must be one of the columns" in capsys.readouterr().err
    assert cli.main(["pilot", "houses.csv", "--target", "sold", "--dry-run"]) == 0
    assert "on one worker" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["houses.csv"]


@pytest.mark.parametrize(
    ("what", "folder"),
    [("a/mine.py", "pilot-mine"), ("b.csv", "pilot-b"), ("models.wide", "pilot-wide")],
)
def test_each_file_has_a_folder_of_its_own(what, folder, monkeypatch):
    given = {}
    monkeypatch.setattr(command, "_settings", lambda _: {"train": None})
    monkeypatch.setattr(ccprune, "pilot", lambda **settings: given.update(settings) or 1.0)
    assert cli.main(["pilot", what]) == 0 and given["folder"] == folder
    assert cli.main(["pilot", what, "--folder", "page"]) == 0 and given["folder"] == "page"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "poem", "mine.py"], "new must be followed by one of"),
        (["missing.py"], "FILE must exist"),
        (["no_such_module"], "No module named"),
        (["a.py", "b.py"], "FILE must be one file"),
        (["json"], "must have a function settings"),
    ],
)
def test_other_arguments_are_refused(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["pilot", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["mine.py"], ["houses.csv", "--target", "sold"]])
def test_missing_packages_are_named_before_the_file_is_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _table(tmp_path / "houses.csv")
    (tmp_path / "mine.py").write_text("print('the file was run')")
    missing = ("cloudpickle", "pyarrow")
    monkeypatch.setattr(_checks, "find_spec", lambda name: None if name in missing else find_spec(name))
    assert cli.main(["pilot", *command]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == (
        "ccprune: ccprune.pilot needs cloudpickle, pyarrow: pip install '.[pilot]' in a clone of the project\n"
    )


def test_the_examples_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_registry, "_CRITERIA", dict(_registry._CRITERIA))
    page = (Path(__file__).parents[3] / "docs" / "pilot.md").read_text(encoding="utf-8")
    example, settings = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(compile(example, "pilot.md", "exec"), {})
    assert "prune" in capsys.readouterr().out.lower() and (tmp_path / "sold" / "index.html").is_file()
    exec(compile(settings, "pilot.md", "exec"), {})
    assert {"legcnet 15 2", "legcnet 25 5"} <= criteria.list_criteria().keys()
