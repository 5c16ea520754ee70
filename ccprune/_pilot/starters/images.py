"""A pilot on images, one folder a class: replace FOLDER by yours, and run `ccprune pilot` on this file."""

import torch
from sklearn.datasets import load_digits
from torch import nn

FOLDER = None  # such as "images", with images/cat/1.png and so on
SIZE, CLASSES = 8, 10


def make(seed):
    """Return a small convolutional network."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, CLASSES),
    )


def samples():
    """Return the images as a tensor (n, 1, SIZE, SIZE) and their classes."""
    if FOLDER is None:
        x, y = load_digits(return_X_y=True)
        return torch.from_numpy(x).float().reshape(-1, 1, 8, 8) / 16, torch.from_numpy(y)
    from torchvision import datasets, transforms

    steps = [transforms.Grayscale(), transforms.Resize((SIZE, SIZE)), transforms.ToTensor()]
    folder = datasets.ImageFolder(FOLDER, transforms.Compose(steps))
    x, y = zip(*folder, strict=True)
    return torch.stack(x), torch.tensor(y)


def settings():
    """Return the arguments of `ccprune.pilot`."""
    x, y = samples()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).split(len(x) * 3 // 5)
    rest = order[1].chunk(2)
    parts = [(x[rows], y[rows]) for rows in (order[0], *rest)]
    return {"make": make, "train": parts[0], "validation": parts[1], "test": parts[2], "seeds": 3, "before": 8}
