"""Write notebooks/README.md, the list of the lessons in the order of the course.

.venv/bin/python scripts/list_lessons.py
"""

from pathlib import Path

from replication import course

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "notebooks" / "README.md"


def page(root: Path = ROOT) -> str:
    """Return the list in Markdown."""
    parts = [
        "# The lessons in their order",
        "The numbers in the file names are those of the results, not the order. `lessons.toml` has the order;\n"
        "`scripts/list_lessons.py` writes this page from it.",
    ]
    part = ""
    for number, lesson in enumerate(course.lessons(root), 1):
        if lesson.part != part:
            part = lesson.part
            parts.append(f"## {part}")
        parts.append(f"{number}. [{lesson.title}]({lesson.notebook}): {lesson.goal}")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
