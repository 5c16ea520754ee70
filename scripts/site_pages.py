"""MkDocs hook that adds content outside docs/ to the site when it is built.

- A page for each lesson of notebooks/lessons.toml, from its committed report. Lessons about the committed results have
  no committed report; they are run when the site is built.
- `PAGES`, and all files that a page links to, at their paths in the project, with links to pages of the site.
- Tables between `<!-- made: NAME -->` and `<!-- end -->` in docs/. The text between these comments in the file is for
  readers of the file.
- Examples in docstrings, `>>> ...`, as code, because Markdown reads them as quotations.
"""

import base64
import html
import io
import logging
import os
import posixpath
import re
import runpy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from mkdocs.structure.toc import AnchorLink
from mkdocs.utils import get_relative_url
from PIL import Image

from replication import course, ledger
from replication.runner import LocalPool, SuiteError, claim, plan, replicate, suite_file
from replication.runner.page import STYLE
from replication.runner.readable import readable
from replication.runner.spec import NOTEBOOKS, SUITE_FILE

PAGES = ("replication/README.md", "replication/REFORMS.md", "benchmarks/README.md")
REPORTS = "replication/reports"

_ADDRESS = runpy.run_path(str(Path(__file__).with_name("public_address.py")))
_CRITERIA = runpy.run_path(str(Path(__file__).with_name("site_criteria.py")))

_log = logging.getLogger("mkdocs.hooks.site_pages")
_LINKS = {
    ".md": re.compile(r"(?P<before>\]\()(?P<path>[^)#:\s]+)(?=[)#])"),
    ".html": re.compile(r'(?P<before>\s(?:href|src)=")(?P<path>[^"#:]+)(?=["#])'),
}
_FOLDER = re.compile(r"\[([^]]+)\]\(([^)#:\s]+)\)")


def on_pre_build(config):
    """Refuse a folder for the site that has files of others, which MkDocs would delete."""
    try:
        claim(Path(config.site_dir))
    except SuiteError as error:
        raise PluginError(str(error)) from error


def on_config(config):
    """Add the lessons to the navigation, grouped by part, and the extension for examples."""
    config.markdown_extensions.append(_Examples())
    config.repo_url = _ADDRESS["address"](_root(config)) or None
    parts: dict[str, list] = {}
    for lesson in course.lessons(_root(config)):
        parts.setdefault(lesson.part, []).append({lesson.title: _in_site(f"{NOTEBOOKS}/{lesson.notebook}")})
    listed = next(entry["Lessons"] for entry in config.nav if "Lessons" in entry)
    for part, pages in parts.items():
        listed.extend([{part: pages}] if len(pages) > 1 else pages)
    return config


class _Examples(Extension, Preprocessor):
    """Fence the lines from `>>>` to the next empty line."""

    def extendMarkdown(self, md):  # noqa: N802 (Markdown's name)
        md.preprocessors.register(self, "examples", 30)  # before fenced blocks are parsed, at 25

    def run(self, lines: list[str]) -> list[str]:
        text = "\n".join(lines)
        return re.sub(r"^(?:(?<=\n\n)|\A)>>> .+(?:\n.+)*", r"```pycon\n\g<0>\n```", text, flags=re.M).split("\n")


def on_files(files, *, config):
    """Add the lessons' pages, `PAGES`, and the linked files."""
    root = _root(config)
    waiting = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    for lesson in course.lessons(root):
        path = f"{NOTEBOOKS}/{lesson.notebook}"
        files.append(File.generated(config, path, abs_src_path=str(root / path)))
        made = File.generated(config, _in_site(path), content=_lesson_page(root, lesson))
        files.append(made)
        waiting.append((made.src_uri, made.content_string))
    waiting += [("", f"]({path})") for path in PAGES]
    while waiting:
        source, text = waiting.pop()
        for path in _linked(root, source, text):
            if files.get_file_from_path(_in_site(path)):
                continue
            if Path(path).suffix in _LINKS:
                text = (root / path).read_text(encoding="utf-8")
                text = _readable(text) if path.startswith(REPORTS) else text
                files.append(File.generated(config, _in_site(path), content=_with_links(root, path, text)))
                waiting.append((path, text))
            else:
                files.append(File.generated(config, _in_site(path), abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown, *, page, config, files):
    """Insert the generated tables, and direct links of docs/ to the site."""
    root, here = _root(config), posixpath.dirname(page.file.src_uri)
    if page.file.generated_by:
        return markdown

    def made(match: re.Match) -> str:
        return MADE[match[1]](root, lambda name: posixpath.relpath(_in_site(f"{NOTEBOOKS}/{name}"), here or "."))

    markdown = _with_links(root, f"docs/{page.file.src_uri}", markdown)
    return re.sub(r"<!-- made: (\w+) -->.*?<!-- end -->", made, markdown, flags=re.DOTALL)


def on_page_content(content, *, page, config, files):
    """Insert a lesson's report into its page, and its headings into the table of contents."""
    found = re.search(r"<!-- report: (\S+) -->", content)
    if not found:
        return content
    body = lesson_body(_report(_root(config), found[1]), page=page, config=config)
    body, pictures = _with_slider(_root(config), found[1], Path(page.file.src_uri).with_suffix(".ipynb").name, body)
    for name, picture in pictures.items():
        files.append(File.generated(config, f"{Path(page.file.src_uri).with_suffix('')}/{name}", content=picture))
    return in_page(content, found[0], body)


def lesson_body(report: str, *, page, config) -> str:
    """Return the body of a report with the site's links, and make its headings the page's table of contents."""
    text = _without_injected(report)
    body = re.search(r'<p class="made">.*?</p>(.*)</body>', text, flags=re.DOTALL)[1]
    body = re.sub(r"<h1\b.*?</h1>", "", body, count=1, flags=re.DOTALL)
    body = _with_links(_root(config), f"{REPORTS}/lesson.html", body, page.url)
    body = body.replace('class="anchor-link"', 'class="headerlink"')
    page.toc.items[0].children = [
        AnchorLink(html.unescape(re.sub("<.*?>", "", title)), name, 2)
        for name, title in re.findall(r'<h2 id="([^"]+)">(.*?)<a ', body, flags=re.DOTALL)
    ]
    return body


def in_page(content: str, mark: str, body: str) -> str:
    """Replace the mark in a page by a lesson."""
    body = re.sub(r'<img (?=[^>]*src="data:image/png;base64,([^"]+)")', _toned, body)
    return content.replace(mark, f'<div class="notebook">{body}</div>')


def _with_slider(root: Path, label: str, notebook: str, body: str) -> tuple[str, dict[str, bytes]]:
    """Draw the pictures of a slider if `make docs` asks for them, because that takes a minute."""
    result = root / "replication" / "results" / f"{label}.json"
    if not os.environ.get("CCPRUNE_SLIDERS") or not result.is_file():
        return body, {}
    with_slider = runpy.run_path(str(Path(__file__).with_name("site_sliders.py")))["with_slider"]
    return with_slider(body, notebook=notebook, parameters=ledger.read(result)["parameters"])


def _toned(found: re.Match) -> str:
    """Mark a drawing on white, which the dark scheme inverts. In a map of colours, lighter has to remain larger."""
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as picture:
        levels = picture.convert("L").histogram()
    return found[0] + ('class="drawing" ' if sum(levels[170:]) > 0.75 * sum(levels) else "")


def on_post_page(output, *, page, config):
    """Set the language of the Japanese pages."""
    japanese = page.file.src_uri.startswith("ja/")
    return output.replace('<html lang="en"', '<html lang="ja"', 1) if japanese else output


def on_post_template(output, *, template_name, config):
    """List the sections on the page for addresses that are not there."""
    if template_name != "404.html":
        return output
    base = f"/{urlsplit(config.site_url or '').path.strip('/')}/".replace("//", "/")
    links = {
        "the first page": "",
        "how to install": "install/",
        "the lessons": "lessons/",
        "questions": "questions/",
        "the verdicts of the replication": "replication/",
        "the main functions": "reference/ccprune/",
        "日本語": "ja/",
    }
    listed = "".join(f'<li><a href="{base}{path}">{words}</a></li>' for words, path in links.items())
    helped = (
        "<h1>There is no page at this address</h1>\n<p>It may have moved. The search at the top finds words of all "
        f"pages, and these pages lead on:</p>\n<ul>{listed}</ul>"
    )
    return re.sub(r"<h1>404.*?</h1>", helped, output, count=1)


def _root(config) -> Path:
    return Path(config.config_file_path).parent


def _in_site(path: str) -> str:
    """Return the path in the site of a file of the project; docs/ is the site's root, and notebooks are pages."""
    path = re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    return "index.md" if path == "README.md" else path


def _target(root: Path, source: str, link: str) -> str | None:
    """Return the project's file that is the target of a link in another file, or None."""
    folder = posixpath.dirname(source)
    if folder == REPORTS:  # links in a report are relative to its notebook
        folder = str(NOTEBOOKS)
    path = course.linked_path(root, folder, unquote(html.unescape(link)))
    if path is not None and (root / path).is_dir():
        path /= "README.md"
    return path.as_posix() if path is not None and (root / path).is_file() else None


def _linked(root: Path, source: str, text: str) -> Iterator[str]:
    for match in _LINKS[Path(source).suffix or ".md"].finditer(text):
        if path := _target(root, source, match["path"]):
            yield path


def _with_links(root: Path, source: str, text: str, url: str | None = None) -> str:
    """Return the text of a project's file with the site's links; `url` is the page that it becomes part of."""

    def led(match: re.Match) -> str:
        path = _target(root, source, match["path"])
        if path is None:
            if Path(source).suffix == ".html":  # MkDocs reports missing targets of Markdown files
                _log.warning("%s links to %s, which is not there", source, match["path"])
            return match[0]
        if Path(source).suffix == ".html":
            file = File(_in_site(path), None, "", use_directory_urls=True)
            return match["before"] + get_relative_url(file.url, url or source)
        return match["before"] + posixpath.relpath(_in_site(path), posixpath.dirname(_in_site(source)) or ".")

    def unlinked(match: re.Match) -> str:
        """Replace the link to a folder by its text, because the site has no pages for folders."""
        folder = root / posixpath.dirname(source) / match[2]
        return match[1] if folder.is_dir() and not (folder / "README.md").is_file() else match[0]

    return _LINKS[Path(source).suffix].sub(led, _FOLDER.sub(unlinked, text) if source.endswith(".md") else text)


def _lesson_page(root: Path, lesson: course.Lesson) -> str:
    labels = list(_reports(root, lesson.notebook))
    now = [run.label for run in plan(root, profile="smoke") if run.notebook == lesson.notebook] if not labels else []
    download = f"[{lesson.notebook}]({lesson.notebook})"
    parts = [f"# {lesson.title}", f"**{lesson.part}.** Goal: {lesson.goal}"]
    if links := _ADDRESS["badges"](_ADDRESS["address"](root), f"{NOTEBOOKS.as_posix()}/{lesson.notebook}"):
        parts.append(f"{links} ([what Colab needs first](../install.md#without-installing))")
    if now:
        parts.append(f"Run when this site was built; the notebook: {download}.")
        return "\n\n".join([*parts, f"<!-- report: {now[0]} -->"])
    if not labels:
        return "\n\n".join([*parts, f"Not rendered yet. The notebook: {download}."])
    shown, *others = (f"[{label}](../{REPORTS}/{label}.html)" for label in labels)
    run = ledger.read(root / "replication" / "results" / f"{labels[0]}.json")
    sentence = (
        f"The report of {shown}, commit {(run['environment']['commit'] or 'unknown')[:10]}; the notebook: {download}."
    )
    if others:
        sentence += f" The same notebook's other runs: {', '.join(others)}."
    return "\n\n".join([*parts, sentence, f"<!-- report: {labels[0]} -->"])


def _without_injected(report: str) -> str:
    """Remove the parameters that papermill added, which a reader of the lesson's own run does not set."""
    return re.sub(
        r'<div class="[^"]*\bcelltag_injected-parameters\b.*?(?=<div class="cell )', "", report, flags=re.DOTALL
    )


def _readable(report: str) -> str:
    """Return a report of any age as one of today: its pictures have texts, and on a phone it is not too wide."""
    return readable(report.replace("</head>", f"<style>{STYLE}</style>\n</head>", 1))


def _report(root: Path, label: str) -> str:
    """Return the committed report, or run the lesson if there is none."""
    path = root / REPORTS / f"{label}.html"
    if path.is_file():
        return readable(path.read_text(encoding="utf-8"))
    with (
        tempfile.TemporaryDirectory(prefix="ccprune-site-") as scratch,
        closing(LocalPool(root, Path(scratch))) as pool,
    ):
        runs = [run for run in plan(root, profile="smoke") if run.label == label]
        (outcome,) = replicate(root, runs, out=Path(scratch), pool=pool, stream=io.StringIO())
        if outcome.status != "done":
            raise PluginError(f"{label}, run for the site: {outcome.why}")
        return Path(scratch, "reports", path.name).read_text(encoding="utf-8")


def _reports(root: Path, notebook: str) -> Iterator[str]:
    """Yield the labels of a notebook's committed reports, first of the default profile, in the suite's order."""
    entries = suite_file.read(root / SUITE_FILE).entries
    for profile in ("default", "paper"):
        for entry in entries[profile]:
            label = f"{entry.name}.{profile}"
            if entry.notebook == notebook and (root / REPORTS / f"{label}.html").is_file():
                yield label


def _memory(root: Path) -> str:
    needed, lesson = max((max(lesson.peak_mb, default=0), lesson.title) for lesson in course.lessons(root))
    return f"{needed:.0f} MiB (*{lesson}*)"


def _online(root: Path) -> str:
    public = _ADDRESS["address"](root)
    text = (
        "The files in `.binder/` build the lessons' environment on [Binder](https://mybinder.org) and on any server "
        "with [repo2docker](https://repo2docker.readthedocs.io): `repo2docker .` in a copy of the project."
    )
    if links := _ADDRESS["badges"](public):
        cell = _ADDRESS["colab_cell"](public)
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
    "criteria": lambda root, _: _CRITERIA["criteria_table"](root),
    "citation": lambda root, _: _citation(root),
    "online": lambda root, _: _online(root),
}
