import torch

from ccprune._util.batches import Shuffled

X = torch.arange(10.0)[:, None]


def rows(batches, epoch):
    return [x[:, 0].tolist() for x, _ in batches(epoch)]


def test_an_epoch_has_every_sample_once_with_its_target():
    batches = Shuffled(X, X[:, 0] * 2, 4, seed=3)
    parts = [*batches(0)]
    assert [len(x) for x, _ in parts] == [4, 4, 2]
    assert sorted(torch.cat([x for x, _ in parts]).flatten().tolist()) == X.flatten().tolist()
    assert all(torch.equal(y, x[:, 0] * 2) for x, y in parts)


def test_the_order_follows_from_seed_and_epoch_alone():
    batches = Shuffled(X, X, 3, seed=5)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(7))
    assert sum(rows(batches, 2), []) == order.tolist()
    assert rows(Shuffled(X, X, 3, seed=5 + 2), 0) == rows(batches, 2) != rows(batches, 0)
