"""Tables of docs/ that are made when the site is built; used by the hook `site_pages`."""

from collections.abc import Callable
from pathlib import Path

import public_address
import yaml
from site_criteria import criteria_table

from replication import course


def _memory(root: Path) -> str:
    needed, lesson = max((max(lesson.peak_mb, default=0), lesson.title) for lesson in course.lessons(root))
    return f"{needed:.0f} MiB (*{lesson}*)"


def _online(root: Path) -> str:
    public = public_address.address(root)
    text = (
        "The files in `.binder/` build the lessons' environment on [Binder](https://mybinder.org) and on any server "
        "with [repo2docker](https://repo2docker.readthedocs.io): `repo2docker .` in a copy of the project."
    )
    if links := public_address.badges(public):
        cell = public_address.colab_cell(public)
        text = f"{links}\n\n{text} On Colab, run this in a new first cell:\n\n```python\n{cell}\n```"
    return text


def _citation(root: Path) -> str:
    """Return CITATION.cff as BibTeX: the software, then its references."""
    cited = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    entries = []
    for work in (cited, *cited["references"]):
        names = [
            author.get("name") or f"{author['family-names']}, {author['given-names']}" for author in work["authors"]
        ]
        key = f"{work['authors'][0].get('family-names', 'ccprune')}{work.get('year', '')}".lower()
        authors = " and ".join(f"{{{name}}}" if "," not in name else name for name in names)
        fields = {"author": authors, "title": f"{{{work['title']}}}"}
        fields |= {field: work[field] for field in ("year", "version", "url") if field in work}
        fields |= {"note": work["notes"]} if "notes" in work else {}
        lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
        entries.append(f"@{work['type']}{{{key},\n{lines}}}\n")
    return "```bibtex\n" + "\n".join(entries) + "```"


#: Functions that return the text between `<!-- made: NAME -->` and `<!-- end -->`, by name, from the project's folder
#: and a function `link` that returns a notebook's address.
MADE: dict[str, Callable[[Path, Callable[[str], str]], str]] = {
    "lessons": lambda root, link: course.lesson_table(course.lessons(root), link),
    "exercises": lambda root, link: course.exercise_table(course.lessons(root), link),
    "speeds": lambda *_: f"{course.WORDS_A_MINUTE} words or {course.LINES_A_MINUTE} lines of code a minute",
    "memory": lambda root, _: _memory(root),
    "criteria": lambda root, _: criteria_table(root),
    "citation": lambda root, _: _citation(root),
    "online": lambda root, _: _online(root),
}
