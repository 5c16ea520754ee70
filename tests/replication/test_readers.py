"""Every reader of a file on files with any content: the documented errors, and no others."""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication import course, ledger
from replication.causal.released import figures as released
from replication.ledger import announcement, journal, notebooks, reading
from replication.ledger.raw import raw_path
from replication.ledger.storage import save
from replication.reporting import benchmarks, codecheck, manifest, passages
from replication.runner import stamps, suite_file
from replication.runner.digests import Digests

ROOT = Path(__file__).parents[2]
few = settings(deadline=None, max_examples=25, derandomize=True, database=None)
VALUES = st.sampled_from([0, -1, 1.5, 10**30, True, None, "", "\x00", [], {}, [[]], {"a": 1}])
BYTES = st.sampled_from(
    [b'"', b"[", b"}", b"-", b"\xff", b"\x00", b"1e999", b"[" * 10**5, b"[" * 60, b"\\ud800", b"NaN"]
)


@st.composite
def other_bytes(draw, content):
    """The content cut short, with bytes inserted or flipped; or other bytes."""
    kind, place = draw(st.sampled_from(["cut", "insert", "flip", "other"])), draw(st.integers(0, len(content) - 1))
    if kind == "other":
        return draw(BYTES | st.binary(max_size=50))
    if kind == "cut":
        return content[:place]
    if kind == "insert":
        return content[:place] + draw(BYTES) + content[place:]
    return content[:place] + bytes([content[place] ^ 1 << draw(st.integers(0, 7))]) + content[place + 1 :]


@st.composite
def other_values(draw, content):
    """A copy of JSON content in which a value or key at any depth is replaced or removed."""
    content = json.loads(json.dumps(content))
    inner = content
    for _ in range(draw(st.integers(0, 4))):
        below = [
            value for value in (inner.values() if isinstance(inner, dict) else inner) if value and len(str(value)) > 1
        ]
        below = [value for value in below if isinstance(value, dict | list)]
        if not below:
            break
        inner = draw(st.sampled_from(below[:20]))
    keys = [*inner] if isinstance(inner, dict) else [*range(len(inner))]
    key = draw(st.sampled_from(keys[:40])) if keys else None
    if key is None or draw(st.integers(0, 4)) == 0:
        if isinstance(inner, dict):
            inner[draw(st.sampled_from(["", "more", "/", "../a"]))] = draw(VALUES)
        else:
            inner.append(draw(VALUES))
    elif draw(st.integers(0, 3)) == 0:
        del inner[key]
    else:
        inner[key] = draw(VALUES)
    return content


def stamp(path):
    run = SimpleNamespace(label="start_here.smoke")
    (path.parent / ".cache").mkdir(exist_ok=True)
    shutil.copy(path, path.parent / stamps.name(run))
    assert stamps.why_not_current(path.parent, ROOT, run)  # never current without a result


def digests(path):
    assert (
        Digests(path.parent).digest_file(ROOT / "LICENSE")
        == hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest()
    )


def unit(path):
    found = ledger.units.Units(path.parent).read(UNIT["key"])
    assert found in (None, UNIT["rows"])


def journals(path):
    folder = path.parent / journal.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / "a.json")
    journal.recover(path.parent)
    assert not list(folder.iterdir())


def lessons(path):
    root = path.parents[1]
    (root / "replication" / "results").mkdir(parents=True, exist_ok=True)
    shutil.copy(LESSON, root / "notebooks")
    shutil.copy(RESULT, root / "replication" / "results")
    course.lessons(root)


UNIT = json.loads(next((ROOT / "replication" / "units").glob("*/*.json")).read_text())
RESULT = ROOT / "replication" / "results" / "start_here.default.json"
LESSON = ROOT / "notebooks" / "00_start_here.ipynb"
FIRST_LESSON = "".join((ROOT / course.LESSONS).read_text().partition("[[lesson]]")[1:]).partition("\n\n")[0]
#: Reader: a whole file, the path of its copy, the call, and the errors that it documents.
READERS = {
    "result": (RESULT, "a.default.json", ledger.read, ValueError),
    "notebook": (LESSON, "a.ipynb", notebooks.parameters, ValueError),
    "announcement": (LESSON, "a.run", announcement.read_announcement, ValueError),
    "skipped": (
        b'{"a.default": "no data"}',
        "skipped.json",
        lambda path: reading.read_skipped(path.parent),
        ValueError,
    ),
    "suite": (ROOT / "replication" / "suite.toml", "suite.toml", suite_file.read, ValueError),
    "lessons": (FIRST_LESSON.encode(), course.LESSONS, lessons, (ValueError, FileNotFoundError)),
    "manifest": (ROOT / manifest.FILE, manifest.FILE, lambda path: [*manifest.problems(path.parents[1])], ()),
    "benchmark": (
        next(ROOT.glob("benchmarks/results/*.json")),
        "a.json",
        lambda path: [*benchmarks.problems(path)],
        (),
    ),
    "released figures": (released.PATH, "a.json", released.load, ValueError),
    "stamp": (b'{"made_from": {"a": {"b": "c"}}, "result": "1", "report": "2"}', "a.json", stamp, ()),
    "digests": (b"{}", "digests.json", digests, ()),
    "unit": (json.dumps(UNIT).encode(), None, unit, ()),
    "journal": (b'{"results/a": null, "results/b": {"name": "gone", "sha256": "0"}}', "a.json", journals, ()),
    "codecheck": (ROOT / codecheck.FILE, codecheck.FILE, lambda path: codecheck.write_entries(path.parent), ValueError),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_raises_what_it_documents_and_nothing_else(reader, tmp_path_factory):
    whole, name, call, errors = READERS[reader]
    whole = whole if isinstance(whole, bytes) else whole.read_bytes()
    is_json = whole.lstrip()[:1] == b"{"
    folder = tmp_path_factory.mktemp("readers")
    if reader == "unit":
        name = ledger.units.Units(folder).store(UNIT["key"], UNIT["rows"], commit=None, seconds=None).name
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = other_bytes(whole)
    if is_json:
        contents |= other_values(json.loads(whole))

    @few
    @given(content=contents)
    def attempt(content):
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        try:
            call(path)
        except errors as error:
            assert str(error)

    attempt()


def test_results_that_are_signed_again_and_their_raw_runs(tmp_path):
    result = next(p for p in (ROOT / "replication" / "results").glob("*.json") if raw_path(p).is_file())
    whole, raw = json.loads(result.read_text()), raw_path(result).read_bytes()
    path = tmp_path / "results" / result.name
    raw_path(path).parent.mkdir(parents=True)

    @settings(few, max_examples=60)
    @given(content=other_values(whole), raw=other_bytes(raw))
    def attempt(content, raw):
        if not isinstance(content, dict):
            return
        raw_path(path).write_bytes(raw)
        content["raw_sha256"] = hashlib.sha256(raw).hexdigest()
        save(path, content)
        try:
            ledger.read_raw(path, ledger.read(path))
        except ValueError as error:
            assert path.name.removesuffix(".json") in str(error)

    attempt()


def test_pages_with_broken_passages():
    page = (ROOT / passages.PAGES[0]).read_text()

    @few
    @given(content=other_bytes(page.encode()))
    def attempt(content):
        assert all(isinstance(name, str) for name in passages.names(content.decode(errors="replace")))

    attempt()
