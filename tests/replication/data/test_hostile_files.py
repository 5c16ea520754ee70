"""Data files of an attacker or a broken disk: CorruptData with the path, in bounded memory and time."""

import bz2
import contextlib
import gzip
import io
import os
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from replication.data import CorruptData, _image_sources, authors, images
from replication.data import _image_files as files
from replication.data._image_files import ImageSet
from replication.runner import inventory

resource = pytest.importorskip("resource")
KIND = ImageSet((1, 28, 28), 10, 60_000, 10_000)
TINY = ImageSet((3, 8, 8), 2, 4, 2)
_ROOM = 600_000_000  # bytes of address space, less than any of the bombs takes


@contextlib.contextmanager
def little_memory():
    """The process gets no more than `_ROOM` bytes beyond what it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + _ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def picture(format_, size=(28, 28), mode="L"):
    stream = io.BytesIO()
    Image.new(mode, size, 7).save(stream, format_)
    return stream.getvalue()


def parquet(contents, labels, type_=None):
    stream = io.BytesIO()
    content = [{"bytes": content, "path": None} for content in contents]
    pq.write_table(pa.table({"image": content, "label": pa.array(labels, type_)}), stream)
    return stream.getvalue()


def one_value_in_every_row(size):
    """60,000 rows whose image is one value of `size` bytes, which is stored once."""
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(60_000, np.int32)), pa.array([bytes(size)]))
    image = pa.StructArray.from_arrays([values], ["bytes"])
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": image, "label": np.zeros(60_000, np.int64)}), stream)
    return stream.getvalue()


def zip_by_lzma():
    """A zip whose first member says that it is packed by LZMA, with a dictionary of 4 GB."""
    content = bytearray(tiny_zip(**{"wnids.txt": bytes([9, 4, 5, 0, 93, *[255] * 4, *bytes(20)])}))
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        content[content.index(signature) + offset] = zipfile.ZIP_LZMA
    return bytes(content)


def zip_with_large_member():
    """A zip whose directory says that its first member takes 4 GB in the file."""
    content = bytearray(tiny_zip())
    place = content.index(b"PK\1\2") + 20
    content[place : place + 4] = b"\xfe\xff\xff\xff"
    return bytes(content)


def tiny_zip(**replaced):
    """Small tiny-imagenet-200.zip, with the content of some members replaced."""
    root, content = "tiny-imagenet-200", picture("JPEG", (8, 8), "RGB")
    members = {"wnids.txt": "n1\nn2", "val/val_annotations.txt": "a.JPEG\tn1\nb.JPEG\tn2\n"}
    members |= {f"val/images/{name}.JPEG": content for name in "ab"}
    members |= {f"train/{wnid}/images/{i}.JPEG": content for wnid in ("n1", "n2") for i in range(2)}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(f"{root}/{name}", replaced.get(name, text))
    return stream.getvalue()


def patched_zip(flags=None, method=None):
    """The small zip, with other flags or another compression method in every header of a member."""
    content = bytearray(tiny_zip())
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = content.find(signature)
        while place >= 0:
            if flags is not None:
                struct.pack_into("<H", content, place + at, flags)
            if method is not None:
                struct.pack_into("<H", content, place + at + 2, method)
            place = content.find(signature, place + 4)
    return bytes(content)


def wide_png():
    """PNG whose header states 65,000 x 65,000 pixels."""
    content = bytearray(picture("PNG"))
    struct.pack_into(">II", content, 16, 65_000, 65_000)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    return bytes(content)


def zeros(count, head=b""):
    """Gz file of `count` times 10 million zeros after a beginning, in several parts."""
    return gzip.compress(head, mtime=0) + count * gzip.compress(bytes(10_000_000), 9, mtime=0)


def tar_of_zeros():
    head = tarfile.TarInfo("data_batch_1")
    head.size = 1_500_000_000
    return zeros(150, head.tobuf())


IDX = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2_000_000, 28, 28)
LABELS = bytes([0, 0, 8, 1]) + struct.pack(">I", 2) + bytes(2)
FAULTS = {
    "EPS": ("train.parquet", lambda: parquet([picture("EPS")], [0]), "UnidentifiedImageError"),
    "BMP": ("train.parquet", lambda: parquet([picture("BMP")], [0]), "UnidentifiedImageError"),
    "a PNG of 65,000 x 65,000 pixels": ("train.parquet", lambda: parquet([wide_png()], [0]), "Decompression|65000"),
    "labels that are no integers": (
        "train.parquet",
        lambda: parquet([picture("PNG")], [1.7]),
        "labels must be integers",
    ),
    "a missing label": ("train.parquet", lambda: parquet([picture("PNG")] * 2, [1, None]), "labels must be integers"),
    "a label out of range": ("train.parquet", lambda: parquet([picture("PNG")], [2**64 - 1], pa.uint64()), "0..9"),
    "one large value in every row": ("train.parquet", lambda: one_value_in_every_row(1_000_000), "at most 67104 bytes"),
    "one larger value in every row": (
        "train.parquet",
        lambda: one_value_in_every_row(30_000_000),
        "at most 67104 bytes",
    ),
    "too many rows": ("train.parquet", lambda: parquet([None] * 60_001, [0] * 60_001), "at most 60000 images"),
    "a gz of 1.5 GB": ("images.gz", lambda: zeros(150, IDX), "more than 110808576 bytes decompressed"),
    "an idx file of 3 bytes": ("images", lambda: IDX[:3], "not an idx file"),
    "an idx file of another shape": ("images", lambda: IDX + bytes(28 * 28), "reshape"),
    "an idx file of labels for images": ("images", lambda: LABELS, "with 3 dimensions"),
    "an encrypted zip": ("tiny.zip", lambda: patched_zip(flags=1), "encrypted"),
    "an unknown method in a zip": ("tiny.zip", lambda: patched_zip(method=77), "compression method"),
    "a member of a zip that is too large": (
        "tiny.zip",
        lambda: tiny_zip(**{"wnids.txt": b"\n" * 10**7}),
        "wnids.txt must",
    ),
    "a class that does not exist": (
        "tiny.zip",
        lambda: tiny_zip(**{"val/val_annotations.txt": "a.JPEG\tn9"}),
        "KeyError",
    ),
    "a line without a class": ("tiny.zip", lambda: tiny_zip(**{"val/val_annotations.txt": "a.JPEG"}), "IndexError"),
    "a zip with LZMA's dictionary of 4 GB": (
        "tiny.zip",
        zip_by_lzma,
        "must be stored or deflated, got compression method 14",
    ),
    "a zip with a packed member of 4 GB": ("tiny.zip", zip_with_large_member, "at most .* bytes, got 42949"),
    "a tar of 1.5 GB": ("cifar.tar.gz", tar_of_zeros, "bytes decompressed"),
    "a tar that is not packed by gzip": ("cifar.tar.gz", lambda: bz2.compress(b"x"), "BadGzipFile"),
}


def read(path):
    """Read a file by the reader that its name asks for."""
    if path.suffix == ".parquet":
        return files.read_parquet(path, KIND)
    if path.suffix == ".zip":
        return files.read_tiny_imagenet(path, TINY)
    if path.name == "cifar.tar.gz":
        return files.read_cifar10(path, ImageSet((3, 32, 32), 10, 500, 100))
    labels = path.with_name("labels")
    labels.write_bytes(LABELS)
    return files.read_idx(path, labels, KIND)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_hostile_file_is_refused_by_name_in_little_memory(fault, tmp_path):
    name, make, reason = FAULTS[fault]
    path = tmp_path / name
    path.write_bytes(make())
    start = time.process_time()
    with little_memory(), pytest.raises(CorruptData, match=reason) as error:
        read(path)
    assert time.process_time() - start < 5
    assert str(path) in str(error.value) and "MemoryError" not in str(error.value)


def test_null_whole_files_are_read(tmp_path):
    path = tmp_path / "train.parquet"
    path.write_bytes(parquet([picture("PNG"), picture("JPEG")], [3, 4]))
    x, y = read(path)
    assert x.shape == (2, 1, 28, 28) and y.tolist() == [3, 4] and (x == 7).all()
    path = tmp_path / "tiny.zip"
    path.write_bytes(tiny_zip())
    assert [y.tolist() for _, y in read(path)] == [[0, 0, 1, 1], [0, 1]]


@pytest.mark.parametrize("place", ["mnist/train.parquet", "MNIST/raw/train-images-idx3-ubyte", "tiny-imagenet-200.zip"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_in_place_of_a_file_is_refused(place, make, tmp_path, monkeypatch):
    monkeypatch.setenv("CCPRUNE_DATA", str(tmp_path))
    monkeypatch.setattr(_image_sources.pooch, "os_cache", lambda project: tmp_path / "cache")
    for beside in (
        "mnist/test.parquet",
        *(
            f"MNIST/raw/{part}-idx{n}-ubyte"
            for part, n in (("train-labels", 1), ("t10k-images", 3), ("t10k-labels", 1))
        ),
    ):
        (tmp_path / beside).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / beside).write_bytes(b"")
    if not place.startswith("mnist/"):
        (tmp_path / "mnist/test.parquet").unlink()
    make(tmp_path / place)
    with pytest.raises(CorruptData, match=f"{place}: it is not a regular file"):
        images.load("mnist" if "mnist" in place.lower() else "tiny_imagenet")


def test_a_pipe_under_the_name_of_an_authors_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CCPRUNE_DATA", str(tmp_path))
    path = tmp_path / "chaotic-pruning" / "data" / "vowel.csv"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(CorruptData, match=r"vowel.csv: it is not a regular file"):
        authors.read("data/vowel.csv")
    data = inventory.DataSet("authors:data/vowel.csv", (), (), True, (path,))
    assert [(check.state, check.digest) for check in inventory.check(data)] == [("unreadable", "not a regular file")]


def test_a_pipe_in_the_cache_is_not_waited_for_by_a_download(tmp_path, monkeypatch):
    monkeypatch.delenv("CCPRUNE_DATA", raising=False)
    monkeypatch.setattr(_image_sources.pooch, "os_cache", lambda project: tmp_path)
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    os.mkfifo(tmp_path / "MNIST/raw/train-images-idx3-ubyte.gz")
    with pytest.raises(CorruptData, match="it is not a regular file"):
        images.load("mnist")


def idx_file():
    return bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 28, 28) + bytes(2 * 28 * 28)


WHOLE = {
    "train.parquet": parquet([picture("PNG"), picture("JPEG")], [3, 4]),
    "tiny.zip": tiny_zip(),
    "images": idx_file(),
    "images.gz": gzip.compress(idx_file(), mtime=0),
    "cifar.tar.gz": gzip.compress(tarfile.TarInfo("data_batch_1").tobuf(), mtime=0),
}


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=60, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_file_is_read_or_refused_by_name(name, data, tmp_path):
    content, path = bytearray(WHOLE[name]), tmp_path / name
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    path.write_bytes(content[:cut] + data.draw(st.binary(max_size=20)))
    with little_memory():
        try:
            found = read(path)
        except CorruptData as error:
            assert str(tmp_path) in str(error) and "MemoryError" not in str(error)
            return
    for x, y in found if name == "tiny.zip" else [found]:
        assert x.dtype == np.uint8 and y.dtype == np.int64 and len(x) == len(y) and ((y >= 0) & (y < 10)).all()
