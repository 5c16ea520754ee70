"""Oracle: hashlib on the whole content."""

import hashlib
import json
import os

import pytest

from replication.runner.digests import Digests


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_digests_are_right_and_remembered(tmp_path, monkeypatch):
    data, memory = tmp_path / "data", tmp_path / "cache"
    data.write_text("one")
    assert Digests(memory).digest_file(data) == sha("one")
    read = []
    whole = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *args: read.append(1) or whole(*args))
    assert Digests(memory).digest_file(data) == sha("one") and not read
    data.write_text("two")
    os.utime(data, ns=(1, 1))  # the same size, another time
    assert Digests(memory).digest_file(data) == sha("two") and read


def test_a_spoilt_memory_is_begun_anew(tmp_path):
    data = tmp_path / "data"
    data.write_text("one")
    for spoilt in ("half a {", "[]", json.dumps({str(data): "no list"}), json.dumps({str(data): [3]})):
        (tmp_path / "digests.json").write_text(spoilt)
        assert Digests(tmp_path).digest_file(data) == sha("one")


def test_a_memory_that_cannot_be_kept_is_done_without(tmp_path):
    data = tmp_path / "data"
    data.write_text("one")
    assert Digests(data / "no folder").digest_file(data) == sha("one")


def test_a_pipe_is_not_read(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs pipes with names")
    os.mkfifo(tmp_path / "pipe")
    assert Digests(tmp_path).digest_file(tmp_path / "pipe") == "no regular file"
