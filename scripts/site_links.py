"""Links between the project's files, as links between pages of the site; used by the hook `site_pages`."""

import html
import logging
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

from replication import course
from replication.runner.spec import NOTEBOOKS

REPORTS = "replication/reports"

_log = logging.getLogger("mkdocs.hooks.site_pages")
LINKS = {
    ".md": re.compile(r"(?P<before>\]\()(?P<path>[^)#:\s]+)(?=[)#])"),
    ".html": re.compile(r'(?P<before>\s(?:href|src)=")(?P<path>[^"#:]+)(?=["#])'),
}
_FOLDER = re.compile(r"\[([^]]+)\]\(([^)#:\s]+)\)")


def root_of(config) -> Path:
    """Return the project's folder."""
    return Path(config.config_file_path).parent


def in_site(path: str) -> str:
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


def list_links(root: Path, source: str, text: str) -> Iterator[str]:
    """Yield the project's files to which the text of a file links."""
    for match in LINKS[Path(source).suffix or ".md"].finditer(text):
        if path := _target(root, source, match["path"]):
            yield path


def with_links(root: Path, source: str, text: str, url: str | None = None) -> str:
    """Return the text of a project's file with the site's links; `url` is the page that it becomes part of."""

    def led(match: re.Match) -> str:
        path = _target(root, source, match["path"])
        if path is None:
            if Path(source).suffix == ".html":  # MkDocs reports missing targets of Markdown files
                _log.warning("%s links to %s, which is not there", source, match["path"])
            return match[0]
        if Path(source).suffix == ".html":
            file = File(in_site(path), None, "", use_directory_urls=True)
            return match["before"] + get_relative_url(file.url, url or source)
        return match["before"] + posixpath.relpath(in_site(path), posixpath.dirname(in_site(source)) or ".")

    def unlink_folders(match: re.Match) -> str:
        """Replace the link to a folder by its text, because the site has no pages for folders."""
        folder = root / posixpath.dirname(source) / match[2]
        return match[1] if folder.is_dir() and not (folder / "README.md").is_file() else match[0]

    return LINKS[Path(source).suffix].sub(led, _FOLDER.sub(unlink_folders, text) if source.endswith(".md") else text)
