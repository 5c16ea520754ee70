"""Oracle: torch's own network and DataLoader under torch.manual_seed, as the authors' scripts use them."""

import itertools

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from replication.data import Images, authors_mnist
from replication.legcnet.mnist.rows import digits, order
from replication.networks.models import legcnet_mnist


def images(train=50, test=20, size=28):
    generator = torch.Generator().manual_seed(0)
    parts = []
    for count in (train, test):
        parts += [
            torch.randint(0, 256, (count, 1, size, size), generator=generator, dtype=torch.uint8),
            torch.arange(count) % 10,
        ]
    return Images.from_tensors("mnist", *parts, classes=10, source="test")


@pytest.mark.parametrize("seed", [0, 3])
def test_initial_values_are_torchs_own(seed):
    torch.manual_seed(seed)
    layers = [nn.Linear(784, 50), nn.Linear(50, 30), nn.Linear(30, 10)]
    made = [module for module in legcnet_mnist(seed=seed) if isinstance(module, nn.Linear)]
    for ours, theirs in zip(made, layers, strict=True):
        assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


@pytest.mark.usefixtures("authors_files")
@pytest.mark.parametrize("trial", [1, 2, 3, 4])
def test_the_released_states_are_those_of_the_seeds_1_to_4(trial):
    ours = legcnet_mnist(seed=trial).state_dict()
    released = authors_mnist.initial_state(trial)
    assert ours.keys() == released.keys() and all(torch.equal(ours[name], released[name]) for name in ours)


@pytest.mark.usefixtures("authors_files")
def test_the_fifth_released_state_is_of_the_same_kind_but_another_seed():
    released = authors_mnist.initial_state(5)
    assert {name: tuple(v.shape) for name, v in released.items()} == {
        name: tuple(v.shape) for name, v in legcnet_mnist(seed=5).state_dict().items()
    }
    assert not any(
        torch.equal(legcnet_mnist(seed=s).state_dict()["fc1.weight"], released["fc1.weight"]) for s in range(9)
    )


def test_order_is_that_of_the_authors_loaders():
    torch.manual_seed(7)
    for inputs, outputs in ((784, 50), (50, 30), (30, 10)):
        nn.Linear(inputs, outputs)
    train = DataLoader(torch.arange(70), batch_size=16, shuffle=True)
    test = DataLoader(torch.arange(30), batch_size=16)
    state = torch.get_rng_state()
    ours = list(itertools.islice(order(70, batch_size=16, seed=7), 3))
    assert torch.equal(torch.get_rng_state(), state)
    for epoch in ours:
        for mine, theirs in zip(epoch, train, strict=True):
            assert torch.equal(mine, theirs)
        list(train), list(test)


def test_digits_are_split_in_file_order():
    found = images()
    rows = digits(found)
    assert len(rows.y_train) == 35 and len(rows.y_test) == 15 and rows.x_train.dtype == torch.float32
    assert torch.equal(torch.cat([rows.x_train, rows.x_test]), found.x_train.flatten(1).float())
    assert torch.equal(torch.cat([rows.y_train, rows.y_test]), found.y_train)
    unit = digits(found, unit=True)
    torch.testing.assert_close(unit.x_test * 255, rows.x_test)
    assert "50 rows in file order, pixels 0 to 255" == rows.assumed and unit.assumed.endswith("0 to 1")


def test_drawn_digits_come_from_both_parts_without_repetition():
    found = images()
    rows = digits(found, drawn=60, seed=1)
    drawn = torch.cat([rows.x_train, rows.x_test]).long()
    everything = torch.cat([found.x_train, found.x_test]).flatten(1).long()
    places = [int((everything == row).all(1).nonzero()[0]) for row in drawn]
    assert len(set(places)) == 60 and any(place >= 50 for place in places) and places != sorted(places)
    assert torch.equal(torch.cat([found.y_train, found.y_test])[places], torch.cat([rows.y_train, rows.y_test]))
    assert not torch.equal(rows.x_train, digits(found, drawn=60, seed=2).x_train)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: digits(images(), drawn=71), "drawn must be at most 70, got 71"),
        (lambda: digits(images(), drawn=3), "drawn must be an integer of at least 10, got 3"),
        (lambda: digits(images(size=8)), "images must have 784 pixels, got 64"),
        (lambda: next(order(0, batch_size=16, seed=0)), "samples must be an integer of at least 1, got 0"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
