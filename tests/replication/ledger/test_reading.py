"""Files that a notebook, a crash or a person has spoiled."""

import json
import os

import pytest

from replication.ledger import reading
from replication.runner.process import read_returned

SPOILED = {
    b"": "Expecting value",
    b"\xff\xfe": "is not UTF-8",
    b"[" * 10**4: "nested at most 50 deep",
    b"[" * 60 + b"]" * 60: "nested at most 50 deep",
    b'{"a": NaN}': "must be finite",
    b"[]": "must hold dict",
}


@pytest.mark.parametrize(("content", "message"), SPOILED.items())
def test_the_file_and_what_to_do_are_named(tmp_path, content, message):
    path = tmp_path / "skipped.json"
    path.write_bytes(content)
    with pytest.raises(reading.InvalidFile, match=rf"skipped.json: .*{message}.*; restore or delete this file"):
        reading.read_skipped(tmp_path)


def test_size_and_kind_of_a_file_are_limited(tmp_path, monkeypatch):
    (tmp_path / "large").write_text("12345")
    monkeypatch.setattr(reading, "LIMIT", 4)
    with pytest.raises(reading.InvalidFile, match="5 bytes, more than 4"):
        reading.read_text(tmp_path / "large")
    with pytest.raises(reading.InvalidFile, match="not a regular file"):
        reading.read_text(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(reading.InvalidFile, match="not a regular file"):
        reading.read_text(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["a.json", "error.json", "energy.json"])
def test_what_a_notebook_spoils_is_a_failure_of_its_run(tmp_path, name):
    (tmp_path / "a.json").write_text(json.dumps({}))
    (tmp_path / name).write_bytes(b"\xff\xfe")
    returned = read_returned(tmp_path, tmp_path / "a.json", status=0, seconds=1.0, log="")
    assert f"$OUT/{name}: it is not UTF-8" in returned.error["text"]
