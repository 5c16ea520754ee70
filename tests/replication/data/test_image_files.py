"""Files of image sets in every layout, made here with a few images each; the oracles are torchvision's readers."""

import gzip
import hashlib
import http.server
import io
import pickle
import struct
import tarfile
import threading
import time
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from replication.data import CorruptData, DataUnavailable, _image_sources, images
from replication.data._image_files import ImageSet
from replication.data._torchvision import torchvision
from replication.runner import requirements

NOWHERE = "http://127.0.0.1:9/"  # a port that refuses at once
SMALL = {
    "mnist": ImageSet((1, 28, 28), 10, 20, 10),
    "fashion_mnist": ImageSet((1, 28, 28), 10, 20, 10),
    "cifar10": ImageSet((3, 32, 32), 10, 20, 10),
    "tiny_imagenet": ImageSet((3, 64, 64), 4, 20, 8),
}
TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty $CCPRUNE_DATA and an empty cache, sets of a few images, no Debian folder and no way to any server."""
    given, cache = tmp_path / "given", tmp_path / "cache"
    given.mkdir()
    monkeypatch.setenv("CCPRUNE_DATA", str(given))
    monkeypatch.setattr(_image_sources.pooch, "os_cache", lambda project: cache)
    monkeypatch.setattr(_image_sources, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(_image_sources, "TINY_IMAGENET_URL", NOWHERE + "tiny-imagenet-200.zip")
    for name, kind in SMALL.items():
        monkeypatch.setitem(_image_sources.SETS, name, kind)
    for published in TORCHVISION.values():
        monkeypatch.setattr(getattr(torchvision.datasets, published), "mirrors", [NOWHERE])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", NOWHERE + "cifar-10-python.tar.gz")
    monkeypatch.setattr(_image_sources.pooch.core.time, "sleep", lambda seconds: None)  # before it tries again
    return given, cache


def arrays(name, seed=0):
    """x and y of the training part, then of the test part."""
    rng, kind = np.random.default_rng(seed), SMALL[name]
    parts = []
    for count in (kind.train, kind.test):
        parts += [rng.integers(0, 256, (count, *kind.shape), np.uint8), rng.permutation(count) % kind.classes]
    return parts


def encoded(image, mode=None):
    """An image (c, h, w) as a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0).squeeze()).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def write_parquet(path, x, y, column="image", label="label"):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = [{"bytes": encoded(image), "path": None} for image in x]
    pq.write_table(pa.table({column: content, label: pa.array(y, pa.int64())}), path)


def write_idx(folder, parts, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, x, y in (("train", *parts[:2]), ("t10k", *parts[2:])):
        for kind, array in (("images-idx3", x[:, 0]), ("labels-idx1", y.astype(np.uint8))):
            content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
            content = gzip.compress(content, mtime=0) if suffix else content
            (folder / f"{prefix}-{kind}-ubyte{suffix}").write_bytes(content)


def write_cifar(folder, parts, monkeypatch):
    """The five training batches and the test batch, and torchvision's list of their MD5s made to fit."""
    folder.mkdir(parents=True)
    batch = {f"data_batch_{i + 1}": (parts[0][4 * i : 4 * i + 4], parts[1][4 * i : 4 * i + 4]) for i in range(5)}
    contents = {
        name: pickle.dumps({"data": x.reshape(len(x), -1), "labels": y.tolist()})
        for name, (x, y) in (batch | {"test_batch": parts[2:]}).items()
    }
    contents["batches.meta"] = pickle.dumps({"label_names": [str(i) for i in range(10)]})
    pinned = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    published = torchvision.datasets.CIFAR10
    monkeypatch.setattr(published, "train_list", [[name, pinned[name]] for name in batch])
    monkeypatch.setattr(published, "test_list", [["test_batch", pinned["test_batch"]]])
    monkeypatch.setattr(published, "meta", published.meta | {"md5": pinned["batches.meta"]})


def tiny_zip(parts):
    """Content of tiny-imagenet-200.zip: the classes' folders are not in the order of the labels' first use."""
    wnids = ["n03", "n01", "n04", "n02"]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", "\n".join(wnids))
        for wnid in wnids:
            archive.writestr(f"tiny-imagenet-200/train/{wnid}/{wnid}_boxes.txt", "")
        for i, (x, y) in enumerate(zip(*parts[:2], strict=True)):
            wnid = sorted(wnids)[y]
            archive.writestr(f"tiny-imagenet-200/train/{wnid}/images/{wnid}_{i:02}.JPEG", encoded(x))
        lines = []
        for i, (x, y) in enumerate(zip(*parts[2:], strict=True)):
            lines.append(f"val_{i}.JPEG\t{sorted(wnids)[y]}\t0\t0\t63\t63")
            archive.writestr(f"tiny-imagenet-200/val/images/val_{i}.JPEG", encoded(x))
        archive.writestr("tiny-imagenet-200/val/val_annotations.txt", "\n".join(lines) + "\n")
        archive.writestr("tiny-imagenet-200/test/images/test_0.JPEG", encoded(parts[0][0]))
    return stream.getvalue()


def assert_same(found, parts):
    for ours, expected in zip((found.x_train, found.y_train, found.x_test, found.y_test), parts, strict=True):
        np.testing.assert_array_equal(ours.numpy(), expected)
    assert found.x_train.dtype == torch.uint8 and found.y_test.dtype == torch.int64


@pytest.mark.parametrize(
    ("name", "column", "train", "test"),
    [
        ("mnist", "image", ["train.parquet"], ["test.parquet"]),
        ("mnist", "image", ["mnist/train-00000-of-00001.parquet"], ["mnist/test-00000-of-00001.parquet"]),
        (
            "fashion_mnist",
            "image",
            [f"data/train-0000{i}-of-00003-ab.parquet" for i in range(3)],
            ["data/test-00000-of-00001-cd.parquet"],
        ),
        ("cifar10", "img", ["plain_text/train-00000-of-00001.parquet"], ["plain_text/test-00000-of-00001.parquet"]),
        ("tiny_imagenet", "image", ["data/train-00000-of-00001-a.parquet"], ["data/valid-00000-of-00001-b.parquet"]),
        ("tiny_imagenet", "image", ["train.parquet"], ["validation.parquet"]),
    ],
)
def test_parquet_as_hubs_lay_it_out(places, name, column, train, test):
    parts = arrays(name)
    for files, x, y in ((train, *parts[:2]), (test, *parts[2:])):
        for file, rows in zip(files, np.array_split(np.arange(len(x)), len(files)), strict=True):
            write_parquet(places[0] / name / file, x[rows], y[rows], column)
    assert images.available(name)
    found = images.load(name)
    assert_same(found, parts)
    assert (found.name, found.source, found.classes) == (name, "parquet", SMALL[name].classes)


def test_a_grey_image_of_a_coloured_set_has_three_equal_channels(places):
    x, y, *test = arrays("tiny_imagenet")
    x[:] = x[:, :1]
    folder = places[0] / "tiny_imagenet"
    folder.mkdir()
    content = [{"bytes": encoded(image, "L"), "path": None} for image in x]
    pq.write_table(pa.table({"image": content, "label": y}), folder / "train.parquet")
    write_parquet(folder / "valid.parquet", *test)
    assert_same(images.load("tiny_imagenet"), [x, y, *test])


@pytest.mark.parametrize("name", TORCHVISION)
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("place", [0, 1], ids=["given", "cache"])
def test_torchvisions_layout_of_the_mnist_family(places, name, suffix, place):
    parts, published = arrays(name), getattr(torchvision.datasets, TORCHVISION[name])
    write_idx(places[place] / TORCHVISION[name] / "raw", parts, suffix)
    found = images.load(name)
    assert_same(found, parts)
    assert found.source == "torchvision"
    if not suffix:
        theirs = published(places[place], train=True)
        assert torch.equal(found.x_train[:, 0], theirs.data) and torch.equal(found.y_train, theirs.targets)


def test_debians_folder_serves_fashion_mnist_only_and_last(places):
    parts, others = arrays("fashion_mnist"), arrays("fashion_mnist", seed=1)
    write_idx(_image_sources.DEBIAN, parts, ".gz")
    assert not images.available("mnist")
    assert images.load("fashion_mnist").source == "debian"
    assert_same(images.load("fashion_mnist"), parts)
    write_idx(places[1] / "FashionMNIST" / "raw", others)
    assert_same(images.load("fashion_mnist"), others)


@pytest.mark.parametrize("packed", [False, True])
def test_cifar10s_own_files(places, monkeypatch, packed):
    parts, folder = arrays("cifar10"), places[0] / "cifar-10-batches-py"
    write_cifar(folder, parts, monkeypatch)
    theirs = torchvision.datasets.CIFAR10(places[0], train=True)
    if packed:
        with tarfile.open(places[0] / "cifar-10-python.tar.gz", "w:gz") as tar:
            tar.add(folder, folder.name)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    found = images.load("cifar10")
    assert_same(found, parts)
    np.testing.assert_array_equal(found.x_train.permute(0, 2, 3, 1).numpy(), theirs.data)
    assert found.y_train.tolist() == theirs.targets


def test_a_changed_pickle_is_never_loaded(places, monkeypatch, tmp_path):
    marker, folder = tmp_path / "ran", places[0] / "cifar-10-batches-py"

    class Payload:
        def __reduce__(self):
            return (marker.write_text, ("code ran",))

    write_cifar(folder, arrays("cifar10"), monkeypatch)
    (folder / "data_batch_3").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(CorruptData, match=r"cifar-10-batches-py .*MD5 of its data_batch_3"):
        images.load("cifar10")
    assert not marker.exists()


def test_tiny_imagenets_zip(places):
    parts = arrays("tiny_imagenet")
    (places[0] / "tiny-imagenet-200.zip").write_bytes(tiny_zip(parts))
    order = np.lexsort((np.arange(20), parts[1]))  # by class, then by name
    found = images.load("tiny_imagenet")
    assert found.source == "zip"
    assert_same(found, [parts[0][order], parts[1][order], *parts[2:]])


def test_the_given_folder_is_only_read(places):
    write_parquet(places[0] / "mnist" / "train.parquet", *arrays("mnist")[:2])
    write_parquet(places[0] / "mnist" / "test.parquet", *arrays("mnist")[2:])
    before = {path: path.stat().st_mtime_ns for path in places[0].rglob("*")}
    images.load("mnist")
    assert {path: path.stat().st_mtime_ns for path in places[0].rglob("*")} == before
    assert not places[1].exists()


def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


def bad_png(path):
    content = [{"bytes": encoded(x)[:100], "path": None} for x in arrays("mnist")[0]]
    pq.write_table(pa.table({"image": content, "label": arrays("mnist")[1]}), path)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (truncate, "ArrowInvalid"),
        (bad_png, "OSError: .*truncated"),
        (lambda path: write_parquet(path, *arrays("cifar10")[:2]), r"image 0 must have .* \(28, 28\), got \(32, 32\)"),
        (
            lambda path: write_parquet(path, arrays("mnist")[0], arrays("mnist")[1] + 1),
            "labels must lie in 0..9, got 1..10",
        ),
        (lambda path: write_parquet(path, *arrays("mnist")[:2], "picture"), "columns must be .*picture"),
        (lambda path: write_parquet(path, *arrays("mnist")[:2], label="y"), "columns must be .*'label'"),
        (lambda path: write_parquet(path, *(part[:15] for part in arrays("mnist")[:2])), "15 training .* expected 20"),
    ],
)
def test_a_broken_parquet_file_is_named(places, harm, reason):
    folder = places[0] / "mnist"
    write_parquet(folder / "train.parquet", *arrays("mnist")[:2])
    write_parquet(folder / "test.parquet", *arrays("mnist")[2:])
    harm(folder / "train.parquet")
    with pytest.raises(CorruptData, match=reason) as error:
        images.load("mnist")
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_truncated_idx_file_is_named(places, suffix):
    write_idx(places[0] / "MNIST" / "raw", arrays("mnist"), suffix)
    broken = places[0] / "MNIST" / "raw" / f"t10k-images-idx3-ubyte{suffix}"
    truncate(broken)
    with pytest.raises(CorruptData, match=str(broken)):
        images.load("mnist")


def test_a_broken_zip_is_named(places):
    broken = places[0] / "tiny-imagenet-200.zip"
    broken.write_bytes(tiny_zip(arrays("tiny_imagenet"))[:-200])
    with pytest.raises(CorruptData, match=f"{broken}.*BadZipFile"):
        images.load("tiny_imagenet")


@pytest.fixture
def server(tmp_path):
    """A folder and the address at which it is served; the paths that were asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path / "served")

        def log_message(self, _format, *args):
            asked.append(args[0])

    (tmp_path / "served").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield tmp_path / "served", f"http://127.0.0.1:{httpd.server_port}/", asked
        httpd.shutdown()


@pytest.fixture
def served_mnist(places, server, monkeypatch):
    """MNIST's files at the second of two mirrors; the first is dead."""
    folder, address, _ = server
    write_idx(folder, arrays("mnist"), ".gz")
    pinned = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(folder.iterdir())]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", pinned)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [NOWHERE, address])


def test_mnist_is_downloaded_once_into_the_cache(places, server, served_mnist):
    assert not images.available("mnist")
    assert requirements.why_missing("images:mnist") is None
    assert requirements.is_here("images:mnist")
    assert_same(images.load("mnist"), arrays("mnist"))
    assert len(server[2]) == 4
    assert not any(places[0].iterdir())


def test_a_changed_download_is_refused_and_not_kept(places, server, served_mnist):
    (server[0] / "train-images-idx3-ubyte.gz").write_bytes(b"changed")
    with pytest.raises(CorruptData, match=f"{server[1]}train-images-idx3-ubyte.gz has another checksum"):
        images.load("mnist")
    assert not (places[1] / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").exists()
    assert not images.available("mnist")


def test_cifar10_is_downloaded(places, server, monkeypatch, tmp_path):
    folder, address, asked = server
    parts, name = arrays("cifar10"), "cifar-10-python.tar.gz"
    write_cifar(tmp_path / "cifar-10-batches-py", parts, monkeypatch)
    with tarfile.open(folder / name, "w:gz") as tar:
        tar.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", address + name)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", hashlib.md5((folder / name).read_bytes()).hexdigest())
    for _ in range(2):
        assert_same(images.load("cifar10"), parts)
    assert len(asked) == 1


def test_tiny_imagenet_is_downloaded_and_checked(places, server, monkeypatch):
    folder, address, _ = server
    content = tiny_zip(arrays("tiny_imagenet"))
    (folder / "tiny-imagenet-200.zip").write_bytes(content)
    monkeypatch.setattr(_image_sources, "TINY_IMAGENET_URL", address + "tiny-imagenet-200.zip")
    with pytest.raises(CorruptData, match="another checksum than the pinned one"):  # the MD5 is still the real one's
        images.load("tiny_imagenet")
    monkeypatch.setattr(_image_sources, "TINY_IMAGENET_MD5", hashlib.md5(content).hexdigest())
    assert images.load("tiny_imagenet").x_test.shape == (8, 3, 64, 64)
    recorded = places[1] / "tiny-imagenet-200.zip.sha256"
    assert recorded.read_text().strip() == hashlib.sha256(content).hexdigest()
    recorded.with_suffix("").write_bytes(content + b" ")  # still a zip file
    with pytest.raises(CorruptData, match=r"SHA-256 is \w+, not the one in tiny-imagenet-200\.zip\.sha256"):
        images.load("tiny_imagenet")


def test_tiny_imagenet_comes_by_tls():
    assert _image_sources.TINY_IMAGENET_URL.startswith("https://")


@pytest.mark.parametrize("name", SMALL)
def test_a_missing_set_is_one_clear_and_quick_error(places, name):
    start = time.monotonic()
    with pytest.raises(DataUnavailable, match=rf"{name} is not on this machine.*CCPRUNE_DATA.*the network") as error:
        images.load(name)
    assert time.monotonic() - start < 10
    assert "/".join(places[0].parts[1:]) not in str(error.value)  # the message goes into reports
    assert ("Debian" in str(error.value) or "debian" in str(error.value)) == (name == "fashion_mnist")


def test_a_requirement_says_in_one_line_what_is_missing(places, monkeypatch):
    monkeypatch.delenv("CCPRUNE_DATA")
    assert not requirements.is_here("images:mnist")
    why = requirements.why_missing("images:mnist")
    assert why.startswith("mnist is not on this machine") and "not set" in why and "\n" not in why


def test_a_requirement_knows_the_sets():
    assert all(requirements.problem(f"images:{name}") is None for name in images.NAMES)
    assert "name must be an image set" in requirements.problem("images:mnits")
