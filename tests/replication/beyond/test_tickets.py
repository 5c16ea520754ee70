"""Lottery tickets: masks of equal size, and the barrier on problems whose answer is known."""

import copy

import pandas as pd
import pytest
import torch

from replication.beyond import error_barrier, ticket_differences, ticket_masks, ticket_sentences
from replication.causal import Setting
from replication.data.images import Images
from replication.networks import models


@pytest.fixture(scope="module")
def images():
    x = torch.randint(0, 256, (96, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0, 0, 0] > 127).long()
    return Images.from_tensors("planted", x[:64], y[:64], x[64:], y[64:], classes=2, source="test")


def test_masks_have_equal_counts_and_keep_the_given_network(images):
    network = models.mlp([16, 8, 2], seed=0)
    before = copy.deepcopy(network.state_dict())
    names = ["magnitude", "causal_consecutive", "snip", "synflow", "random"]
    trained, masks = ticket_masks(network, images, Setting(batch_size=16), names, sparsity=0.75, epochs=2, seed=0)
    assert list(masks) == names and {mask.kept for mask in masks.values()} == {36}
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not torch.equal(trained.fc1.weight, network.fc1.weight)
    with pytest.raises(ValueError, match="same_batch"):
        ticket_masks(network, images, Setting(), ["causal"], sparsity=0.5, epochs=1, seed=0)


def test_barrier_is_zero_for_equal_networks_and_known_for_permuted_units(images):
    """Swapping two hidden units leaves the function, but half-way both are their mean, and the function is constant."""
    network = models.mlp([16, 2, 2], seed=0)
    mean, std = float(images.mean), float(images.std)
    threshold = (127.5 / 255 - mean) / std
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.fc1.weight[0, 0], network.fc1.weight[1, 0] = 1.0, -1.0
        network.fc1.bias[0], network.fc1.bias[1] = -threshold, threshold
        network.fc2.weight.copy_(torch.tensor([[-1.0, 1.0], [1.0, -1.0]]))
    swapped = copy.deepcopy(network)
    with torch.no_grad():
        swapped.fc1.weight.copy_(network.fc1.weight.flip(0))
        swapped.fc1.bias.copy_(network.fc1.bias.flip(0))
        swapped.fc2.weight.copy_(network.fc2.weight.flip(1))
    assert error_barrier(network, network, images) == 0
    # Half-way all weights are 0, so that every image is assigned to class 0; the ends make no error.
    assert error_barrier(network, swapped, images, points=1) == pytest.approx(
        float((images.y_test == 1).double().mean())
    )


def test_each_ingredient_is_judged_by_the_interval_of_its_paired_difference():
    gains = {"initial": 0.0, "shuffled": -0.2, "reinitialised": 0.2, "early": 0.1, "early shuffled": 0.1}
    rows = [(seed, "snip", start, seed / 10 + gain) for seed in range(3) for start, gain in gains.items()]
    rows = [(*row[:3], row[3] + 0.01 * (i % 2)) for i, row in enumerate(rows)]  # differences that vary by seed
    found = ticket_differences(pd.DataFrame(rows, columns=["seed", "method", "start", "accuracy"]), ["snip"])
    assert found.verdict.tolist() == ["better", "not shown", "worse"]
    assert found.difference.tolist() == pytest.approx([0.2, 0, -0.2], abs=0.01)
    first, *_ = ticket_sentences(found, seeds=3)
    assert first == "**mask - shuffled, initial** (3 seeds). Better: snip; worse: none; not shown: none."
