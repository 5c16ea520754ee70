"""Fetching and checking the authors' files, against a server on this machine with a made-up registry."""

import hashlib
import http.server
import io
import os
import pickle
import threading
import time

import numpy as np
import pytest
import torch

from replication.data import CorruptData, DataUnavailable, authors

CONTENT = b"F1,F2,F3,Y\n1,2,3,1\n"
NAME = "data/vowel.csv"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A data folder and a user's cache, both empty, and a registry that knows one file."""
    given, cache = tmp_path / "given", tmp_path / "cache"
    given.mkdir()
    monkeypatch.setenv("CCPRUNE_DATA", str(given))
    monkeypatch.setattr(authors.pooch, "os_cache", lambda project: cache / project)
    monkeypatch.setattr(authors, "registry", lambda: {NAME: hashlib.sha256(CONTENT).hexdigest()})
    return given / "chaotic-pruning", cache / "ccprune" / "chaotic-pruning"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local stand-in for the repository; its list of requests."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path / "served")

        def log_message(self, _format, *args):
            requests.append(args[0])

    (tmp_path / "served" / "data").mkdir(parents=True)
    (tmp_path / "served" / NAME).write_bytes(CONTENT)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        monkeypatch.setattr(authors, "BASE_URL", f"http://127.0.0.1:{httpd.server_port}/")
        yield requests
        httpd.shutdown()


def test_a_missing_file_is_downloaded_once_and_then_read_from_the_folder(folders, server):
    assert not authors.available(NAME)
    assert authors.path(NAME) == folders[0] / NAME
    assert authors.available(NAME)
    assert authors.read(NAME) == CONTENT
    assert len(server) == 1


def test_a_folder_that_cannot_be_written_is_read_and_downloads_go_to_the_users_cache(folders, server, monkeypatch):
    real_access = os.access
    # As root every folder can be written, so the answer is given here.
    monkeypatch.setattr(authors.os, "access", lambda path, mode: "given" not in str(path) and real_access(path, mode))
    assert authors.path(NAME) == folders[1] / NAME
    assert not folders[0].exists()
    assert authors.read(NAME) == CONTENT
    assert len(server) == 1
    (folders[0] / "data").mkdir(parents=True)
    (folders[0] / NAME).write_bytes(CONTENT)
    assert authors.path(NAME) == folders[0] / NAME


def test_without_ccprune_data_the_users_cache_is_used(folders, server, monkeypatch):
    monkeypatch.delenv("CCPRUNE_DATA")
    assert authors.path(NAME) == folders[1] / NAME


def test_neither_network_nor_cache_is_one_clear_and_quick_error(folders):
    start = time.monotonic()
    with pytest.raises(DataUnavailable, match=r"data/vowel\.csv.*CCPRUNE_DATA.*connect to the network"):
        authors.path(NAME)
    assert time.monotonic() - start < 10


def test_a_file_that_the_server_does_not_have_is_unavailable(folders, server, tmp_path):
    (tmp_path / "served" / NAME).unlink()
    with pytest.raises(DataUnavailable, match="HTTPError"):
        authors.path(NAME)


def test_a_changed_cached_file_is_named_with_both_hashes_and_kept(folders, server):
    (folders[0] / "data").mkdir(parents=True)
    (folders[0] / NAME).write_bytes(b"changed")
    changed, pinned = (hashlib.sha256(content).hexdigest() for content in (b"changed", CONTENT))
    with pytest.raises(CorruptData) as error:
        authors.read(NAME)
    for part in (str(folders[0] / NAME), changed, pinned):
        assert part in str(error.value)
    assert (folders[0] / NAME).read_bytes() == b"changed"
    assert server == []


def test_a_changed_download_is_refused_and_not_kept(folders, server, tmp_path):
    (tmp_path / "served" / NAME).write_bytes(b"changed")
    with pytest.raises(CorruptData, match=r"http://127\.0\.0\.1"):
        authors.path(NAME)
    assert not authors.available(NAME)


def test_a_pickle_that_is_not_the_pinned_one_is_never_loaded(tmp_path, monkeypatch):
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return (marker.write_text, ("code ran",))

    stream = io.BytesIO()
    np.save(stream, np.array([Payload()], dtype=object), allow_pickle=True)
    evil = tmp_path / "chaotic-pruning" / "init" / "iris.npy"
    evil.parent.mkdir(parents=True)
    evil.write_bytes(stream.getvalue())
    monkeypatch.setenv("CCPRUNE_DATA", str(tmp_path))
    with pytest.raises(CorruptData):
        authors.initial_weights("iris")
    assert not marker.exists()
    # Proof that the payload works, so that the line above can fail.
    pickle.loads(pickle.dumps(Payload()))
    assert marker.exists()


@pytest.mark.parametrize("relative", ["../secret", "data/unknown.csv", ""])
def test_files_that_are_not_the_authors_are_refused(relative):
    for call in (authors.path, authors.read, authors.available):
        with pytest.raises(ValueError, match="must be one of the authors' files"):
            call(relative)


def test_the_registry_lists_every_file_with_a_hash():
    assert len(authors.registry()) == 28
    assert set(authors.INITIAL_WEIGHTS.values()) <= set(authors.registry())
    assert all(len(value) == 64 and int(value, 16) for value in authors.registry().values())


def test_every_file_of_the_authors_is_the_pinned_one(authors_files):
    for relative in authors.registry():
        assert authors.path(relative).is_file()


@pytest.mark.parametrize(
    ("name", "d", "h", "o"),
    [
        ("cancer", 9, 6, 1),
        ("titanic", 6, 8, 1),
        ("banknote", 4, 8, 1),
        ("iris", 4, 6, 3),
        ("iris3f", 3, 6, 3),
        ("vowel", 3, 4, 6),
    ],
)
def test_initial_weights_have_the_papers_shapes_and_spread(authors_files, name, d, h, o):
    trials = authors.initial_weights(name)
    assert len(trials) == 10
    for trial in trials:
        assert [tuple(tensor.shape) for tensor in trial] == [(h, d), (h,), (o, h), (o,)]
        assert {tensor.dtype for tensor in trial} == {torch.float64}
    spread = torch.cat([tensor.flatten() for trial in trials for tensor in trial]).std().item()
    assert spread == pytest.approx(1.0 if name == "vowel" else 0.1, rel=0.15)


def test_unknown_initial_weights_are_named():
    with pytest.raises(ValueError, match="name must be one of cancer.* got 'mnist'"):
        authors.initial_weights("mnist")


@pytest.mark.parametrize(
    ("name", "method", "counts"),
    [
        ("cancer", "ft", [10, 6, 4, 4, 2]),
        ("iris", "ft", [2, 2, 2, 0, 2]),
        ("titanic", "pt", [27, 36, 38, 35, 29]),
    ],
)
def test_masks_are_sorted_and_counted(name, method, counts):
    found = authors.masks(name, method)
    assert all(mask == tuple(sorted(set(mask))) for mask in found)
    assert [len(mask) for mask in found] == counts


def test_masks_name_what_is_wrong(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="method must be 'ft' or 'pt', got 'xt'"):
        authors.masks("iris", "xt")
    with pytest.raises(ValueError, match="name must be one of .* got 'vowel'"):
        authors.masks("vowel", "ft")
    monkeypatch.setattr(authors, "PUBLISHED", tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match="part of the clone"):
        authors.masks("iris", "ft")
