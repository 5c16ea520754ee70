"""Small networks for the library's tests, which stand in for the papers' networks.

The papers' networks are in the package `replication`, which these tests do without. The networks here have the same
names of layers and, for the same seed, the same weights as `mlp` and `lenet` of `replication.networks.models`;
tests/replication/networks/test_models.py compares them. The global random numbers are neither used nor changed.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn


def mlp(sizes: Sequence[int], *, seed: int) -> nn.Sequential:
    """Linear layers "fc1", "fc2", ... with ReLU between them; `sizes` are the units, inputs first, classes last."""
    layers = OrderedDict(flatten=nn.Flatten())
    with torch.device("meta"):
        for i in range(1, len(sizes)):
            layers[f"fc{i}"] = nn.Linear(sizes[i - 1], sizes[i])
            layers[f"relu{i}"] = nn.ReLU()
    layers.popitem()  # the logits have none
    return _initialised(nn.Sequential(layers), seed)


def lenet(in_channels: int, size: int, classes: int, *, seed: int) -> nn.Sequential:
    """Two convolutions of 20 and 50 channels and two linear layers, for images of size x size."""
    left = ((size - 4) // 2 - 4) // 2
    with torch.device("meta"):
        layers = OrderedDict(
            conv1=nn.Conv2d(in_channels, 20, 5),
            pool1=nn.MaxPool2d(2),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(20, 50, 5),
            pool2=nn.MaxPool2d(2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(50 * left**2, 500),
            relu3=nn.ReLU(),
            fc2=nn.Linear(500, classes),
        )
    return _initialised(nn.Sequential(layers), seed)


def _initialised(model: nn.Sequential, seed: int) -> nn.Sequential:
    """Draw weights from N(0, 2 / fan_out) and set biases to zero, for a model made on the meta device."""
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for module in model:
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)
    return model
