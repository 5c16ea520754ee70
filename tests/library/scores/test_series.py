"""Oracle: LEGCNet's score of a recorded run against the same made from weights and losses kept by hand. Null: weights
of a random walk that has nothing to do with the loss.
"""

import numpy as np
import pytest
import torch
from torch import nn

from ccprune import scores
from ccprune.lyapunov import windowed_exponents
from ccprune.recording import Recorder

WINDOW, LAGS = 20, 2


def recorded(steps=200):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    store, weights, losses = scores.WeightSeries(model), [], []
    with Recorder(model, optimizer, [store], pairing="consecutive") as recorder:
        for step in range(steps + 1):
            generator = torch.Generator().manual_seed(step)
            x, y = torch.randn(8, 4, generator=generator), torch.randint(0, 2, (8,), generator=generator)
            loss = nn.functional.cross_entropy(model(x), y)
            weights.append(torch.cat([model[i].weight.detach().flatten() for i in (0, 2)]))
            losses.append(loss.detach().double())
            optimizer.zero_grad()
            loss.backward()
            recorder.before(loss)
            optimizer.step()
    return store, torch.stack(weights[1:]), torch.stack(losses[1:]) - losses[0]


def test_series_are_the_weights_and_the_loss():
    store, weights, losses = recorded(30)
    found, loss = store.records()
    assert torch.equal(found, weights)
    np.testing.assert_allclose(loss.numpy(), losses.numpy(), atol=1e-12)
    parts = store.tensors(found)
    assert {name: tuple(part.shape) for name, part in parts.items()} == {"0.weight": (30, 3, 4), "2.weight": (30, 2, 3)}
    assert torch.equal(parts["2.weight"].flatten(1), weights[:, 12:])


def test_rows_are_copies():
    model, loss = nn.Linear(2, 1, bias=False), torch.zeros((), dtype=torch.float64)
    store = scores.WeightSeries(model)
    for value in (1.0, 2.0):
        with torch.no_grad():
            model.weight.fill_(value)
        store.update(loss.fill_(value), {"weight": torch.ones(1, 2)})
    weights, losses = store.records()
    assert weights.tolist() == [[1, 1], [2, 2]] and losses.tolist() == [1, 3]


def test_score_is_legcnets_with_the_loss_as_risk():
    store, weights, losses = recorded()
    found = scores.legcnet_of_records(store, window=WINDOW, max_lag=LAGS)
    exponents = windowed_exponents(weights, window=WINDOW, stride=18, steps=3)
    risk = torch.stack([losses[18 * k + WINDOW - 1] for k in range(len(exponents))])
    named = {"0.weight": exponents[:, :12].reshape(-1, 3, 4), "2.weight": exponents[:, 12:].reshape(-1, 2, 3)}
    expected = scores.legcnet(named, risk, max_lag=LAGS, test="ssr_f")
    for name, score in expected.items():
        np.testing.assert_allclose(found[name].numpy(), score.numpy(), atol=1e-9)
        assert len(score.unique()) > 1


def test_null_of_random_walks_every_score_is_as_likely():
    model, generator = nn.Linear(150, 1, bias=False), torch.Generator().manual_seed(0)
    store = scores.WeightSeries(model)
    for _ in range(500):
        change = 1e-2 * torch.randn(1, 150, generator=generator)
        with torch.no_grad():
            model.weight += change
        store.update(torch.randn((), generator=generator, dtype=torch.float64), {"weight": change})
    found = scores.legcnet_of_records(store, window=25, max_lag=1)["weight"]
    assert 0.4 < float(found.mean()) < 0.6 and float((found > 0.95).double().mean()) < 0.15


def test_too_few_records_are_told():
    store, *_ = recorded(30)
    with pytest.raises(ValueError, match="store must hold 146 records for max_lag=2 and window=20, it has 30"):
        scores.legcnet_of_records(store, window=WINDOW, max_lag=LAGS)
    with pytest.raises(ValueError, match="the store holds no records"):
        scores.WeightSeries(nn.Linear(2, 1)).records()
    with pytest.raises(ValueError, match="delta_weights must have the names and shapes"):
        store.update(torch.tensor(0.0), {"0.weight": torch.zeros(3, 4)})
