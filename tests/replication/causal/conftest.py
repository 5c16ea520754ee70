"""Scikit-learn's 8 x 8 digits as an image set: small enough to train on in a second."""

import pytest
import torch
from sklearn.datasets import load_digits

from replication.data.images import Images


@pytest.fixture(scope="session")
def digits() -> Images:
    bunch = load_digits()
    x = torch.from_numpy(bunch.images * 15.9).to(torch.uint8)[:, None]
    y = torch.from_numpy(bunch.target).long()
    return Images.from_tensors("digits", x[:1000], y[:1000], x[1000:], y[1000:], classes=10, source="scikit-learn")
