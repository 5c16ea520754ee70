"""Checks of answers: by the code of the solution, with other seeds, from a student's copy, and a teacher's report."""

import ast
import json
import math
import os
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

from ccprune import cli
from replication import answers, course
from replication.answers import marks
from replication.ledger import notebooks

ROOT = Path(__file__).parents[2]
REAL = answers.read(ROOT / "notebooks")
KEY = {
    "00.1": {
        "code": "share = size / 4\nprint('the solution prints')",
        "answers": {
            "share": {
                "what": "share of four",
                "value": "share",
                "tolerance": 0.1,
                "mistakes": {"1 - share": "the rest"},
            },
            "flags": {"what": "list of two", "value": "[share > 0, False]"},
            "noise": {"what": "p-value", "value": "0.5", "between": [0.001, 1]},
            "word": {"what": "name", "value": "'Lasso'"},
        },
    }
}


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """A folder with nothing but the key."""
    (tmp_path / answers.KEY).write_text(answers.encode(KEY))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys, **given) -> str:
    names = {"check": answers.check, "given": given, "size": 3, "share": "the kernel's own"}
    exec("check('00.1', **given)", names)
    assert names["size"] == 3 and names["share"] == "the kernel's own"
    (line,) = capsys.readouterr().out.splitlines()
    return line.removeprefix(f"check 00.1 {next(iter(given))}: ")


@pytest.mark.parametrize("answer", [0.75, 0.66, 0.84, np.float32(0.75), torch.tensor(0.75)])
def test_an_answer_within_the_tolerance_is_right(copy, capsys, answer):
    assert said(capsys, share=answer) == "right, within 0.1"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"share": 0.9}, "wrong: got 0.9, too large by more than 0.1. It is the share of four."),
        ({"share": 0.5}, "too small by more than 0.1"),
        ({"share": 0.25}, "which is the rest"),
        ({"share": math.nan}, "must be finite"),
        ({"share": math.inf}, "must be finite"),
        ({"share": None}, "must be a number, got None"),
        ({"share": "0.75"}, "must be a number, got '0.75'"),
        ({"share": True}, "must be a number, got True"),
        ({"share": [0.75]}, "must be a number, got [0.75]"),
        ({"flags": [True]}, "must be a list of 2, got [True]"),
        ({"flags": [True, 0]}, "must be True or False, got 0"),
        ({"flags": [False, False]}, "wrong: got [False, False]. It is the list of two."),
        ({"noise": 1e-9}, "too small"),
        ({"word": "ridge"}, "wrong: got 'ridge'"),
        ({"word": 3}, "must be a string"),
    ],
)
def test_a_wrong_answer_is_refused_with_the_reason(copy, capsys, given, reason):
    line = said(capsys, **given)
    assert line.startswith("wrong: ") and reason in line


def test_other_kinds_of_right_answers(copy, capsys):
    assert said(capsys, flags=(np.True_, False)) == said(capsys, noise=0.02) == said(capsys, word=" lasso") == "right"


def test_no_answer_runs_nothing_and_is_no_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # no solutions here
    assert said(capsys, share=...) == "no answer yet"
    with pytest.raises(FileNotFoundError, match=r"neither answers.key nor answers.toml"):
        said(capsys, share=1)
    (tmp_path / answers.KEY).write_text(answers.encode(KEY))
    assert said(capsys, share=...) == "no answer yet. It is the share of four."
    with pytest.raises(ValueError, match="must be of share, flags, noise, word, got price"):
        said(capsys, price=1)


def test_a_kernel_whose_names_were_changed_is_no_wrong_answer(copy, capsys):
    exec("check('00.1', share=1)", {"check": answers.check})
    assert "not checked, because the solution raised NameError" in capsys.readouterr().out


def test_half_of_the_lessons_have_checks_and_each_has_its_cell():
    """Names and values need no run: an answer cell asks for the results of its exercise, in the order of the table."""
    assert len({exercise[:2] for exercise in REAL}) >= 10
    assert {f"{lesson}.{number}" for lesson in ("00", "19") for number in (1, 2, 3)} <= REAL.keys()
    asked = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = notebooks.cells(path)
        for place, cell in enumerate(cells):
            if "answer" in cell.tags:
                (call,) = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
                exercise = ast.literal_eval(call.args[0])
                assert exercise[:2] == path.name[:2]
                assert f"Solution {exercise[-1]}<" in cells[place - 1].source
                asked[exercise] = [keyword.arg for keyword in call.keywords]
    assert asked == {exercise: list(found["answers"]) for exercise, found in REAL.items()}


def executed(lesson: str, **parameters) -> dict:
    """The names of a lesson after its cells."""
    (path,) = (ROOT / "notebooks").glob(f"{lesson}_*.ipynb")
    names = {"__name__": "lesson", "display": lambda *shown: None}
    for cell in notebooks.cells(path):
        if cell.kind == "code" and "answer" not in cell.tags:
            exec(compile(cell.source, path.name, "exec"), names)
            names |= parameters if "parameters" in cell.tags else {}
    return names


def students_key(folder: Path) -> dict:
    """The key of a copy for students, read by what `check` reads it with."""
    course.new(ROOT, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "notebooks")
        return answers._key()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_solutions_pass_for_other_seeds(tmp_path, seed):
    names, key = executed("19", seed=seed, repeats=3), students_key(tmp_path / "course")
    assert key == REAL
    for number in (1, 2, 3):
        exercise = key[f"19.{number}"]
        after = answers.run_solution(exercise, names)
        given = {name: eval(spec["value"], after) for name, spec in exercise["answers"].items()}
        assert all(found.startswith("right") for found in answers.outcomes(exercise, names, given).values())
        wrong = {name: 1e9 for name in given}
        assert all(found.startswith("wrong: got 1e+09") for found in answers.outcomes(exercise, names, wrong).values())


def submission(path: Path, *printed: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    output = nbformat.v4.new_output("stream", text="".join(f"check {line}\n" for line in printed))
    cell = nbformat.v4.new_code_cell(
        "from replication.answers import check\ncheck('19.3', zeros=0.5)", outputs=[output]
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)


def test_marks_of_a_folder_are_read_and_nothing_is_executed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(marks.nbclient, "NotebookClient", None)
    folder = tmp_path / "submitted"
    submission(folder / "ann" / "19_background.ipynb", "19.1 exponent: right, within 0.05", "19.3 zeros: wrong: got 2.")
    submission(folder / "bob" / "week 1" / "19_background.ipynb", "19.3 zeros: no answer yet. It is")
    submission(folder / "19_eve.ipynb")
    (folder / "bob" / "00_start_here.ipynb").write_text("{")
    before = sorted(folder.rglob("*"))
    assert cli.main(["course", "marks", str(folder), "--csv", str(tmp_path / "marks.csv")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("From saved outputs, which students can edit.") and "19_eve" in printed
    found = pd.read_csv(tmp_path / "marks.csv", dtype=str).set_index(["student", "exercise", "name"]).outcome
    assert found["ann", "19.1", "exponent"] == "right" and found["ann", "19.3", "zeros"] == "wrong"
    assert found["ann", "19.2", "p_value"] == found["19_eve", "19.1", "exponent"] == "not run"
    assert found["bob", "19.3", "zeros"] == "no answer yet" and set(found["bob"].loc["00.1"]) == {"unreadable"}
    assert sorted(folder.rglob("*")) == before
    (tmp_path / "empty").mkdir()
    assert cli.main(["course", "marks", str(tmp_path / "empty")]) == 2
    assert "must have notebooks of lessons with checked exercises" in capsys.readouterr().err


def test_marks_of_executed_notebooks_ignore_what_their_outputs_claim(tmp_path):
    """A notebook without the lesson's names: its check cannot run the solution, whatever the saved output says."""
    submission(tmp_path / "ann" / "19_background.ipynb", "19.3 zeros: right")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / answers.KEY).write_text(answers.encode(REAL))
    found = marks.marks(tmp_path, REAL, execute_in=tmp_path / "run").set_index("exercise").outcome
    assert found["19.3"] == "not checked" and found["19.1"] == "not run"
    assert json.loads((tmp_path / "ann" / "19_background.ipynb").read_text())["cells"][0]["outputs"]
    assert os.listdir(tmp_path / "run") == [answers.KEY]
