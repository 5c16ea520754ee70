"""The path through the notebooks: all of them, once each, in one form, each leading to the next."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import list_lessons
import pytest

from replication import course
from replication.ledger import notebooks

ROOT = Path(__file__).parents[2]
LESSONS = tomllib.loads((ROOT / course.LESSONS).read_text(encoding="utf-8"))["lesson"]
NAMES = [lesson["notebook"] for lesson in LESSONS]
FOLDER = ROOT / "notebooks"

each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def lessons():
    return {lesson.notebook: lesson for lesson in course.lessons(ROOT)}


def test_every_notebook_is_a_lesson_once():
    assert sorted(NAMES) == sorted(path.name for path in FOLDER.glob("*.ipynb"))
    assert all(set(lesson) == {"notebook", "part", "goal"} for lesson in LESSONS)
    parts = [lesson["part"] for lesson in LESSONS]
    assert [one for i, one in enumerate(parts) if one not in parts[:i]] == [
        one for one, before in zip(parts, [None, *parts], strict=False) if one != before
    ], "lessons of a part must follow one another"


@each
def test_a_lesson_has_the_sections_that_all_have(name):
    text = "\n".join(cell.source for cell in notebooks.cells(FOLDER / name) if cell.kind == "markdown")
    headings = re.findall(r"^## (.+)", text, flags=re.M)
    for wanted in ("A failure, and how to read it", "When it does not hold", "Exercises", "To discuss", "References"):
        assert headings.count(wanted) == 1, (wanted, headings)
    assert headings.index("Exercises") < headings.index("To discuss") < headings.index("References")
    questions = re.search(r"^## To discuss\n\n(.+?)\n\n", text, flags=re.M | re.S)[1]
    assert questions.count("- ") == 3 and all(line.startswith(("- ", "  ")) for line in questions.splitlines())


def test_the_run_that_a_lesson_shows_is_the_one_that_its_notebook_opens_with():
    shown = {}
    for entry in tomllib.loads((ROOT / "replication/suite.toml").read_text(encoding="utf-8"))["run"]:
        if "default" in entry:
            shown.setdefault(entry["notebook"], entry)
    assert len(shown) >= len(NAMES) - 1
    for name, entry in shown.items():
        (cell,) = [cell for cell in notebooks.cells(FOLDER / name) if "parameters" in cell.tags]
        defaults = {}
        exec(cell.source, defaults)
        run = entry.get("parameters", {}) | entry["default"]
        assert run.items() <= defaults.items(), (
            entry["name"],
            {key: (value, defaults[key]) for key, value in run.items()},
        )


@each
def test_a_lesson_has_three_exercises_each_followed_by_its_solution(name):
    cells = notebooks.cells(FOLDER / name)
    places = [place for place, cell in enumerate(cells) if "exercise" in cell.tags]
    assert len(places) == 3
    assert [place for place, cell in enumerate(cells) if "solution" in cell.tags] == [place + 1 for place in places]
    for number, place in enumerate(places, 1):
        exercise, solution = cells[place : place + 2]
        assert exercise.kind == solution.kind == "markdown"
        assert course._exercise(name, exercise.source).number == number
        assert re.fullmatch(
            rf"<details>\s*<summary>Solution {number}</summary>\n\n.+\n\n</details>", solution.source, flags=re.S
        )
        assert solution.source.count("```") % 2 == 0


@each
def test_the_last_cell_of_a_lesson_leads_to_the_next(name):
    last = notebooks.cells(FOLDER / name)[-1].source
    following = NAMES[NAMES.index(name) + 1 :][:1]
    assert last.startswith("**Next.** ")
    if following:
        assert re.match(r"\*\*Next\.\*\* \[[^]]+\]\(([^)]+)\): ", last)[1] == following[0]


@each
def test_a_lesson_hands_its_results_over_in_at_most_ten_lines(name):
    (cell,) = [
        cell for cell in notebooks.cells(FOLDER / name) if cell.kind == "code" and "ledger.write(" in cell.source
    ]
    lines = [line for line in cell.source.splitlines() if not line.startswith("#")]
    assert len(lines) <= 10 and "parameters=" not in cell.source and "notebook=" not in cell.source


def collect_names(sources):
    """Return the names that the last source reads and that an earlier one adds to without having assigned them."""
    *others, last = ([*ast.walk(ast.parse(source))] for source in sources)
    found = set()
    for nodes in others:
        extended = [node.target for node in nodes if isinstance(node, ast.AugAssign)]
        assigned = {node.id for node in nodes if is_stored(node) and node not in extended}
        extended += [
            node.value for node in nodes if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
        ]
        methods = [node.func for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
        extended += [method.value for method in methods if method.attr in ("append", "extend", "update")]
        found |= {place.id for place in extended if isinstance(place, ast.Name)} - assigned
    return found & {node.id for node in last if isinstance(node, ast.Name)}


def is_stored(node):
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


@each
def test_a_lesson_does_not_collect_its_results_in_passing(name):
    """Each table is made in the cell that shows it; the writing cell alone makes results of the tables."""
    sources = [cell.source for cell in notebooks.cells(FOLDER / name) if cell.kind == "code"]
    (last,) = [place for place, source in enumerate(sources) if "ledger.write(" in source]
    assert collect_names(sources[: last + 1]) == set()


@pytest.mark.parametrize("adding", ["cells += [1]", "cells.append(1)", "cells['a'] = 1"])
def test_results_that_are_collected_are_found(adding):
    assert collect_names(["cells = []", adding, "write(cells)"]) == {"cells"}
    assert collect_names([f"cells = []\n{adding}", "write(cells)"]) == set()


@each
def test_a_lesson_imports_from_packages_and_without_other_names_for_their_contents(name):
    text = "\n".join(cell.source for cell in notebooks.cells(FOLDER / name))
    found = re.findall(r"^from (replication[\w.]*) import (\([^)]*\)|.*)", text, flags=re.M)
    for package, names in found:
        assert ROOT.joinpath(*package.split("."), "__init__.py").is_file(), package
        assert " as " not in names, names


@each
def test_links_of_a_lesson_lead_to_files_of_the_project(name):
    text = "\n".join(cell.source for cell in notebooks.cells(FOLDER / name) if cell.kind == "markdown")
    for target in re.findall(r"\]\(([^)#:\s]+)[)#]", re.sub(r"```.*?```|\$[^$]*\$", "", text, flags=re.S)):
        assert (FOLDER / target).exists(), target


@each
def test_a_lesson_is_read_in_a_quarter_of_an_hour(name, lessons):
    lesson = lessons[name]
    assert lesson.minutes_to_read <= 15, (lesson.words, lesson.lines)


@each
def test_a_change_of_a_line_is_a_difference_of_a_line(name):
    """Why no text file is paired with a notebook: nothing in it but its cells, laid out as Jupyter saves them."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    content = json.loads(text)
    assert text == json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert content["metadata"] == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in content["cells"]:
        assert set(cell["metadata"]) <= {"tags"}
        assert isinstance(cell["source"], list) and all(line.count("\n") <= 1 for line in cell["source"])
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)


def test_no_text_file_is_paired_with_a_notebook():
    assert {path.suffix for path in FOLDER.iterdir() if path.is_file()} == {".ipynb", ".toml", ".md"}


def test_the_list_of_the_lessons_is_in_their_order():
    page = list_lessons.page()
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == page, "run scripts/list_lessons.py"
    assert re.findall(r"\((\w+\.ipynb)\)", page) == NAMES


def test_the_command_of_the_page_brings_a_notebook_that_was_run_back_to_its_text(tmp_path):
    text = (FOLDER / NAMES[0]).read_text(encoding="utf-8")
    content = json.loads(text)
    content["metadata"]["language_info"] |= {"version": "3.12.1", "mimetype": "text/x-python"}
    content["metadata"]["widgets"] = {}
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": ["3\n"]}]
            cell |= {"execution_count": 2, "metadata": cell["metadata"] | {"editable": True}}
    (tmp_path / "notebooks").mkdir()
    ran = tmp_path / "notebooks" / NAMES[0]
    ran.write_text(json.dumps(content), encoding="utf-8")
    page = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    command = shlex.split(re.search(r"^\.venv/bin/jupyter (nbconvert .*?)\n```", page, flags=re.M | re.S)[1])
    words = [word for word in command if word.strip()]
    subprocess.run([sys.executable, "-m", "jupyter", *words], cwd=tmp_path, check=True, capture_output=True)
    assert ran.read_text(encoding="utf-8") == text
