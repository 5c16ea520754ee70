"""The site: it builds without a warning, says what its sources say, and every link of it leads somewhere."""

import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
import site_criteria

import ccprune
from ccprune import cli
from ccprune.criteria import _registry
from replication import course

ROOT = Path(__file__).parents[2]
LESSONS = tomllib.loads((ROOT / course.LESSONS).read_text())["lesson"]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        # Not --quiet: what is not printed is not counted, and "strict" then lets warnings pass.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0 and "WARNING" not in built.stderr, built.stderr
    return folder


def test_the_site_is_not_built_over_files_of_others(tmp_path):
    """MkDocs would delete them."""
    hook = pytest.importorskip("site_pages").on_pre_build
    for _ in range(2):
        hook(SimpleNamespace(site_dir=str(tmp_path / "site")))
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(Exception, match="has files of others"):
        hook(SimpleNamespace(site_dir=str(tmp_path)))


class Page(HTMLParser):
    """Addresses that a page points to, and places in it that others can."""

    def __init__(self, path: Path):
        super().__init__()
        self.addresses: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src"):
                self.addresses.append(value)
            elif name in ("id", "name"):
                self.places.add(value)


@pytest.fixture(scope="session")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html")}


def local(pages: dict[Path, Page], site: Path) -> Iterator[tuple[Path, str, Path, str]]:
    """Every address inside the site: the page it is on, itself, the file it leads to, and the place there."""
    for path, page in pages.items():
        for address in page.addresses:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            relative = unquote(parts.path)
            target = site / relative.lstrip("/") if relative.startswith("/") else path.parent / relative
            target = path if not relative else Path(os.path.normpath(target))
            yield path, address, target / "index.html" if target.is_dir() else target, unquote(parts.fragment)


def test_every_link_leads_somewhere(site, pages):
    found = list(local(pages, site))
    broken = [
        f"{path.relative_to(site)}: {address}"
        for path, address, target, place in found
        if not target.is_file() or (place and target in pages and place not in pages[target].places)
    ]
    assert not broken
    assert len(found) > 1000  # a checker that finds no links would be content, too


def test_nothing_is_fetched_when_a_page_is_read(site):
    for path in site.rglob("*.html"):
        for address in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', path.read_text()):
            assert "canonical" in address, (path, address)


def test_what_the_package_offers_is_in_the_reference(site):
    pages = "".join(path.read_text(encoding="utf-8") for path in site.glob("reference/*/index.html"))
    for name in ccprune.__all__:
        module = re.sub(r"\._(?!api|pilot)\w+$", "", getattr(ccprune, name).__module__)
        assert re.search(rf'id="{re.escape(module)}\.{name}"', pages), name


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"([\w/]+\.md)", (ROOT / "mkdocs.yml").read_text()))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert listed == pages | {"replication/README.md", "replication/REFORMS.md", "benchmarks/README.md"}


def test_lessons_are_in_the_navigation_in_their_order(site):
    sidebar = (site / "lessons" / "index.html").read_text(encoding="utf-8")
    sidebar = sidebar[sidebar.index("md-nav--primary") : sidebar.index('class="md-content"')]
    names = [Path(lesson["notebook"]).stem for lesson in LESSONS]
    assert list(dict.fromkeys(re.findall(r'href="\.\./notebooks/(\w+)/"', sidebar))) == names


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson["notebook"])
def test_a_lesson_is_its_report_or_says_that_there_is_none(site, lesson):
    page = (site / "notebooks" / Path(lesson["notebook"]).stem / "index.html").read_text(encoding="utf-8")
    assert (site / "notebooks" / lesson["notebook"]).read_bytes() == (
        ROOT / "notebooks" / lesson["notebook"]
    ).read_bytes()
    body = page[page.index("<article") : page.index("</article>")]
    assert bool(re.search("data:image/(png|svg)", body)) != ("Not rendered yet" in body)
    assert "<h1" in body and body.count("<h1") == 1


def test_formulas_are_set(site):
    formulas = 0
    for path in site.glob("notebooks/*/index.html"):
        text = re.sub(r"<(pre|code|style|script|svg)\b.*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r"\$[^$<]+\$", text), path
        formulas += text.count("<math")
    assert formulas > 0


def test_tables_are_made_from_their_sources(site):
    found = course.lessons(ROOT)
    page = (site / "teaching" / "index.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub("<.*?>", " ", page))
    assert "made:" not in page and "The table is made" not in text
    for lesson in found:
        assert f"{lesson.goal} {lesson.minutes_to_read} min {lesson.time_to_run} " in text
        for exercise in lesson.exercises:
            assert f" {exercise.number} {exercise.needs} {exercise.minutes} min " in text.replace("&amp;", "&")
    cited = (site / "cite" / "index.html").read_text(encoding="utf-8")
    assert "arxiv.org/abs/2308.09955" in cited and "arxiv.org/abs/2412.03035" in cited
    assert f"version = {{{ccprune.__version__}}}" in re.sub("<.*?>", "", cited)


def test_the_table_of_criteria_measures_their_costs():
    made = site_criteria.criteria_table(ROOT)
    cells = {line.split("`")[1]: [cell.strip() for cell in line.split(" | ")] for line in made.splitlines()[2:]}
    assert set(cells) == _registry._OWN
    assert (
        cells["legcnet"][2] == "25 + T/22"
    )  # one window, and one exponent for each of those that start 22 steps apart
    assert [cells[name][2] for name in ("causal", "causal_exact", "wanda")] == ["1", "T", "0"]
    assert cells["snip"][3] == "2.5"  # two layers forwards, two gradients of weights, one of the inputs between them
    assert [cells[name][3] for name in ("magnitude", "wanda", "causal", "causal_consecutive")] == [
        "0",
        "1",
        "1 a step",
        "0",
    ]


def commands(page: str) -> Iterator[list[str]]:
    """Words of every command in a page's blocks of shell, what follows | && and ; apart, substitutions as one word."""
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.DOTALL):
        assert subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False).returncode == 0
        for line in re.sub(r"\\\n", " ", block).splitlines():
            words = shlex.split(re.sub(r"\$\(.*?\)|[<>]\s*\S+|&$", "", line), comments=True)
            piped = "\0".join(words).split("\0|\0")
            yield from (words for words in (part.split("\0") for part in piped) if words != [""])


@pytest.mark.parametrize("page", ["slurm.md", "cluster.md", "teaching.md"])
def test_commands_of_a_page_have_the_options_it_says(page, monkeypatch):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = {"ccprune": 0, "make": 0, "dask": 0}
    for words in commands(page):
        words = [word for word in words if not re.match(r"CUDA_\w+=", word)]
        start = next((i for i, word in enumerate(words) if word.rpartition("/")[2] in known), None)
        if start is None or (words[0] in ("export", "#!/bin/bash")):
            continue
        program, arguments = words[start].rpartition("/")[2], words[start + 1 :]
        known[program] += 1
        if program == "ccprune":
            cli.build_parser(ROOT).parse_args(arguments)  # exits where an option is not there
        elif program == "make":
            for word in arguments:
                name, equals, _ = word.partition("=")
                assert re.search(rf"^{name} \?=|\$\({name}\)" if equals else rf"^{name}:", makefile, flags=re.M), word
        else:
            dask = pytest.importorskip(f"distributed.cli.dask_{arguments[0]}")
            options = {option for parameter in dask.main.params for option in parameter.opts}
            assert {word for word in arguments if word.startswith("--")} <= options
    assert known["ccprune"] >= 1


def test_python_on_the_page_about_slurm_compiles():
    blocks = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "docs/slurm.md", "exec")


@pytest.fixture(scope="module")
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def view(browser, address):
    """A page that collects what it complains about and what it asks others for."""
    view = browser.new_page(viewport={"width": 1280, "height": 900})
    view.wrong = []
    view.on("console", lambda message: message.type == "error" and view.wrong.append(message.text))
    view.on("pageerror", lambda error: view.wrong.append(str(error)))
    # Going to the next page ends what this one still waits for, as its icon: nobody's fault.
    view.on("requestfailed", lambda one: "ERR_ABORTED" in (one.failure or "") or view.wrong.append(one.url))
    view.on(
        "request", lambda request: request.url.startswith((address, "data:", "blob:")) or view.wrong.append(request.url)
    )
    yield view
    view.close()
    assert not view.wrong


@pytest.mark.parametrize("where", ["", "replication/"])
def test_a_browser_shows_the_figure_of_the_verdicts(view, address, where):
    view.goto(f"{address}/{where}", wait_until="load")
    figure = view.locator('img[src$="verdicts.svg"]')
    figure.scroll_into_view_if_needed()
    assert figure.is_visible() and figure.evaluate("image => image.naturalWidth") > 100


def test_a_browser_reads_the_lessons_from_first_to_last(view, address):
    """By the links at their ends that the site makes, formulas set, pictures drawn."""
    view.goto(f"{address}/lessons/", wait_until="load")
    formulas = 0
    for lesson in LESSONS:
        view.locator("a.md-footer__link--next").click()
        view.wait_for_url(f"**/notebooks/{Path(lesson['notebook']).stem}/")
        assert view.locator("article h1").is_visible()
        for image in view.locator(".notebook img").all():
            assert image.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 50
        formulas += view.locator("article math").count()
        assert view.locator("article math").evaluate_all(
            "all => all.every(one => one.getBoundingClientRect().width > 2)"
        )
    assert formulas > 0


def test_a_browser_finds_what_is_searched_for(view, address):
    view.goto(address, wait_until="load")
    view.locator(".md-search__input").fill("OnlinePruner")
    view.locator(".md-search-result__item a").first.wait_for(state="attached", timeout=20_000)
    assert "online" in view.locator(".md-search-result__item a").first.get_attribute("href")


SIZES = [(1366, 768), (390, 844)]
# Of one page: how much wider than the window it is, its pictures without words, and its characters.
LOOKED_AT = r"""() => {
  const root = document.documentElement;
  const named = /^(png|image|No description has been provided for this image)?$/;
  return {
    over: root.scrollWidth - root.clientWidth,
    unnamed: [...document.images].filter(image => named.test(image.alt.trim())).length,
    pictures: document.images.length,
    characters: [...new Set(document.body.innerText)].join(""),
  };
}"""
# Those of some characters that the browser draws as it draws one that no font has.
MISSING = r"""characters => {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  canvas.width = canvas.height = 40;
  const drawn = character => {
    context.clearRect(0, 0, 40, 40);
    context.font = "20px sans-serif";
    context.fillText(character, 4, 28);
    return context.getImageData(0, 0, 40, 40).data.join();
  };
  const none = drawn("\u{10FFFD}");
  return [...characters].filter(character => character.trim() && drawn(character) == none);
}"""


def test_every_page_fits_a_laptop_and_a_phone_and_its_pictures_have_words(site, browser):
    wide, unnamed, pictures, characters = [], [], 0, set()
    page = browser.new_context(java_script_enabled=False).new_page()  # the theme's programs take most of the time
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri(), wait_until="load")  # until the style is there
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            found = page.evaluate(LOOKED_AT)
            if found["over"] > 0:
                wide.append(f"{path.relative_to(site)}: {found['over']} pixels more than {width}")
        if found["unnamed"]:
            unnamed.append(f"{path.relative_to(site)}: {found['unnamed']}")
        pictures += found["pictures"]
        characters |= set(found["characters"])
    missing = page.evaluate(MISSING, "".join(sorted(characters | {"\U0010fffc"})))
    japanese = page.evaluate(MISSING, "日本")
    page.close()
    assert not wide and not unnamed
    assert pictures > 100 and len(characters) > 200
    assert missing.pop() == "\U0010fffc"  # found where there is one
    assert not [one for one in missing if not (japanese and one > "\u2fff")], missing
