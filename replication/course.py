"""The notebooks as a course: the lessons in order, what each takes, and a copy of them to hand out."""

import json
import math
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ccprune
from replication import ledger as results
from replication.ledger import notebooks
from replication.ledger.notebooks import NOTEBOOKS
from replication.reporting.markdown import table

LESSONS = NOTEBOOKS / "lessons.toml"
#: Reading speeds that `Lesson.minutes_to_read` is computed with.
WORDS_A_MINUTE, LINES_A_MINUTE = 200, 30
_LINK = re.compile(r"\]\(([^)#:\s]+)[)#]")
_NUMBER = re.compile(r"\*\*Exercise (\d+)\.\*\* ")
_NEEDS = re.compile(r"\*Needs: (.+), about (\d+) minutes?\.\*", re.DOTALL)


@dataclass(frozen=True)
class Exercise:
    """An exercise of a lesson: its number, what it needs beside the notebook, and the minutes that it may take."""

    number: int
    needs: str
    minutes: int


@dataclass(frozen=True)
class Lesson:
    """One notebook of the path.

    Attributes
    ----------
    notebook, part, goal
        As in `LESSONS`; notebooks are named as files inside `NOTEBOOKS`.
    title
        The notebook's own heading.
    words, lines
        Of its text without the solutions, and of its code without empty lines.
    exercises
        In the notebook's order.
    seconds, peak_mb
        Wall time and peak memory (MiB, where it was measured) of the committed runs of the default profile.
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
        """Words and lines of code at the speeds above, rounded up."""
        return math.ceil(self.words / WORDS_A_MINUTE + self.lines / LINES_A_MINUTE)

    @property
    def time_to_run(self) -> str:
        """Of one run in the default profile, as in "12 s" or "12 to 28 s", rounded up; or "not measured"."""
        if not self.seconds:
            return "not measured"
        least, most = math.ceil(min(self.seconds)), math.ceil(max(self.seconds))
        return f"{least} s" if least == most else f"{least} to {most} s"


def lessons(root: Path) -> list[Lesson]:
    """The lessons in their order.

    Times come from `root`'s replication/results. Raises FileNotFoundError if a notebook is not there, ValueError if it
    has no heading, or if an exercise does not say its number and what it needs.
    """
    listed = tomllib.loads((root / LESSONS).read_text(encoding="utf-8"))["lesson"]
    measured = [results.read(path) for path in sorted((root / "replication" / "results").glob("*.default.json"))]
    return [_lesson(root, entry, [run for run in measured if run["notebook"] == entry["notebook"]]) for entry in listed]


def _lesson(root: Path, entry: dict[str, str], runs: Sequence[dict]) -> Lesson:
    name = entry["notebook"]
    cells = notebooks.cells(root / NOTEBOOKS / name)
    heading = re.match("# (.+)", cells[0].source)
    if not heading:
        raise ValueError(f"{name} must begin with a heading, '# ...', it begins with {cells[0].source[:40]!r}")
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


def lesson_table(found: Sequence[Lesson], link: Callable[[str], str]) -> str:
    """Markdown: goal and times of each lesson; `link` gives a notebook's address."""
    lines = [
        [
            number,
            f"[{lesson.title}]({link(lesson.notebook)})",
            lesson.goal,
            f"{lesson.minutes_to_read}\u00a0min",
            lesson.time_to_run,
            f"{max(lesson.peak_mb):.0f}" if lesson.peak_mb else "–",
        ]
        for number, lesson in enumerate(found, 1)
    ]
    return table(["", "lesson", "at its end a reader can", "to read", "to run", "peak MiB"], lines)


def exercise_table(found: Sequence[Lesson], link: Callable[[str], str]) -> str:
    """Markdown: what each exercise needs, and the minutes it may take."""
    lines = [
        [
            f"[{lesson.title}]({link(lesson.notebook)})" if one is lesson.exercises[0] else "",
            one.number,
            one.needs,
            f"{one.minutes}\u00a0min",
        ]
        for lesson in found
        for one in lesson.exercises
    ]
    return table(["lesson", "exercise", "needs", "about"], lines)


def new(root: Path, folder: Path, *, solutions: bool = False) -> None:
    """Copy the lessons, `LESSONS`, files they link to, and a page on the course into a folder: all of it or nothing.

    The notebooks lose their outputs and, unless `solutions` stay, the cells tagged "solution"; no other letter changes.
    Raises ValueError if the folder is a file or not empty, or a lesson is not as `lessons` wants it; OSError if the
    folder cannot be written, or a notebook is not there.
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"FOLDER must be new or empty, {folder} is {'not empty' if folder.is_dir() else 'a file'}")
    found = lessons(root)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        copy = Path(scratch, "course")
        (copy / NOTEBOOKS).mkdir(parents=True)
        for lesson in found:
            text = (root / NOTEBOOKS / lesson.notebook).read_text(encoding="utf-8")
            for path in {Path(os.path.normpath(NOTEBOOKS / target)) for target in _LINK.findall(text)}:
                if ".." not in path.parts and path.parent != NOTEBOOKS and (root / path).is_file():
                    (copy / path.parent).mkdir(parents=True, exist_ok=True)
                    (copy / path).write_bytes((root / path).read_bytes())
            (copy / NOTEBOOKS / lesson.notebook).write_text(_handed_out(text, solutions), encoding="utf-8")
        (copy / LESSONS).write_bytes((root / LESSONS).read_bytes())
        (copy / "README.md").write_text(_page(found, solutions), encoding="utf-8")
        os.replace(copy, folder)


def _handed_out(text: str, solutions: bool) -> str:
    notebook = json.loads(text)
    kept = [cell for cell in notebook["cells"] if solutions or "solution" not in cell["metadata"].get("tags", ())]
    cleared = [
        cell | {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell for cell in kept
    ]
    return json.dumps(notebook | {"cells": cleared}, indent=1, ensure_ascii=False) + "\n"


def _page(found: Sequence[Lesson], solutions: bool) -> str:
    link = f"{NOTEBOOKS.as_posix()}/{{}}".format
    parts = [
        "# Causal pruning: a course in notebooks",
        f"Made by `ccprune course new`, version {ccprune.__version__}, {'with' if solutions else 'without'} solutions. "
        "The lessons build on each other in this order; their files keep the numbers that results name them by.",
        "They run where ccprune is installed with what its notebooks need: after `make install` in a clone, or on a "
        "teacher's server.",
        lesson_table(found, link),
        f"To read: {WORDS_A_MINUTE} words or {LINES_A_MINUTE} lines of code a minute, exercises not included. "
        "To run, and the most memory it took: with the notebook's own settings, from the committed results.",
        "## Exercises",
        exercise_table(found, link),
    ]
    return "\n\n".join(parts) + "\n"
