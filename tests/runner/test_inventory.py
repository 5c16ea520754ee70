"""The data of a suite: what is told of it, fetched and checked. Oracles: hashlib, and files made here."""

import hashlib
import http.server
import threading

import pooch
import pytest

from ccprune import cli
from replication.data import _image_sources, authors
from replication.data._torchvision import torchvision
from replication.runner import Run, SuiteError, inventory, requirements

VOWEL, IRIS = b"F1,Y\n1,2\n", b"a,b\n3,4\n"
NEEDS = '["authors:data/vowel.csv", "images:mnist", "device:cuda"]'


def digest(content, algorithm="sha256"):
    return hashlib.new(algorithm, content).hexdigest()


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """An empty $CCPRUNE_DATA and an empty cache; two authors' files are known, no server and no Debian folder."""
    given, cache = tmp_path / "given", tmp_path / "cache"
    given.mkdir()
    monkeypatch.setenv("CCPRUNE_DATA", str(given))
    monkeypatch.setattr(pooch, "os_cache", lambda project: cache)
    known = {"data/vowel.csv": digest(VOWEL), "data/Iris.csv": digest(IRIS)}
    monkeypatch.setattr(authors, "registry", lambda: known)
    monkeypatch.setattr(_image_sources, "DEBIAN", tmp_path / "nowhere")
    return given, cache


@pytest.fixture(autouse=True)
def suite(project, folders, monkeypatch):
    """Three runs: two of them need vowel, one also MNIST and a GPU, and uses Iris."""
    monkeypatch.chdir(project.root)
    first = project.entry("one", needs=NEEDS, uses='["authors:data/Iris.csv"]', default="{}", paper="{}")
    project.write_suite(first, project.entry("two", needs='["authors:data/vowel.csv"]', smoke="{}"), project.entry("3"))


def put(folder, relative, content):
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_list_reads_as_a_user_wants_it(folders, capfd):
    put(folders[0], "chaotic-pruning/data/vowel.csv", VOWEL)
    for part, size in (("train", 2000), ("test", 500)):
        put(folders[0], f"mnist/{part}.parquet", b"x" * size)
    assert cli.main(["data"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "needed by two, one",
        "  authors:data/vowel.csv   9.00B  $CCPRUNE_DATA/chaotic-pruning/data/vowel.csv",
        "",
        "needed by one",
        "  images:mnist            2.50kB  $CCPRUNE_DATA/mnist (2 files)",
        "",
        "used by one",
        "  authors:data/Iris.csv           not on this machine",
        "",
        "2 of 3 on this machine; ccprune data get downloads the others",
    ]
    assert cli.main(["data", "list", "images"]) == 0
    printed = capfd.readouterr().out
    assert "images:mnist" in printed and "authors" not in printed and printed.endswith("\n1 of 1 on this machine\n")


def test_null_a_suite_without_data(project, capfd):
    project.write_suite(project.entry("one"))
    for action in ("list", "get", "check"):
        assert cli.main(["data", action]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "no data in the suite",
        "",
        "0 were present, 0 downloaded, 0 unavailable",
        "0 ok, 0 differs, 0 not pinned, 0 unreadable",
    ]


def test_a_package_brings_some_data(project):
    project.write_suite(project.entry("one", needs='["images:mnist5k"]', default="{}"))
    (found,) = inventory.data_sets(inventory.all_runs(project.root))
    assert (found.here, found.files, found.size, found.place) == (True, (), "", "part of an installed package")
    assert list(inventory.check(found)) == []


def test_a_misspelt_name_is_told_with_those_near_it(project, capfd):
    assert cli.main(["data", "get", "author", "images:mnits"]) == 2
    assert capfd.readouterr().err.splitlines() == [
        "ccprune: no data 'author' in the suite (did you mean authors?)",
        "ccprune: no data 'images:mnits' in the suite (did you mean images:mnist or images?)",
    ]
    with pytest.raises(SuiteError, match="no data 'device:cuda'"):
        inventory.data_sets(inventory.all_runs(project.root), ["device:cuda"])


def test_check_tells_a_changed_file_and_one_nobody_pinned(folders, capfd):
    put(folders[0], "chaotic-pruning/data/vowel.csv", VOWEL)
    iris = put(folders[0], "chaotic-pruning/data/Iris.csv", IRIS)
    train, test = (put(folders[0], f"mnist/{part}.parquet", part.encode()) for part in ("train", "test"))
    assert cli.main(["data", "check"]) == 0
    unpinned = [
        line
        for path in (test, train)
        for line in (f"not pinned  $CCPRUNE_DATA/mnist/{path.name}", f"{'':12}sha256:{digest(path.read_bytes())}")
    ]
    printed = capfd.readouterr().out.splitlines()
    assert printed[:1] == ["ok          $CCPRUNE_DATA/chaotic-pruning/data/vowel.csv"]
    assert printed[1:5] == unpinned
    assert printed[-1] == "2 ok, 0 differs, 2 not pinned, 0 unreadable"

    iris.write_bytes(b"corrupt")
    train.unlink()
    assert cli.main(["data", "check"]) == 1
    assert capfd.readouterr().out.splitlines()[1:] == [
        "differs     $CCPRUNE_DATA/chaotic-pruning/data/Iris.csv",
        f"            sha256:{digest(b'corrupt')}",
        f"            sha256:{digest(IRIS)} expected",
        "1 ok, 1 differs, 0 not pinned, 0 unreadable",
        "not on this machine: images:mnist",
    ]
    assert cli.main(["data", "check", "authors:data/vowel.csv"]) == 0


def test_a_file_that_cannot_be_read_is_told(project, folders):
    path = put(folders[0], "chaotic-pruning/data/vowel.csv", VOWEL)
    (found,) = inventory.data_sets(inventory.all_runs(project.root), ["authors:data/vowel.csv"])
    path.unlink()
    (checked,) = inventory.check(found)
    assert (checked.state, checked.digest) == ("unreadable", "No such file or directory")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "tiny_imagenet"])
def test_makers_files_are_held_against_what_downloads_are_checked_by(name, folders):
    expected = {
        put(folders[1], relative, b"x"): f"md5:{md5}" for relative, _, md5 in _image_sources._pinned_files(name)
    }
    assert requirements.pinned_digests(f"images:{name}") == expected
    assert all(len(md5) == len("md5:") + 32 for md5 in expected.values())


def test_batches_of_cifar10_are_held_against_torchvisions(folders):
    published = torchvision.datasets.CIFAR10
    for batch, _ in (*published.train_list, *published.test_list):
        put(folders[0], f"cifar-10-batches-py/{batch}", b"x")
    put(folders[0], "cifar-10-batches-py/readme.html", b"x")
    found = {path.name: md5 for path, md5 in requirements.pinned_digests("images:cifar10").items()}
    assert found == {batch: f"md5:{md5}" for batch, md5 in (*published.train_list, *published.test_list)}


def test_null_nothing_is_known_of_what_is_not_here_or_not_the_makers(folders):
    assert requirements.pinned_digests("images:mnist") == requirements.pinned_digests("authors:data/vowel.csv") == {}
    for part in ("train", "test"):
        put(folders[0], f"mnist/{part}.parquet", b"x")
    assert requirements.pinned_digests("images:mnist") == {}


def test_get_fetches_what_is_missing_and_says_what_cannot_be_had(folders, tmp_path, monkeypatch, capfd):
    served = tmp_path / "served"
    put(served, "data/vowel.csv", VOWEL)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=served)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(authors, "BASE_URL", f"http://127.0.0.1:{server.server_port}/")
        assert cli.main(["data", "get", "authors"]) == 1
        printed = capfd.readouterr().out.splitlines()
        assert printed[:2] == ["authors:data/vowel.csv ... downloaded", "authors:data/Iris.csv ... unavailable"]
        assert printed[3].startswith("data/Iris.csv of paper A's repository is not on this machine, and its download")
        assert printed[-1] == "0 were present, 1 downloaded, 1 unavailable"
        assert (folders[0] / "chaotic-pruning/data/vowel.csv").read_bytes() == VOWEL

        put(served, "data/Iris.csv", b"corrupt")
        assert cli.main(["data", "get", "authors"]) == 1
        printed = capfd.readouterr().out
        assert "another checksum than the pinned one" in printed
        assert "1 were present, 0 downloaded, 1 unavailable" in printed
        put(served, "data/Iris.csv", IRIS)
        assert cli.main(["data", "get", "authors"]) == 0
        assert capfd.readouterr().out.splitlines()[-1] == "1 were present, 1 downloaded, 0 unavailable"
        server.shutdown()


def test_without_a_network_get_says_why_once(folders, monkeypatch, capfd):
    monkeypatch.setattr(authors, "BASE_URL", "http://127.0.0.1:9/")  # a port that refuses at once
    assert cli.main(["data", "get", "authors"]) == 1
    printed = capfd.readouterr().out.splitlines()
    assert printed[:2] == [f"authors:data/{name}.csv ... unavailable" for name in ("vowel", "Iris")]
    assert [line[:13] for line in printed if "paper A's repository" in line] == ["data/vowel.cs"]
    assert printed[-3:] == ["The same applies to 1 more.", "", "0 were present, 0 downloaded, 2 unavailable"]


def test_runs_after_a_skipped_one_are_skipped_too():
    first = Run("first", "paper", "x.ipynb", {}, needs=("device:cuda",))
    second = Run("second", "paper", "x.ipynb", {}, after=(first,))
    other = Run("other", "paper", "x.ipynb", {}, uses=("device:cuda",))
    third = Run("third", "paper", "x.ipynb", {}, after=(other, second))
    runs = [first, second, other, third]
    assert inventory.skipped_without(runs, ["device:cuda"]) == [first, second, third]
    assert inventory.skipped_without(runs, []) == []
