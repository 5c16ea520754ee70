"""MkDocs hook that adds content outside docs/ to the site when it is built.

- A page for each lesson of notebooks/lessons.toml, from its committed report. Lessons about the committed results have
  no committed report; they are run when the site is built.
- `PAGES`, and all files that a page links to, at their paths in the project, with links to pages of the site.
- Tables between `<!-- made: NAME -->` and `<!-- end -->` in docs/. The text between these comments in the file is for
  readers of the file.
- Examples in docstrings, `>>> ...`, as code, because Markdown reads them as quotations.
- A class for columns of sentences, which would otherwise be as narrow as a word.
"""

import posixpath
import re
from pathlib import Path
from urllib.parse import urlsplit

import public_address
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from site_lessons import in_page, lesson_body, lesson_page, readable_report, report_of, with_slider
from site_links import LINKS, REPORTS, in_site, list_links, root_of, with_links
from site_tables import MADE

from replication import course
from replication.runner import SuiteError, claim
from replication.runner.spec import NOTEBOOKS

PAGES = ("replication/README.md", "replication/REFORMS.md", "benchmarks/README.md")


def on_pre_build(config):
    """Refuse a folder for the site that has files of others, which MkDocs would delete."""
    try:
        claim(Path(config.site_dir))
    except SuiteError as error:
        raise PluginError(str(error)) from error


def on_config(config):
    """Add the lessons to the navigation, grouped by part, and the extension for examples."""
    config.markdown_extensions.append(_Examples())
    config.repo_url = public_address.address(root_of(config)) or None
    parts: dict[str, list] = {}
    for lesson in course.lessons(root_of(config)):
        parts.setdefault(lesson.part, []).append({lesson.title: in_site(f"{NOTEBOOKS}/{lesson.notebook}")})
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
    root = root_of(config)
    waiting = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    for lesson in course.lessons(root):
        path = f"{NOTEBOOKS}/{lesson.notebook}"
        files.append(File.generated(config, path, abs_src_path=str(root / path)))
        made = File.generated(config, in_site(path), content=lesson_page(root, lesson))
        files.append(made)
        waiting.append((made.src_uri, made.content_string))
    waiting += [("", f"]({path})") for path in PAGES]
    while waiting:
        source, text = waiting.pop()
        for path in list_links(root, source, text):
            if files.get_file_from_path(in_site(path)):
                continue
            if Path(path).suffix in LINKS:
                text = (root / path).read_text(encoding="utf-8")
                text = readable_report(text) if path.startswith(REPORTS) else text
                files.append(File.generated(config, in_site(path), content=with_links(root, path, text)))
                waiting.append((path, text))
            else:
                files.append(File.generated(config, in_site(path), abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown, *, page, config, files):
    """Insert the generated tables, and direct links of docs/ to the site."""
    root, here = root_of(config), posixpath.dirname(page.file.src_uri)
    if page.file.generated_by:
        return markdown

    def make(match: re.Match) -> str:
        return MADE[match[1]](root, lambda name: posixpath.relpath(in_site(f"{NOTEBOOKS}/{name}"), here or "."))

    markdown = with_links(root, f"docs/{page.file.src_uri}", markdown)
    return re.sub(r"<!-- made: (\w+) -->.*?<!-- end -->", make, markdown, flags=re.DOTALL)


def on_page_content(content, *, page, config, files):
    """Insert a lesson's report into its page and its headings into the table of contents; mark columns of sentences."""
    content = re.sub(r"<th>(?=(?:note|when to use|what it is, and its source)</th>)", '<th class="text">', content)
    found = re.search(r"<!-- report: (\S+) -->", content)
    if not found:
        return content
    body = lesson_body(report_of(root_of(config), found[1]), page=page, config=config)
    body, pictures = with_slider(root_of(config), found[1], Path(page.file.src_uri).with_suffix(".ipynb").name, body)
    for name, picture in pictures.items():
        files.append(File.generated(config, f"{Path(page.file.src_uri).with_suffix('')}/{name}", content=picture))
    return in_page(content, found[0], body)


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
