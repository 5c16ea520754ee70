"""The lessons' pages of the site, from their reports; used by the hooks `site_pages` and `site_japanese`."""

import base64
import html
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import public_address
from mkdocs.exceptions import PluginError
from mkdocs.structure.toc import AnchorLink
from PIL import Image
from site_links import REPORTS, root_of, with_links

from replication import course, ledger
from replication.runner import LocalPool, plan, replicate, suite_file
from replication.runner.page import STYLE
from replication.runner.readable import readable
from replication.runner.spec import NOTEBOOKS, SUITE_FILE


def lesson_page(root: Path, lesson: course.Lesson) -> str:
    """Return the Markdown of a lesson's page, with a mark where its report is inserted."""
    labels = list(_reports(root, lesson.notebook))
    now = [run.label for run in plan(root, profile="smoke") if run.notebook == lesson.notebook] if not labels else []
    download = f"[{lesson.notebook}]({lesson.notebook})"
    part = lesson.part if lesson.part.endswith("?") else f"{lesson.part}."
    parts = [f"# {lesson.title}", f"**{part}** Goal: {lesson.goal}"]
    if links := public_address.badges(public_address.address(root), f"{NOTEBOOKS.as_posix()}/{lesson.notebook}"):
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


def readable_report(report: str) -> str:
    """Return a report of any age as one of today: its pictures have texts, and on a phone it is not too wide."""
    return readable(report.replace("</head>", f"<style>{STYLE}</style>\n</head>", 1))


def report_of(root: Path, label: str) -> str:
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


def lesson_body(report: str, *, page, config) -> str:
    """Return the body of a report with the site's links, and make its headings the page's table of contents."""
    text = _without_injected(report)
    body = re.search(r'<p class="made">.*?</p>(.*)</body>', text, flags=re.DOTALL)[1]
    body = re.sub(r"<h1\b.*?</h1>", "", body, count=1, flags=re.DOTALL)
    body = with_links(root_of(config), f"{REPORTS}/lesson.html", body, page.url)
    body = body.replace('class="anchor-link"', 'class="headerlink"')
    page.toc.items[0].children = [
        AnchorLink(html.unescape(re.sub("<.*?>", "", title)), name, 2)
        for name, title in re.findall(r'<h2 id="([^"]+)">(.*?)<a ', body, flags=re.DOTALL)
    ]
    return body


def in_page(content: str, mark: str, body: str) -> str:
    """Replace the mark in a page by a lesson."""
    body = re.sub(r'<img (?=[^>]*src="data:image/png;base64,([^"]+)")', _mark_tone, body)
    return content.replace(mark, f'<div class="notebook">{body}</div>')


def with_slider(root: Path, label: str, notebook: str, body: str) -> tuple[str, dict[str, bytes]]:
    """Draw the pictures of a slider if `make docs` asks for them, because that takes a minute."""
    result = root / "replication" / "results" / f"{label}.json"
    if not os.environ.get("CCPRUNE_SLIDERS") or not result.is_file():
        return body, {}
    import site_sliders  # and with it all of matplotlib and the networks

    return site_sliders.with_slider(body, notebook=notebook, parameters=ledger.read(result)["parameters"])


def _mark_tone(found: re.Match) -> str:
    """Mark a drawing on white, which the dark scheme inverts. In a map of colours, lighter has to remain larger."""
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as picture:
        levels = picture.convert("L").histogram()
    return found[0] + ('class="drawing" ' if sum(levels[170:]) > 0.75 * sum(levels) else "")
