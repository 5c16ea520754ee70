"""Oracles: the protocols written out by hand with torch alone, and counting."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ccprune import lasso, scores
from ccprune.mask import Mask, jaccard_kept, prunable
from ccprune.recording import Recorder
from replication.causal import protocols
from replication.causal.methods import all_methods
from replication.causal.setting import Setting
from replication.data.images import batches
from replication.networks.models import mlp

SETTING = Setting(batch_size=100, lr=0.05)
LEVELS = (0.0, 0.5, 0.9)


def start(images, seed=0):
    return protocols.start(mlp((64, 20, 10), seed=seed), images, SETTING, epochs=1, seed=seed)


def path(begin, images, name, **options):
    chosen = None if name == "dense" else all_methods(lr=SETTING.lr, seed=0)[name]
    options = {"levels": LEVELS, "between": 1, "after": 1, "seed": 0} | options
    return list(protocols.prune_gradually(begin, images, SETTING, chosen, **options))


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["dense", *all_methods(lr=1.0, seed=0)])
def test_every_method_prunes_exactly_as_much_as_asked_and_stays_so(digits, name):
    begin = start(digits)
    before = state(begin.model)
    points = path(begin, digits, name)
    assert same(before, begin.model.state_dict())
    total = points[0].mask.total
    wanted = [0.0] * 3 if name == "dense" else LEVELS
    assert [total - point.mask.kept for point in points] == [round(level * total) for level in wanted]
    for earlier, later in zip(points, points[1:], strict=False):
        assert all(not (later.mask.keep[n] & ~earlier.mask.keep[n]).any() for n in later.mask.keep)
    for point in points:
        assert point.mask.check(point.model)["violations"].sum() == 0
    assert [point.epochs for point in points] == [3, 4, 5]
    assert len({id(point.model) for point in points}) == 3


def train_by_hand(model, images, optimizer, epoch, schedule=None):
    for x, y in batches(images, batch_size=100, seed=7919, epoch=epoch):
        optimizer.zero_grad()
        cross_entropy(model(x), y, label_smoothing=0.1).backward()
        optimizer.step()
        if schedule:
            schedule.step()


def test_the_dense_path_is_plain_training_written_out(digits):
    model = mlp((64, 20, 10), seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    train_by_hand(model, digits, optimizer, 0)
    first, second, _ = path(start(digits), digits, "dense")
    for epoch, point in ((1, first), (2, second)):
        train_by_hand(model, digits, optimizer, epoch)
        branch = copy.deepcopy(model)
        own = torch.optim.SGD(branch.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        own.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        train_by_hand(branch, digits, own, epoch + 1, torch.optim.lr_scheduler.CosineAnnealingLR(own, 10))
        expected = branch.state_dict()
        for name, value in point.model.state_dict().items():
            assert torch.allclose(value, expected[name], atol=1e-6), name


def test_the_score_is_of_the_epoch_before_the_pruning(digits):
    begin = start(digits)
    point = path(begin, digits, "causal", levels=(0.5,))[0]
    model, screen = copy.deepcopy(begin.model), lasso.Screen()
    optimizer = SETTING.sgd(model)
    optimizer.load_state_dict(begin.optimizer_state)
    with Recorder(model, optimizer, [screen], pairing="same_batch") as recorder:
        SETTING.train(model, digits, epochs=1, optimizer=optimizer, seed=0, first=1, recorder=recorder)
    assert screen.records == 10 and same(screen.scores, point.scores)
    expected = Mask.from_scores(screen.scores, sparsity=0.5).keep
    assert same(expected, point.mask.keep)


def test_causal_lamp_has_lamps_counts_and_the_causal_choice(digits):
    begin = start(digits)
    point = path(begin, digits, "causal_lamp", levels=(0.7,))[0]
    other = path(begin, digits, "lamp", levels=(0.7,))[0]
    assert point.mask.counts == other.mask.counts
    assert same(Mask.from_counts(point.scores, kept=other.mask.counts).keep, point.mask.keep)
    assert not same(point.mask.keep, other.mask.keep)


def test_null_at_sparsity_zero_every_method_is_dense(digits):
    begin = start(digits)
    dense = path(begin, digits, "dense", levels=(0.0,))[0].model.state_dict()
    for name in ("causal", "magnitude", "random"):
        assert same(dense, path(begin, digits, name, levels=(0.0,))[0].model.state_dict())


def test_only_the_levels_asked_for_are_finished_and_the_path_is_the_same(digits):
    begin = start(digits)
    whole = path(begin, digits, "causal")
    (last,) = path(begin, digits, "causal", only=(0.9,))
    assert last.level == 0.9 and same(last.model.state_dict(), whole[-1].model.state_dict())


def test_levels_must_rise(digits):
    for levels in ((0.5, 0.2), (), (0.2, 1.1), (-0.1, 0.5)):
        with pytest.raises(ValueError, match="levels must rise within"):
            path(start(digits), digits, "magnitude", levels=levels)


def test_rewound_starts_every_iteration_from_the_saved_weights(digits):
    saved = start(digits).model
    before = state(saved)
    seen = []

    def choose(_, screen, mask, iteration):
        seen.append((screen.records, mask.sparsity, iteration))
        return Mask.from_scores(mask.restrict(screen.scores), sparsity=(0.4, 0.6)[iteration])

    masks = list(
        protocols.prune_with_rewinding(saved, digits, SETTING, choose, iterations=2, epochs=2, lr=0.01, seed=3)
    )
    assert same(before, saved.state_dict())
    assert seen == [(19, 0.0, 0), (19, pytest.approx(0.4, abs=1e-3), 1)]
    # The second iteration by hand: the saved weights again, masked, plain SGD, epochs 2 and 3.
    model = masks[0].apply_(copy.deepcopy(saved))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses, weights = [], []
    with masks[0].enforce(model, optimizer):
        for epoch in (2, 3):
            for x, y in batches(digits, batch_size=100, seed=3 + 7919, epoch=epoch):
                loss = cross_entropy(model(x), y, label_smoothing=0.1)
                weights.append({n: w.detach().double().clone() for n, w in prunable(model).items()})
                losses.append(loss.item())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    by_hand = {
        name: sum((losses[t + 1] - losses[t]) * (weights[t + 1][name] - weights[t][name]) ** 2 for t in range(19)).abs()
        for name in prunable(saved)
    }
    expected = Mask.from_scores(masks[0].restrict(by_hand), sparsity=0.6)
    assert masks[1].sparsity == expected.sparsity and jaccard_kept(masks[1], expected) > 0.99
    assert not any((masks[1].keep[n] & ~masks[0].keep[n]).any() for n in masks[0].keep)


def test_rewound_with_the_papers_rule_is_monotone(digits):
    saved = start(digits).model
    options = {"epochs": 1, "seed": 0}
    (first,) = protocols.prune_with_rewinding(
        saved, digits, SETTING, lambda _, screen, *__: screen.scores, iterations=1, **options
    )
    alpha = float(torch.cat([value.flatten() for value in first.values()]).median())
    masks = list(
        protocols.prune_with_rewinding(saved, digits, SETTING, lambda _, s, *__: s.mask(alpha), iterations=3, **options)
    )
    assert masks[0].sparsity == pytest.approx(0.5, abs=0.01)
    sparsities = [mask.sparsity for mask in masks]
    assert sparsities == sorted(sparsities) and sparsities[0] < sparsities[-1]
    for earlier, later in zip(masks, masks[1:], strict=False):
        assert all(not (later.keep[n] & ~earlier.keep[n]).any() for n in later.keep)


def test_settings_place_the_network():
    model = nn.Conv2d(3, 4, 3)

    class Somewhere:
        x_train = torch.zeros(1)

    placed = Setting(channels_last=True).place(model, Somewhere)
    assert placed.weight.is_contiguous(memory_format=torch.channels_last)
    assert scores.magnitude(placed)["weight"].shape == (4, 3, 3, 3)
