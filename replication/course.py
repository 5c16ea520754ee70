"""The notebooks as a course: the ordered lessons, their times and exercises, and a copy of them for students."""

import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ccprune
from replication import answers, ledger
from replication.ledger import notebooks
from replication.ledger.notebooks import NOTEBOOKS
from replication.ledger.reading import read_text, read_toml, texts
from replication.ledger.translation import LANGUAGES, entries, translate
from replication.reporting.markdown import table

LESSONS = NOTEBOOKS / "lessons.toml"
#: Reading speeds for `Lesson.minutes_to_read`.
WORDS_A_MINUTE, LINES_A_MINUTE = 200, 30
_LINK = re.compile(r"\]\(([^)#:\s]+)[)#]")
_NUMBER = re.compile(r"\*\*Exercise (\d+)\.\*\* ")
_NEEDS = re.compile(r"\*Needs: (.+), about (\d+) minutes?\.\*", re.DOTALL)


@dataclass(frozen=True)
class Exercise:
    """Exercise of a lesson: its number, its requirements beyond the notebook, and its approximate time."""

    number: int
    needs: str
    minutes: int


@dataclass(frozen=True)
class Lesson:
    """One notebook of the course.

    Attributes
    ----------
    notebook, part, goal : str
        As in `LESSONS`. `notebook` is a file name inside `NOTEBOOKS`.
    title : str
        Heading of the notebook.
    words, lines : int
        Number of words of its text, without solutions, and number of lines of its code, without empty lines.
    exercises : tuple of Exercise
        In the notebook's order.
    seconds : tuple of float
        Wall times of the committed runs of the default profile.
    peak_mb : tuple of float
        Peak memories of these runs in MiB, as far as they were measured.
    """

    notebook: str
    part: str
    goal: str
    title: str
    words: int
    lines: int
    exercises: tuple[Exercise, ...]
    seconds: tuple[float, ...]
    peak_mb: tuple[float, ...]

    @property
    def minutes_to_read(self) -> int:
        """Reading time of words and code at `WORDS_A_MINUTE` and `LINES_A_MINUTE`, rounded up."""
        return math.ceil(self.words / WORDS_A_MINUTE + self.lines / LINES_A_MINUTE)

    @property
    def time_to_run(self) -> str:
        """Time of one run in the default profile, rounded up, such as "12 s" or "12 to 28 s"; or "not measured"."""
        if not self.seconds:
            return "not measured"
        least, most = math.ceil(min(self.seconds)), math.ceil(max(self.seconds))
        return f"{least} s" if least == most else f"{least} to {most} s"


def lessons(root: Path) -> list[Lesson]:
    """Return the lessons in order.

    Times are read from replication/results in the clone `root`. A FileNotFoundError is raised if a notebook is missing,
    and a ValueError if it has no heading, or an exercise no number or no requirements.
    """
    listed = read_toml(root / LESSONS).get("lesson")
    if not isinstance(listed, list):
        raise ValueError(f"{LESSONS}: it must hold tables [[lesson]]")
    measured = [ledger.read(path) for path in sorted((root / "replication" / "results").glob("*.default.json"))]
    return [_lesson(root, entry, measured) for entry in listed]


def _lesson(root: Path, entry: dict[str, str], measured: Sequence[dict]) -> Lesson:
    if not isinstance(entry, dict) or entry.keys() != {"notebook", "part", "goal"}:
        raise ValueError(f"{LESSONS}: a lesson must have notebook, part and goal, got {entry!r}")
    name = texts(root / LESSONS, entry)["notebook"]
    if Path(name).name != name:
        raise ValueError(f"{LESSONS}: notebook must be a file name, got {name!r}")
    cells = notebooks.cells(root / NOTEBOOKS / name)
    first = cells[0].source if cells else ""
    heading = re.match("# (.+)", first)
    if not heading:
        raise ValueError(f"{name} must begin with a heading, '# ...', got {first[:40]!r}")
    runs = [run for run in measured if run["notebook"] == name]
    text = [cell.source for cell in cells if cell.kind == "markdown" and "solution" not in cell.tags]
    code = [line for cell in cells if cell.kind == "code" for line in cell.source.splitlines() if line.strip()]
    return Lesson(
        **entry,
        title=heading[1],
        words=sum(len(source.split()) for source in text),
        lines=len(code),
        exercises=tuple(_exercise(name, cell.source) for cell in cells if "exercise" in cell.tags),
        seconds=tuple(run["wall_seconds"] for run in runs),
        peak_mb=tuple(run["peak_memory_mb"] for run in runs if run["peak_memory_mb"] is not None),
    )


def _exercise(notebook: str, source: str) -> Exercise:
    number, needs = _NUMBER.match(source), _NEEDS.search(source)
    if not number or not needs or source[needs.end() :].strip():
        raise ValueError(
            f"{notebook}: an exercise must begin with '**Exercise N.** ' and end with a line "
            f"'*Needs: ..., about M minutes.*', got {source[:30]!r} ... {source[-60:]!r}"
        )
    return Exercise(int(number[1]), " ".join(needs[1].split()), int(needs[2]))


def lesson_table(listed: Sequence[Lesson], link: Callable[[str], str]) -> str:
    """Return a table in Markdown with goal and times of each lesson.

    Parameters
    ----------
    listed : sequence of Lesson
        The lessons.
    link : callable
        Function of a notebook's file name that returns its address.

    Returns
    -------
    str
    """
    lines = [
        [
            number,
            f"[{lesson.title}]({link(lesson.notebook)})",
            lesson.goal,
            f"{lesson.minutes_to_read}\u00a0min",
            lesson.time_to_run,
            f"{max(lesson.peak_mb):.0f}" if lesson.peak_mb else "–",
        ]
        for number, lesson in enumerate(listed, 1)
    ]
    return table(["", "lesson", "at its end a reader can", "to read", "to run", "peak MiB"], lines)


def exercise_table(listed: Sequence[Lesson], link: Callable[[str], str]) -> str:
    """Return a table in Markdown with requirements and time of each exercise. Arguments as in `lesson_table`."""
    lines = [
        [
            f"[{lesson.title}]({link(lesson.notebook)})" if one is lesson.exercises[0] else "",
            one.number,
            one.needs,
            f"{one.minutes}\u00a0min",
        ]
        for lesson in listed
        for one in lesson.exercises
    ]
    return table(["lesson", "exercise", "needs", "about"], lines)


def new(root: Path, folder: Path, *, solutions: bool = False, language: str = "en") -> None:
    """Write a copy of the lessons, `LESSONS`, the files they link to, and a page on the course into a folder.

    Outputs and, by default, the cells tagged "solution" are removed from the notebooks; the rest is unchanged. The key
    of `replication.answers` lies beside them. If an error occurs, nothing is written.

    Parameters
    ----------
    root : Path
        The clone.
    folder : Path
        A new or an empty folder.
    solutions : bool, default False
        Whether to keep the solutions.
    language : str, default "en"
        "en" or one of `LANGUAGES`. Lessons without a translation are in English.

    Raises
    ------
    ValueError
        If the folder is a file or not empty, if the language is unknown, or as `lessons`.
    OSError
        If the folder cannot be written, or a notebook is missing.
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        state = "is not empty" if folder.is_dir() else "is a file"
        raise ValueError(f"FOLDER must be new or empty, got {folder}, which {state}")
    if language not in ("en", *LANGUAGES):
        raise ValueError(f"language must be one of {('en', *LANGUAGES)}, got {language!r}")
    listed = lessons(root)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        copy = Path(scratch, "course")
        (copy / NOTEBOOKS).mkdir(parents=True)
        for lesson in listed:
            text = read_text(root / NOTEBOOKS / lesson.notebook)
            for path in {linked_path(root, NOTEBOOKS, target) for target in _LINK.findall(text)} - {None}:
                if path.parent != NOTEBOOKS and (root / path).is_file():
                    (copy / path.parent).mkdir(parents=True, exist_ok=True)
                    (copy / path).write_bytes((root / path).read_bytes())
            notebook = translate(json.loads(text), entries(root, lesson.notebook, language))
            (copy / NOTEBOOKS / lesson.notebook).write_text(_handed_out(notebook, solutions), encoding="utf-8")
        (copy / LESSONS).write_bytes((root / LESSONS).read_bytes())
        if key := answers.read(root / NOTEBOOKS):
            (copy / NOTEBOOKS / answers.KEY).write_text(answers.encode(key), encoding="utf-8")
        (copy / "README.md").write_text(_page(listed, solutions), encoding="utf-8")
        os.replace(copy, folder)


def linked_path(root: Path, folder: str | os.PathLike, link: str) -> Path | None:
    """Return the path in the project of a link in a file of `folder`, or None if it leads out of the project."""
    path = Path(os.path.normpath(Path(folder, link)))
    inside = (root / path).resolve().is_relative_to(root.resolve())  # also where a part of the path is a symbolic link
    return path if inside and not path.is_absolute() and ".." not in path.parts else None


def _handed_out(notebook: dict, solutions: bool) -> str:
    kept = [cell for cell in notebook["cells"] if solutions or "solution" not in cell["metadata"].get("tags", ())]
    cleared = [
        cell | {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell for cell in kept
    ]
    return json.dumps(notebook | {"cells": cleared}, indent=1, ensure_ascii=False) + "\n"


def _page(listed: Sequence[Lesson], solutions: bool) -> str:
    link = f"{NOTEBOOKS.as_posix()}/{{}}".format
    parts = [
        "# Causal pruning: a course in notebooks",
        f"Made by `ccprune course new`, version {ccprune.__version__}, {'with' if solutions else 'without'} solutions. "
        "The lessons build on each other in this order; their files keep the numbers that results name them by.",
        "They run where ccprune is installed with what its notebooks need: after `make install` in a clone, or on a "
        "teacher's server.",
        lesson_table(listed, link),
        f"To read: {WORDS_A_MINUTE} words or {LINES_A_MINUTE} lines of code a minute, exercises not included. "
        "To run, and the most memory it took: with the notebook's own settings, from the committed results.",
        "## Exercises",
        exercise_table(listed, link),
    ]
    return "\n\n".join(parts) + "\n"
