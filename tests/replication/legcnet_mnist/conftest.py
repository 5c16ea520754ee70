import pytest
import torch

from replication.legcnet.mnist.rows import Digits


@pytest.fixture(scope="session")
def small():
    """300 rows that can be learned: ten bright patches, one for each digit, under noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (300,), generator=generator)
    x = 60 * torch.rand(300, 784, generator=generator)
    for row, label in enumerate(labels.tolist()):
        x[row, 78 * label : 78 * label + 60] += 150
    return Digits(x[:210], labels[:210], x[210:], labels[210:], "made up")
