"""Which digits the authors trained on, in which order: what their scripts say, and what they leave open.

Their data/mnist.csv is not released. The scripts read a label and 784 pixels from each row and take the first 70% of
the rows to train with. How many rows there are, in which order, and whether pixels run from 0 to 255 or to 1 has to be
assumed; `digits` makes the assumption explicit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ccprune._util.checks import at_least
from replication.data import Images
from replication.networks.models import legcnet_mnist, torch_default_

TRAIN_SHARE = 0.7
BATCH_SIZE = 128


@dataclass(frozen=True, eq=False)
class Digits:
    """Rows as assumed: x_train (n, 784), x_test (m, 784) float32; y_train, y_test int64; what was assumed in words."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    assumed: str


def digits(images: Images, *, drawn: int | None = None, unit: bool = False, seed: int = 0) -> Digits:
    """The rows of the CSV file, split 70:30 in their order.

    Parameters
    ----------
    images : Images
        MNIST, or 5,000 digits of it.
    drawn : int, optional
        So many of all images, training and test part together, at random and in random order, as in Kaggle's file of
        42,000; None: the training images in file order.
    unit : bool
        Pixels from 0 to 1 instead of 0 to 255, which the scripts leave as they are.
    seed : int
        Of the draw.

    Raises
    ------
    ValueError
        For images of another size than 28 x 28, or a draw of more than there are or of fewer than 10.
    """
    x, y = images.x_train.flatten(1), images.y_train
    if x.shape[1] != 784:
        raise ValueError(f"images must have 784 pixels, got {x.shape[1]}")
    words = f"{len(x):,} rows in file order"
    if drawn is not None:
        x, y = torch.cat([x, images.x_test.flatten(1)]), torch.cat([y, images.y_test])
        at_least(10, drawn=drawn)
        if drawn > len(x):
            raise ValueError(f"drawn must be at most {len(x)}, got {drawn}")
        order = torch.randperm(len(x), generator=Generator().manual_seed(seed))[:drawn].to(x.device)
        x, y, words = x[order], y[order], f"{drawn:,} rows drawn at random"
    x = x.to(torch.float32)
    if unit:
        x = x / 255
    cut = int(TRAIN_SHARE * len(x))
    return Digits(x[:cut], y[:cut], x[cut:], y[cut:], f"{words}, pixels 0 to {1 if unit else 255}")


def order(samples: int, *, batch_size: int, seed: int) -> Iterator[list[Tensor]]:
    """Indices (batch_size,) of each mini-batch, epoch after epoch without end, as the authors' scripts draw them.

    Number for number what happens after `torch.manual_seed(seed)` when they make the network, then iterate over a
    shuffling DataLoader once an epoch, and after each epoch once more over it and over another one that does not
    shuffle, to measure accuracy. The last mini-batch may be smaller. The global generator is neither used nor moved.
    """
    at_least(1, samples=samples, batch_size=batch_size)
    generator = Generator().manual_seed(seed)
    torch_default_(legcnet_mnist(seed=0), generator)
    while True:
        _number(generator)  # the loader's base seed
        shuffle = Generator().manual_seed(_number(generator))
        yield list(torch.randperm(samples, generator=shuffle).split(batch_size))
        for _ in range(3):  # seeds for measuring training accuracy, two, and test accuracy
            _number(generator)


def _number(generator: Generator) -> int:
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator))
