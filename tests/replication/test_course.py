"""The course: what is told of the lessons, and the copy that is handed out."""

import json
import os
from pathlib import Path

import pytest

from ccprune import cli
from replication import course, ledger
from replication.course import Exercise

ROOT = Path(__file__).parents[2]
SOLUTION = "<details><summary>Solution 1</summary>\n\n```python\nprint(size)\n```\n\n</details>"


def cell(kind: str, source: str, *tags: str) -> dict:
    """A cell that was run, as JupyterLab saves it."""
    ran = {"execution_count": 7, "outputs": [{"name": "stdout", "output_type": "stream", "text": ["3\n"]}]}
    made = {"cell_type": kind, "id": f"cell-{abs(hash(source))}", "metadata": {"tags": list(tags)} if tags else {}}
    return made | (ran if kind == "code" else {}) | {"source": source.splitlines(keepends=True)}


CELLS = [
    cell("markdown", "# One näïve network\n\nfour words of text"),
    cell("code", "size = 3\n\nprint(size)"),
    cell("markdown", "**Exercise 1.** Why?\n\n*Needs: a GPU,\nor patience, about 20 minutes.*", "exercise"),
    cell("markdown", SOLUTION, "solution"),
    cell(
        "markdown",
        "**Next.** [Nothing](02_two.ipynb), [verdicts](../replication/verdicts.csv#x), [no](../../secret.txt)",
    ),
]


def notebook(cells: list[dict]) -> str:
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


@pytest.fixture
def project(tmp_path):
    """A project of two lessons, the second one first; the first one was run on two sets of data."""
    root = tmp_path / "project"
    (root / "notebooks").mkdir(parents=True)
    (root / "replication").mkdir()
    (root / "replication" / "suite.toml").write_text("")
    (root / "replication" / "verdicts.csv").write_text("paper\n")
    (tmp_path / "secret.txt").write_text("not of the project")
    for name in ("01_one.ipynb", "02_two.ipynb"):
        (root / "notebooks" / name).write_text(notebook(CELLS), encoding="utf-8")
    lesson = '[[lesson]]\nnotebook = "{}"\npart = "A"\ngoal = "See | it."\n'
    (root / "notebooks" / "lessons.toml").write_text(lesson.format("02_two.ipynb") + lesson.format("01_one.ipynb"))
    for name, seconds in (("a", 11.2), ("b", 70.0), ("slow", 4000.0)):
        profile = "paper" if name == "slow" else "default"
        path = root / "replication" / "results" / f"{name}.{profile}.json"
        ledger.write(
            path, notebook="01_one.ipynb", parameters={"profile": profile}, seeds=[], data_checksums={}, cells=[]
        )
        ledger.save(path, ledger.read(path) | {"wall_seconds": seconds, "peak_memory_mb": 10 * seconds})
    return root


def texts(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()
    }


def test_a_lesson_says_what_it_takes(project):
    two, one = course.lessons(project)
    assert (two.notebook, two.title, two.part, two.goal) == ("02_two.ipynb", "One näïve network", "A", "See | it.")
    assert (two.words, two.lines) == (8 + 11 + 4, 2)  # the solution's words are not read
    assert two.exercises == (Exercise(1, "a GPU, or patience", 20),)
    assert two.time_to_run == "not measured" and two.peak_mb == ()
    assert one.time_to_run == "12 to 70 s" and one.peak_mb == (112.0, 700.0)
    table = course.lesson_table([two, one], lambda name: f"x/{name}")
    assert table.splitlines()[2:] == [
        "| 1 | [One näïve network](x/02_two.ipynb) | See \\| it. | 1\u00a0min | not measured | – |",
        "| 2 | [One näïve network](x/01_one.ipynb) | See \\| it. | 1\u00a0min | 12 to 70 s | 700 |",
    ]


def test_minutes_to_read_are_those_of_words_and_lines():
    lesson = course.Lesson("n", "p", "g", "t", words=2000, lines=61, exercises=(), seconds=(9.0,), peak_mb=())
    assert lesson.minutes_to_read == 13 and lesson.time_to_run == "9 s"


def test_a_copy_has_no_outputs_and_no_solutions_and_is_otherwise_the_same(project, tmp_path):
    folder = tmp_path / "new" / "course"
    course.new(project, folder)
    cleared = [one | {"outputs": [], "execution_count": None} if one["cell_type"] == "code" else one for one in CELLS]
    without = notebook([one for one in cleared if one["metadata"].get("tags") != ["solution"]])
    found = texts(folder)
    page = found.pop("README.md")
    assert found == {
        "notebooks/01_one.ipynb": without,
        "notebooks/02_two.ipynb": without,
        "notebooks/lessons.toml": (project / "notebooks" / "lessons.toml").read_text(),
        "replication/verdicts.csv": "paper\n",  # a lesson links to it
    }
    assert page.index("(notebooks/02_two.ipynb)") < page.index("(notebooks/01_one.ipynb)")
    assert "| 1 | a GPU, or patience | 20\u00a0min |" in page and "without solutions" in page
    assert os.listdir(folder.parent) == ["course"]

    course.new(project, tmp_path / "teacher", solutions=True)
    found = texts(tmp_path / "teacher")
    assert found["notebooks/01_one.ipynb"] == notebook(cleared)
    assert ", with solutions" in found["README.md"]


def test_the_real_lessons_can_be_handed_out(tmp_path):
    course.new(ROOT, tmp_path / "course")
    handed = texts(tmp_path / "course")
    assert "replication/verdicts.csv" in handed  # the last lesson reads it
    assert "solution" not in {
        tag
        for name, text in handed.items()
        if name.endswith(".ipynb")
        for one in json.loads(text)["cells"]
        for tag in one["metadata"].get("tags", ())
    }
    course.new(ROOT, tmp_path / "teacher", solutions=True)
    teacher = texts(tmp_path / "teacher")
    for lesson in course.lessons(ROOT):
        name = f"notebooks/{lesson.notebook}"
        assert teacher[name] == (ROOT / name).read_text(encoding="utf-8")
        assert len(json.loads(teacher[name])["cells"]) - len(json.loads(handed[name])["cells"]) == 3


def test_an_empty_folder_is_filled_and_another_one_is_refused(project, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project)
    folder = tmp_path / "course"
    folder.mkdir()
    assert cli.main(["course", "new", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'README.md'}\n"
    before = texts(folder)
    assert cli.main(["course", "new", str(folder), "--solutions"]) == 2
    assert "FOLDER must be new or empty" in capsys.readouterr().err
    assert texts(folder) == before
    assert cli.main(["course", "new", str(folder / "README.md")]) == 2
    assert "is a file" in capsys.readouterr().err


def test_nothing_outside_the_folder_is_touched(project, tmp_path):
    """By absolute links, links through a symbolic link, and names of notebooks with a folder."""
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (project / "shared").symlink_to(tmp_path)
    text = f"[absolute]({mine}) [through a link](../shared/mine.txt) [up](../../mine.txt) [folder](../shared)"
    path = project / "notebooks" / "01_one.ipynb"
    path.write_text(notebook([*CELLS, cell("markdown", text)]))
    written = mine.stat().st_mtime_ns
    course.new(project, tmp_path / "course")
    assert mine.stat().st_mtime_ns == written and not (tmp_path / "course" / "shared").exists()
    lessons = project / "notebooks" / "lessons.toml"
    lessons.write_text(lessons.read_text().replace("01_one.ipynb", "../notebooks/01_one.ipynb"))
    with pytest.raises(ValueError, match="notebook must be a file name"):
        course.new(project, tmp_path / "other")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "no notebook 01_one.ipynb"),
        (lambda path: path.write_text("{}"), "not a notebook of format 4"),
        (lambda path: path.write_text(notebook(CELLS[1:])), "must begin with a heading"),
        (lambda path: path.write_text(notebook([CELLS[0], cell("markdown", "Why?", "exercise")])), "must begin with"),
        (
            lambda path: path.write_text(notebook([CELLS[0], cell("markdown", "**Exercise 1.** Why?", "exercise")])),
            "'*Needs: ..., about M minutes.*'",
        ),
    ],
)
def test_nothing_is_left_of_a_copy_that_cannot_be_made(project, tmp_path, monkeypatch, capsys, spoil, message):
    monkeypatch.chdir(project)
    spoil(project / "notebooks" / "01_one.ipynb")
    before = sorted(os.listdir(tmp_path))
    assert cli.main(["course", "new", str(tmp_path / "course")]) == 2
    assert message in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before


def test_a_full_disk_leaves_nothing(project, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project)
    write, before = Path.write_text, sorted(os.listdir(tmp_path))

    def full(self, *arguments, **options):
        if self.name == "01_one.ipynb":
            raise OSError(28, "No space left on device")
        return write(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    assert cli.main(["course", "new", str(tmp_path / "course")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before


def test_the_copy_takes_its_place_as_a_whole_or_not_at_all(project, tmp_path, monkeypatch):
    def cut_off(*paths):
        raise KeyboardInterrupt

    folder, before = tmp_path / "course", sorted(os.listdir(tmp_path))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(course.os, "replace", cut_off)
        course.new(project, folder)
    assert sorted(os.listdir(tmp_path)) == before
