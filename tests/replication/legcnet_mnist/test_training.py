"""Oracle: the loop of the paper's procedure written with torch's loader, loss and optimiser, one network at a time."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn
from torch.utils.data import DataLoader

from replication.legcnet.mnist import training
from replication.networks.models import legcnet_mnist
from replication.networks.stacked import stack_models


def by_hand(digits, seed, keep, epochs):
    """Training under the mask: one network, and its training accuracy after each epoch."""
    torch.manual_seed(seed)
    layers = [nn.Linear(784, 50), nn.Sigmoid(), nn.Linear(50, 30), nn.Sigmoid(), nn.Linear(30, 10), nn.Softmax(-1)]
    model = nn.Sequential(*layers)
    loader = DataLoader(torch.arange(len(digits.y_train)), batch_size=16, shuffle=True)
    other = DataLoader(torch.arange(len(digits.y_test)), batch_size=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    parts = [part.reshape(layers[2 * i].weight.shape) for i, part in enumerate(keep.split([39200, 1500, 300]))]
    accuracy = []
    for _ in range(epochs):
        for rows in loader:
            for i, part in enumerate(parts):
                layers[2 * i].weight.data *= part
            target = nn.functional.one_hot(digits.y_train[rows], 10).float()
            loss = nn.MSELoss()(model(digits.x_train[rows]), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for i, part in enumerate(parts):
            layers[2 * i].weight.data *= part
        right = sum(int((model(digits.x_train[rows]).argmax(1) == digits.y_train[rows]).sum()) for rows in loader)
        accuracy.append(right / (len(loader) * 16))
        list(other)
    return torch.cat([layers[i].weight.detach().flatten() for i in (0, 2, 4)]), accuracy


def masks(count):
    return torch.rand(count, 41_000, generator=torch.Generator().manual_seed(1)) > 0.2


def test_training_is_the_authors_loop(small):
    keep = masks(2)
    networks = stack_models([legcnet_mnist(seed=4)] * 2)
    found = training.train(networks, small, seed=4, keep=keep, batch_size=16, benchmark=None, budget=3)
    for index in range(2):
        expected, _ = by_hand(small, 4, keep[index], 3)
        torch.testing.assert_close(found.networks.weights[index], expected, rtol=1e-3, atol=1e-5)
        assert not bool(found.networks.weights[index][~keep[index]].any())
    assert found.epochs.tolist() == [3, 3] and not found.reached.any()


def test_it_stops_after_the_first_epoch_at_the_benchmark(small):
    keep = torch.cat([torch.ones(1, 41_000, dtype=torch.bool), masks(1)])
    networks = stack_models([legcnet_mnist(seed=4)] * 2)
    curves = [by_hand(small, 4, part, 25)[1] for part in keep]
    benchmark = (max(curves[0][:8]) + max(curves[0][8:])) / 2  # not reached at once
    found = training.train(networks, small, seed=4, keep=keep, batch_size=16, benchmark=benchmark, budget=25)
    for index, curve in enumerate(curves):
        first = next((epoch for epoch, value in enumerate(curve) if value >= benchmark), 25)
        assert found.epochs[index] == first and bool(found.reached[index]) == (first < 25)
    assert 0 < found.epochs[0] < 25
    whole, _ = by_hand(small, 4, keep[0], int(found.epochs[0]) + 1)
    # Rounding differs, and grows in training.
    torch.testing.assert_close(found.networks.weights[0], whole, rtol=1e-2, atol=5e-3)
    assert torch.equal(networks.weights[0], stack_models([legcnet_mnist(seed=4)]).weights[0])


def test_measures_are_right_and_as_printed(small):
    networks = stack_models([legcnet_mnist(seed=4)])
    networks = training.train(networks, small, seed=4, batch_size=16, benchmark=None, budget=25).networks
    (found,) = training.measure(networks, small, batch_size=16)
    guess = networks.model(0)(small.x_test).argmax(1).numpy()
    truth = small.y_test.numpy()
    assert found.accuracy == pytest.approx((guess == truth).mean())
    assert found.accuracy_printed == pytest.approx((guess == truth).sum() / 96)  # six mini-batches of 16 for 90 rows
    assert found.f1 == pytest.approx(f1_score(truth, guess, average="macro"))
    firsts = np.arange(0, 90, 16)
    assert found.f1_printed == pytest.approx(f1_score(truth[firsts], guess[firsts], average="macro"))
    assert 0.2 < found.accuracy < 1  # above chance, so that the measures have something to tell apart


def test_null_an_untrained_network_guesses(small):
    (found,) = training.measure(stack_models([legcnet_mnist(seed=0)]), small)
    assert found.accuracy < 0.3


def test_a_bad_benchmark_is_named(small):
    with pytest.raises(ValueError, match=r"benchmark must be None or lie in \(0, 1\], got 92"):
        training.train(stack_models([legcnet_mnist(seed=0)]), small, seed=0, benchmark=92)
