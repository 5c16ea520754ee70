"""Allocation by held-out loss. Oracles: all counts of small layers, a loop over layers."""

import copy
import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from same_model import assert_same
from torch import nn
from torch.nn.functional import cross_entropy

import ccprune
from ccprune.mask import Mask, allocate, sensitivity

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)


def drawn(seed):
    generator = np.random.default_rng(seed)
    sizes = {"a": 4, "b": 8, "c": 12}
    table = pd.DataFrame(generator.normal(size=(3, 5)).cumsum(1), index=[*sizes], columns=GRID)
    return table, {name: torch.rand(size) for name, size in sizes.items()}


def envelope(counts, losses, count):
    """The lower convex hull at a count: the lowest of all chords."""
    return min(
        losses[i] if i == j else losses[i] + (losses[j] - losses[i]) * (count - counts[i]) / (counts[j] - counts[i])
        for i, j in itertools.product(range(len(counts)), repeat=2)
        if (counts[i] == count == counts[j] and i == j) or counts[i] <= count <= counts[j] and i < j
    )


@pytest.mark.parametrize("seed", range(6))
def test_no_other_counts_have_a_smaller_sum_of_losses(seed):
    table, scores = drawn(seed)
    values = [
        [envelope([round(s * v.numel()) for s in GRID], row, c) for c in range(v.numel() + 1)]
        for v, row in zip(scores.values(), table.to_numpy(), strict=True)
    ]
    best = {}
    for counts in itertools.product(*map(range, map(len, values))):
        total = sum(row[c] for row, c in zip(values, counts, strict=True))
        best[sum(counts)] = min(total, best.get(sum(counts), np.inf))
    for count in range(25):
        found = Mask.from_scores(scores, sparsity=allocate(table, scores, sparsity=count / 24)).counts
        pruned = [v.numel() - found[name] for name, v in scores.items()]
        assert sum(pruned) == count
        assert sum(row[c] for row, c in zip(values, pruned, strict=True)) == pytest.approx(best[count], abs=1e-9)


def test_equal_layers_share_and_limits_hold():
    row = [1.0, 1.1, 1.3, 1.7, 3.0]
    scores = {name: torch.rand(10, 10) for name in "abc"}
    table = pd.DataFrame([row] * 3, index=[*scores], columns=GRID)
    for sparsity in (0.1, 0.333, 0.5, 0.9):
        counts = Mask.from_scores(scores, sparsity=allocate(table, scores, sparsity=sparsity)).counts
        assert max(counts.values()) - min(counts.values()) <= 1 and 300 - sum(counts.values()) == round(300 * sparsity)
    limited = allocate(table, scores, sparsity=0.6, protect=["b"], min_per_layer=5)
    assert limited == {"a": 0.9, "b": 0.0, "c": 0.9}
    with pytest.raises(ValueError, match="sparsity must be at most 0.63"):
        allocate(table, scores, sparsity=0.65, protect=["b"], min_per_layer=5)
    with pytest.raises(ValueError, match="table must have the parameters of the scores"):
        allocate(table.iloc[:2], scores, sparsity=0.5)


@pytest.fixture
def trained():
    """A classifier with a second layer that is nearly the identity and has many weights to spare."""
    torch.manual_seed(0)
    x = torch.randn(400, 8)
    y = (x[:, 0] * x[:, 1] > 0).long() + 2 * (x[:, 2] > 0).long()
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64), nn.Dropout(0.1), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        cross_entropy(model(x[:300]), y[:300]).backward()
        optimizer.step()
    return model, x[300:], y[300:]


@pytest.mark.usefixtures("one_thread")
def test_the_losses_are_those_of_copies_with_one_layer_pruned(trained):
    model, x, y = trained
    scores = ccprune.score("magnitude", model)
    found = []
    assert_same(model.train(), lambda model: found.append(sensitivity(model, scores, x, y, sparsities=(0.5, 0.9))))
    batched = sensitivity(model, scores, [(x[:30], y[:30]), (x[30:], y[30:])], sparsities=(0.5, 0.9))
    pd.testing.assert_frame_equal(found[0], batched, rtol=1e-5)
    for name, sparsity in itertools.product(scores, (0.0, 0.5, 0.9)):
        other = copy.deepcopy(model).eval()
        weight = other.get_parameter(name).data
        weight.flatten()[scores[name].flatten().argsort()[: int(sparsity * weight.numel() + 0.5)]] = 0
        expected = cross_entropy(other(x), y).item()
        assert found[0].loc[name, sparsity] == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_the_search_has_the_count_and_a_lower_loss_than_uniform_on_other_samples(trained):
    model, x, y = trained
    scores = ccprune.score("magnitude", model)
    table = sensitivity(model, scores, x[:50], y[:50])
    found = Mask.from_scores(scores, sparsity=allocate(table, scores, sparsity=0.7))
    uniform = Mask.from_scores(scores, sparsity=0.7, allocation="uniform")
    assert found.total - found.kept == int(0.7 * found.total + 0.5)
    losses = []
    for mask in (found, uniform):
        with mask.applied(model.eval()):
            losses.append(cross_entropy(model(x[50:]), y[50:]).item())
    assert losses[0] < losses[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsities": (0.5, 0.5)}, "sparsities must rise within"),
        ({"sparsities": ()}, "sparsities must rise within"),
        ({"sparsities": (0.5, 1.5)}, "sparsities must rise within"),
        ({"loss": lambda outputs, y: outputs.mean() * np.nan}, "loss must be finite"),
    ],
)
def test_errors_name_the_argument(options, message):
    model, x = nn.Linear(4, 2), torch.randn(5, 4)
    with pytest.raises(ValueError, match=message), warnings.catch_warnings():
        sensitivity(model, ccprune.score("magnitude", model), x, torch.zeros(5).long(), **options)
