"""A pilot with a training loop of your own: replace its parts by yours, and run `ccprune pilot` on this file."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

IMAGES, LABELS = (torch.from_numpy(values) for values in load_digits(return_X_y=True))
IMAGES = IMAGES.float() / 16
LOADER = DataLoader(TensorDataset(IMAGES[:1200], LABELS[:1200]), batch_size=64, shuffle=True)


def make(seed):
    """Return the network of a seed."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def fit(model, optimizer, epochs, recorder, seed):
    """Train. A recorder needs the loss before each step and, for some criteria, after it."""
    torch.manual_seed(seed)
    model.train()
    for _ in range(epochs):
        for x, y in LOADER:
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            if recorder is not None:
                recorder.before_step(loss)
            optimizer.step()
            if recorder is not None and recorder.pairing == "same_batch":
                with torch.no_grad():
                    recorder.after_step(cross_entropy(model(x), y))


def settings():
    """Return the arguments of `ccprune.pilot`."""
    return {
        "make": make,
        "train": LOADER,
        "validation": (IMAGES[1200:1500], LABELS[1200:1500]),
        "test": (IMAGES[1500:], LABELS[1500:]),
        "fit": fit,
        "optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
        "seeds": 3,
        "before": 8,
    }
