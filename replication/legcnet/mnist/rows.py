"""Which digits the authors trained on, in which order: what their scripts say, and what they leave open.

Their data/mnist.csv is not released. The scripts read a label and 784 pixels from each row and take the first 70% of
the rows to train with. How many rows there are, in which order, and whether pixels run from 0 to 255 or to 1 has to be
assumed; `digits` makes the assumption explicit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ccprune._util.checks import require_at_least
from replication.data import Images
from replication.networks.models import legcnet_mnist, torch_default_

TRAIN_SHARE = 0.7
BATCH_SIZE = 128


@dataclass(frozen=True, eq=False)
class Digits:
    """Rows of the authors' file as they are assumed: n for training, m for the test.

    Attributes
    ----------
    x_train, x_test : Tensor (n, 784), (m, 784)
        Pixels, float32.
    y_train, y_test : Tensor (n,), (m,)
        Labels, int64.
    assumed : str
        The assumptions in words.
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    assumed: str


def digits(images: Images, *, drawn: int | None = None, unit: bool = False, seed: int = 0) -> Digits:
    """Make the rows of the authors' CSV file under an assumption, split 70:30 in their order.

    Parameters
    ----------
    images : Images
        MNIST, or 5,000 digits of it.
    drawn : int, optional
        Number of images that are drawn from the training and the test part together, in random order, as in Kaggle's
        file of 42,000. None takes the training images in file order.
    unit : bool, default False
        Whether pixels lie in 0 to 1 instead of 0 to 255, which the authors' scripts keep.
    seed : int, default 0
        Seed of the draw.

    Returns
    -------
    Digits

    Raises
    ------
    ValueError
        If images have another size than 28 x 28, or `drawn` is below 10 or above the number of images.
    """
    x, y = images.x_train.flatten(1), images.y_train
    if x.shape[1] != 784:
        raise ValueError(f"images must have 784 pixels, got {x.shape[1]}")
    words = f"{len(x):,} rows in file order"
    if drawn is not None:
        x, y = torch.cat([x, images.x_test.flatten(1)]), torch.cat([y, images.y_test])
        require_at_least(10, drawn=drawn)
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
    """Yield the mini-batches of each epoch, without end, as the authors' scripts draw them.

    The numbers are those after `torch.manual_seed(seed)` when the scripts make the network, then iterate over a
    shuffling DataLoader once an epoch, and after each epoch once more over it and over another one that does not
    shuffle, to measure accuracy. The last mini-batch may be smaller. The global generator is neither used nor changed.

    Parameters
    ----------
    samples : int
        Number of rows.
    batch_size : int
        Number of rows of a mini-batch.
    seed : int
        Seed of the run.

    Yields
    ------
    list of Tensor (batch_size,), int64
        Indices of the mini-batches of one epoch.

    Raises
    ------
    ValueError
        If a size is below 1.
    """
    require_at_least(1, samples=samples, batch_size=batch_size)
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
