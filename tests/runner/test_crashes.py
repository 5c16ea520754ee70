"""The process is killed, and the disk fails, at every single file operation of a call; no notebook is run for it."""

import errno
import hashlib
import io
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import pandas as pd
import pytest

from replication import ledger
from replication.ledger import journal
from replication.runner import SuiteError, execution, replicate, stamps
from replication.runner.process import RunFiles

EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod"}


class Disk:
    """Counts the file operations below a folder, and ends the n-th one by a function."""

    def __init__(self):
        self.folder, self.end, self.left = None, None, 0
        sys.addaudithook(self._hook)  # it cannot be removed
        self._write_bytes = Path.write_bytes

    def watch(self, monkeypatch):
        monkeypatch.setattr(os, "fsync", self._synced)
        monkeypatch.setattr(Path, "write_bytes", self._written(self))
        monkeypatch.setattr(Path, "write_text", lambda path, text, **_: path.write_bytes(text.encode()))

    def begin(self, folder: Path, n: int, end) -> None:
        self.folder, self.left, self.end = str(folder), n, end

    def stop(self) -> bool:
        """Return whether the operation was reached."""
        self.folder = None
        return self.left <= 0

    def _hook(self, event, arguments):
        if self.folder is None:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event not in EVENTS:
            return
        if str(arguments[0]).startswith(self.folder):
            self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.end()

    def _synced(self, handle) -> None:
        if self.folder is not None:
            self._count()  # without waiting for the disk, which would take minutes

    @staticmethod
    def _written(disk):
        def write_bytes(path, content):
            if disk.folder is not None and str(path).startswith(disk.folder):
                if disk.left == 1:
                    disk._write_bytes(path, content[: len(content) // 2])
                disk._count()
            return disk._write_bytes(path, content)

        return write_bytes


DISK = Disk()


class Finished:
    """A run that has ended, and what it returned."""

    def __init__(self, returned):
        self.result = lambda: returned
        self.has_ended = lambda: True
        self.stop = lambda: None


class Pool:
    """Returns what was made before, by label."""

    def __init__(self, made: dict[str, RunFiles]):
        self.made = made
        self.room = self.at_once = lambda: 1
        self.why_missing = lambda need: f"{need} is missing"

    def start(self, run, made_from, cell_seconds):
        return Finished(self.made[run.label])


@pytest.fixture
def make(project, tmp_path, monkeypatch):
    """Makes the returned files of a version of each run, with other numbers, raw runs and pages."""
    gone = project.entry("gone", default="{}", needs='["images:mnist"]')
    project.write_suite(*(project.entry(name) for name in ("one", "two")), gone)
    project.write_notebook("good.ipynb", "x = 1")
    monkeypatch.setattr(stamps, "package_versions", dict)
    monkeypatch.setattr(execution.time, "sleep", lambda seconds: None)

    def make(version: int) -> Pool:
        made = {}
        for run in project.plan():
            raw = pd.DataFrame({"network": range(version), "accuracy": 0.5})
            path = tmp_path / "scratch" / f"{run.label}.json"
            more = {"seeds": [version], "data_checksums": {}, "cells": [], "parameters": run.parameters}
            if run.name == "one" or version == 1:
                more["raw"] = raw  # the second run loses its raw runs
            text = ledger.write(path, notebook=run.notebook, **more).read_text()
            made[run.label] = RunFiles(0, 1.0, "", None, text, f"page {version}", "{}", None)
        return Pool(made)

    return make


def call(project, out: Path, pool: Pool) -> list[str]:
    runs = project.plan()
    found = replicate(project.root, runs, out=out, pool=pool, stream=io.StringIO(), force=True, keep_going=True)
    return [outcome.status for outcome in found]


def assert_whole(out: Path) -> dict[str, int]:
    """Every result has its own raw runs and report; returns the versions."""
    versions = {}
    for path, content in ledger.collect(out):
        ledger.read_raw(path, content)
        report = out / "reports" / f"{path.stem}.html"
        assert hashlib.sha256(report.read_bytes()).hexdigest() == content["report_sha256"]
        versions[path.stem] = content["seeds"][0]
    return versions


def files(out: Path) -> dict[str, bytes]:
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".cache/before")}


@pytest.fixture
def folder(tmp_path):
    """In memory if possible, because thousands of files are written."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as name:
        yield Path(name)


def test_a_call_that_ends_at_any_file_operation(project, folder, make, monkeypatch):
    DISK.watch(monkeypatch)
    before, after = make(1), make(2)
    old, new, out = folder / "old", folder / "new", folder / "out"
    assert call(project, old, before) == ["done", "done", "skipped"]
    shutil.copytree(old, new)
    assert call(project, new, after) == ["done", "done", "skipped"]
    expected = files(new)
    assert set(assert_whole(new).values()) == {2}

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "planted")

    points, seen = 0, set()
    for end in (lambda: os._exit(9), fail):
        for n in range(1, 1000):
            shutil.copytree(old, out)
            if not (failing if end is fail else killed)(project, out, after, n, end):
                shutil.rmtree(out)
                break
            points += 1
            journal.recover(out)  # as each call that holds the lock
            seen.add(frozenset(assert_whole(out).items()))
            assert not list(journal.temporaries(out))
            assert call(project, out, after) == ["done", "done", "skipped"]
            assert files(out) == expected
            shutil.rmtree(out)
    assert points > 100
    assert len(seen) > 3  # both versions, and some of each


def killed(project, out, pool, n, end) -> bool:
    """Make the call in a copy of this process, which ends at the n-th operation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads have no part in it
        child = os.fork()
    if child == 0:
        DISK.begin(out, n, end)
        call(project, out, pool)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def failing(project, out, pool, n, end) -> bool:
    """Make the call with the n-th operation failing: it ends with outcomes, or refuses to begin."""
    DISK.begin(out, n, end)
    try:
        call(project, out, pool)
    except SuiteError as error:
        assert "planted" in str(error)
    return DISK.stop()


def test_a_damaged_journal_is_discarded(tmp_path):
    """And one that names files outside the folder, or files that are gone."""
    (tmp_path / "mine").write_text("mine")
    out = tmp_path / "out"
    journal.commit(out, "a", {"results/a": b"1", "results/b": b"1"})
    for text in (
        b"\xff\xfe",
        b"[" * 10**5,
        b"[]",
        b'{"../mine": null}',
        b'{"results/a": null, "results/b": {"name": "gone", "sha256": "0"}}',
        b'{"results/a": 3}',
    ):
        (out / journal.FOLDER / "a.json").write_bytes(text)
        journal.recover(out)
        assert not list((out / journal.FOLDER).iterdir())
        assert (out / "results" / "a").read_bytes() == b"1" and (tmp_path / "mine").exists()
