"""MkDocs hook that adds the Japanese lessons to the site: a page and a notebook for each translation.

The notebooks are made of the English ones (`replication.ledger.translation`) and run when the site is built, one after
another in one kernel, so that no output has to be committed.
"""

import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import nbformat
from mkdocs.structure.files import File
from nbclient import NotebookClient
from site_lessons import in_page, lesson_body
from site_links import root_of

from replication import course
from replication.ledger.notebooks import NOTEBOOKS
from replication.ledger.translation import entries, translate
from replication.runner.page import to_html

FOLDER = f"{NOTEBOOKS}/ja"
_MARK = re.compile(r"<!-- japanese: (\S+) -->")


@cache
def _notebooks(root: Path) -> dict[str, dict]:
    """Return the translated notebooks by name, in the order of the lessons."""
    made = {}
    for lesson in course.lessons(root):
        if translated := entries(root, lesson.notebook, "ja"):
            text = (root / NOTEBOOKS / lesson.notebook).read_text(encoding="utf-8")
            made[Path(lesson.notebook).stem] = translate(json.loads(text), translated)
    return made


@cache
def _reports(root: Path) -> dict[str, str]:
    """Run the notebooks with their own parameters and return their HTML by name."""
    notebooks = {name: nbformat.reads(json.dumps(content), as_version=4) for name, content in _notebooks(root).items()}
    reset = nbformat.v4.new_code_cell("%reset -f")
    every = nbformat.v4.new_notebook(cells=[cell for one in notebooks.values() for cell in [*one.cells, reset]])
    for number, cell in enumerate(every.cells):  # ids of different notebooks are the same
        cell["id"] = f"cell-{number}"
    # The kernel warns that its connection, which stays on this machine, is not encrypted.
    arguments = ["--IPKernelApp.log_level=40", "--IPKernelApp.extra_extensions=replication.runner.rare_collection"]
    options = {"kernel_name": "python3", "extra_arguments": arguments}
    NotebookClient(every, resources={"metadata": {"path": str(root)}}, **options).execute()
    return {name: to_html(one, title=name, note="") for name, one in notebooks.items()}


def _title(notebook: dict) -> str:
    return notebook["cells"][0]["source"][0].removeprefix("# ").strip()


def on_config(config):
    """Add the lessons to the navigation."""
    listed = next(entry["日本語"] for entry in config.nav if "日本語" in entry)
    lessons = _notebooks(root_of(config))
    listed.append({"レッスン": [{_title(content): f"{FOLDER}/{name}.md"} for name, content in lessons.items()]})
    return config


def on_files(files, *, config):
    """Add the pages and the notebooks."""
    for name, content in _notebooks(root_of(config)).items():
        if old := files.get_file_from_path(f"{FOLDER}/{name}.md"):  # the translation, which a page links to
            files.remove(old)
        text = (
            f"# {_title(content)}\n\nこのサイトを作るときに実行したものです。"
            f"ノートブック: [{name}.ipynb]({name}.ipynb)、[英語のページ](../{name}.md)。\n\n<!-- japanese: {name} -->"
        )
        files.append(File.generated(config, f"{FOLDER}/{name}.md", content=text))
        notebook = json.dumps(content, indent=1, ensure_ascii=False)
        files.append(File.generated(config, f"{FOLDER}/{name}.ipynb", content=notebook))
    return files


def on_page_content(content, *, page, config, files):
    """Insert the executed notebook into its page, with links to translated lessons where there are some."""
    found = _MARK.search(content)
    if not found:
        return content
    reports = _reports(root_of(config))
    names = "|".join(reports)
    text = re.sub(rf'href="({names})\.ipynb"', r'href="ja/\1.md"', reports[found[1]])
    # nbconvert quotes the ids of headings like addresses
    text = re.sub(r'(?<= )(id="|href="#)([^"]*%[^"]*)"', lambda match: f'{match[1]}{unquote(match[2])}"', text)
    return in_page(content, found[0], lesson_body(text, page=page, config=config))


def on_post_page(output, *, page, config):
    """Set the language of the pages."""
    japanese = page.file.src_uri.startswith(FOLDER)
    return output.replace('<html lang="en"', '<html lang="ja"', 1) if japanese else output
